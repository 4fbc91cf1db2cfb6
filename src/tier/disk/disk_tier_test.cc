#include "tier/disk/disk_tier.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "base/virtual_executor.h"
#include "tier/disk/testing_store.h"

namespace candor::disk {
namespace {

constexpr FeatureId kUser{0};
constexpr FeatureId kShop{1};

// A wall clock of its own beside the executor's monotonic one.
struct TwoClocks final : Clock {
  explicit TwoClocks(const VirtualExecutor* e) : executor(e) {}
  [[nodiscard]] MonoTime now() const override { return executor->now(); }
  [[nodiscard]] WallTime wall() const override { return {executor->now().ns + wall_ahead.count()}; }
  const VirtualExecutor* executor;
  Duration wall_ahead{1h};
};

class DiskTierTest : public testing::Test {
 protected:
  DiskTierTest() { open(); }
  void TearDown() override { end(); }

  void open() {
    DiskTier::World world;
    world.home = executor_.get();
    world.clock = clock_.get();
    world.pool = &pool_;
    world.seed = 1;
    world.tell = [this](bool, const std::string& line) { lines_.push_back(line); };
    tier_ = std::make_unique<DiskTier>(std::move(world), options_, store_);
    tier_->use_history([this](FeatureId, l1::Millis) { return history_; });
    tier_->add_feature("user", user_fingerprint_, true);
    tier_->add_feature("shop", 1, true);
    tier_->add_feature("plain", 1, false);
  }
  void end() {
    pool_.release();
    executor_->advance(1s);
    if (tier_ != nullptr) tier_->close();
    tier_.reset();
  }
  // The machine starts anew: its monotonic clock begins at zero.
  void reboot(Duration away) {
    end();
    const WallTime wall = clock_->wall();
    executor_ = std::make_unique<VirtualExecutor>(MonoTime{500'000'000});
    clock_ = std::make_unique<TwoClocks>(executor_.get());
    clock_->wall_ahead = Duration{wall.ns + away.count() - executor_->now().ns};
    ++options_.boot;
    open();
  }

  static l1::KeyHash hash(FeatureId feature, const std::string& key) {
    return {hash_bytes(key, feature.value + 100)};
  }
  void evict(FeatureId feature, const std::string& key, const std::string& value, Duration ttl = 10min,
             std::uint8_t flags = 0) {
    l1::EntryView view;
    view.value = value;
    view.meta.stamp.up_to = ChangeId{5};
    view.meta.loaded_at = executor_->now().ms();
    view.meta.expires_at = executor_->now().ms() + ttl / 1ms;
    view.meta.user_flags = flags;
    tier_->on_evicted(feature, hash(feature, key), key, view);
  }
  // Twice: the first time nothing is known of it.
  void demote(FeatureId feature, const std::string& key, const std::string& value, Duration ttl = 10min) {
    evict(feature, key, value, ttl);
    evict(feature, key, value, ttl);
    executor_->run_ready();
  }
  void forget(FeatureId feature, const std::string& key) {
    tier_->forget(feature, hash(feature, key), name(feature, key));
  }
  static std::string name(FeatureId feature, const std::string& key) {
    return (feature == kUser ? "user:" : "shop:") + key;
  }
  using Answer = std::shared_ptr<std::optional<std::optional<Hit>>>;
  Answer ask(FeatureId feature, const std::string& key) {
    auto answer = std::make_shared<std::optional<std::optional<Hit>>>();
    spawn(tier_->get(feature, hash(feature, key), name(feature, key)),
          [answer](std::optional<Hit> hit) { answer->emplace(std::move(hit)); });
    executor_->run_ready();
    return answer;
  }
  std::string get(FeatureId feature, const std::string& key) {
    const Answer answer = ask(feature, key);
    if (!*answer) return "(waiting)";
    return **answer ? (**answer)->value : "(nothing)";
  }

  std::unique_ptr<VirtualExecutor> executor_ = std::make_unique<VirtualExecutor>(MonoTime{3'600'000'000'000});
  std::unique_ptr<TwoClocks> clock_ = std::make_unique<TwoClocks>(executor_.get());
  TestingPool pool_;
  std::shared_ptr<TestingStore> store_ = std::make_shared<TestingStore>();
  DiskTier::Options options_{.disk_bytes = 1 << 20, .write_rate = 0, .boot = 77};
  std::uint64_t user_fingerprint_ = 1;
  std::uint64_t history_ = 9;
  std::vector<std::string> lines_;
  std::unique_ptr<DiskTier> tier_;
};

TEST_F(DiskTierTest, WhatWasEvictedTwiceIsHeldAsItWas) {
  evict(kUser, "7", "seven");
  executor_->run_ready();
  EXPECT_TRUE(store_->records.empty()) << "read once, evicted once: not worth a write";
  evict(kUser, "7", "seven");
  executor_->run_ready();
  const Answer answer = ask(kUser, "7");
  ASSERT_TRUE(*answer && **answer);
  const Hit& hit = ***answer;
  EXPECT_EQ(hit.value, "seven");
  EXPECT_EQ(hit.meta.stamp.up_to.value, 5u);
  EXPECT_EQ(hit.meta.loaded_at, executor_->now().ms());
  EXPECT_EQ(hit.history, 9u);
  EXPECT_FALSE(hit.is_of_earlier_run);
  EXPECT_EQ(tier_->stats().too_cold, 1u);
  EXPECT_EQ(tier_->stats().demoted, 1u);
}

TEST_F(DiskTierTest, KeysThatWereNeverDemotedCostNoTrip) {
  pool_.holds = true;
  EXPECT_EQ(get(kUser, "1"), "(nothing)");
  EXPECT_EQ(tier_->stats().absent, 1u);
  forget(kUser, "1");
  executor_->run_ready();
  EXPECT_TRUE(pool_.waiting.empty());
}

TEST_F(DiskTierTest, WhatTheDiskHoldsAlreadyAndWhatIsNotTheOriginsIsNotWritten) {
  for (int i = 0; i < 4; ++i) {
    evict(kUser, "held", "v", 10min, options_.held_flag);
    evict(kUser, "pending", "v", 10min, options_.never_flags);
    evict(FeatureId{2}, "plain", "v");
  }
  executor_->run_ready();
  EXPECT_TRUE(store_->records.empty());
}

TEST_F(DiskTierTest, AForgottenKeyIsNotServedThoughItsRecordIsStillThere) {
  demote(kUser, "7", "old");
  pool_.holds = true;
  forget(kUser, "7");
  executor_->run_ready();
  ASSERT_FALSE(store_->records.empty()) << "the removal waits";
  const Answer answer = ask(kUser, "7");
  // The read comes first.
  while (!pool_.waiting.empty()) {
    auto work = std::move(pool_.waiting.back());
    pool_.waiting.pop_back();
    work();
    executor_->run_ready();
    if (*answer) break;
  }
  ASSERT_TRUE(*answer);
  EXPECT_FALSE(**answer);
  EXPECT_EQ(tier_->stats().forgotten, 1u);
}

TEST_F(DiskTierTest, AKeyThatIsForgottenWhileItIsReadIsNotServed) {
  demote(kUser, "7", "old");
  pool_.holds = true;
  const Answer answer = ask(kUser, "7");
  pool_.run_one();  // the value is on its way home
  forget(kUser, "7");
  executor_->run_ready();
  ASSERT_TRUE(*answer);
  EXPECT_FALSE(**answer);
}

// The removal is on the disk before a read that began earlier comes home with what was there.
TEST_F(DiskTierTest, AReadUnderWayOutlivesNoForgetting) {
  demote(kUser, "7", "old");
  pool_.holds = true;
  forget(kUser, "7");
  executor_->run_ready();
  const Answer answer = ask(kUser, "7");
  ASSERT_EQ(pool_.waiting.size(), 2U);
  auto removal = std::move(pool_.waiting.front());
  pool_.waiting.pop_front();
  store_->found = [&] { removal(); };
  pool_.run_one();
  executor_->run_ready();
  EXPECT_TRUE(store_->records.empty());
  ASSERT_TRUE(*answer);
  EXPECT_FALSE(**answer);
  // Nothing is left of it.
  store_->found = {};
  pool_.holds = false;
  demote(kUser, "7", "new");
  EXPECT_EQ(get(kUser, "7"), "new");
}

TEST_F(DiskTierTest, AHitIsNotCurrentOnceItsKeyWasForgotten) {
  demote(kUser, "7", "old");
  const Answer answer = ask(kUser, "7");
  ASSERT_TRUE(*answer && **answer);
  EXPECT_TRUE(tier_->is_current(kUser, "user:7", ***answer));
  forget(kUser, "7");
  EXPECT_FALSE(tier_->is_current(kUser, "user:7", ***answer));
}

TEST_F(DiskTierTest, ADemotionThatWaitsIsForgottenToo) {
  pool_.holds = true;
  demote(kUser, "1", "v");  // this write holds up the others
  demote(kUser, "7", "old");
  forget(kUser, "7");
  pool_.release();
  executor_->run_ready();
  pool_.release();
  executor_->run_ready();
  EXPECT_EQ(get(kUser, "7"), "(nothing)");
  EXPECT_FALSE(store_->records.contains("user:7"));
  EXPECT_EQ(get(kUser, "1"), "v");
}

TEST_F(DiskTierTest, WhatIsDemotedAfterItWasForgottenIsServed) {
  demote(kUser, "7", "old");
  forget(kUser, "7");
  demote(kUser, "7", "new");
  EXPECT_EQ(get(kUser, "7"), "new");
}

TEST_F(DiskTierTest, AFeatureIsForgottenInOneStep) {
  demote(kUser, "1", "v");
  demote(kShop, "1", "w");
  tier_->forget_feature(kUser);
  EXPECT_EQ(get(kUser, "1"), "(nothing)");
  EXPECT_EQ(get(kShop, "1"), "w");
  tier_->forget_all();
  EXPECT_EQ(get(kShop, "1"), "(nothing)");
  demote(kShop, "1", "x");
  EXPECT_EQ(get(kShop, "1"), "x");
}

TEST_F(DiskTierTest, MoreForgottenKeysThanThereIsRoomForForgetTheFeature) {
  demote(kUser, "last", "v");
  demote(kShop, "1", "w");
  pool_.holds = true;
  demote(kUser, "first", "v");
  // Every name below may be there as far as the filter knows.
  for (int i = 0; i < 70'000; ++i) tier_->forget(kUser, hash(kUser, "last"), fmt::format("user:{}", i));
  pool_.release();
  executor_->run_ready();
  pool_.release();
  executor_->run_ready();
  EXPECT_EQ(get(kUser, "last"), "(nothing)");
  EXPECT_EQ(get(kShop, "1"), "w");
}

TEST_F(DiskTierTest, ASlowDiskIsPassedOver) {
  demote(kUser, "7", "v");
  pool_.holds = true;
  const Answer answer = ask(kUser, "7");
  executor_->advance(DiskTier::kReadPatience);
  ASSERT_TRUE(*answer);
  EXPECT_FALSE(**answer);
  EXPECT_EQ(tier_->stats().slow, 1u);
  for (std::size_t i = 1; i < DiskTier::kReadsMax; ++i) (void)ask(kUser, "7");
  EXPECT_EQ(get(kUser, "7"), "(nothing)");
  EXPECT_EQ(tier_->stats().busy, 1u);
}

TEST_F(DiskTierTest, ADamagedRecordIsFoundCountedAndRemoved) {
  demote(kUser, "7", "seven");
  demote(kUser, "8", "eight");
  for (std::size_t byte = 0; byte < store_->records["user:7"].size(); ++byte) {
    std::string& bytes = store_->records["user:7"];
    bytes[byte] = static_cast<char>(bytes[byte] ^ 0x10);
    EXPECT_EQ(get(kUser, "7"), "(nothing)") << byte;
    EXPECT_FALSE(store_->records.contains("user:7"));
    demote(kUser, "7", "seven");
  }
  store_->records["user:7"] = store_->records["user:8"];
  EXPECT_EQ(get(kUser, "7"), "(nothing)") << "whole, and of another key";
  EXPECT_GT(tier_->stats().corrupt, 60u);
  EXPECT_EQ(get(kUser, "8"), "eight");
}

TEST_F(DiskTierTest, AFullDiskTakesTheTierOffAndItComesBackEmpty) {
  demote(kUser, "1", "v");
  store_->is_full = true;
  demote(kUser, "2", "v");
  EXPECT_EQ(tier_->stats().off, "the disk is full");
  EXPECT_EQ(get(kUser, "1"), "(nothing)") << "a removal may have been lost with the write";
  demote(kUser, "3", "v");
  executor_->advance(DiskTier::kRetryEvery);
  EXPECT_EQ(tier_->stats().off, "the disk is full");
  store_->is_full = false;
  executor_->advance(DiskTier::kRetryEvery);
  EXPECT_EQ(tier_->stats().off, "");
  EXPECT_TRUE(store_->records.empty());
  demote(kUser, "1", "v2");
  EXPECT_EQ(get(kUser, "1"), "v2");
}

TEST_F(DiskTierTest, WritesStayBelowTheirRate) {
  end();
  options_.write_rate = 10'000;
  open();
  const std::string value(1000, 'v');
  for (int i = 0; i < 100; ++i) demote(kUser, std::to_string(i), value);
  EXPECT_LE(store_->records.size(), 10u);
  EXPECT_GT(tier_->stats().over_budget, 80u);
  const std::size_t before = store_->records.size();
  executor_->advance(500ms);
  for (int i = 100; i < 200; ++i) demote(kUser, std::to_string(i), value);
  EXPECT_LE(store_->records.size() - before, 5u);
}

TEST_F(DiskTierTest, TheQueueIsBounded) {
  pool_.holds = true;
  demote(kUser, "first", "v");
  const std::string value(1 << 20, 'v');
  for (int i = 0; i < 20; ++i) demote(kUser, std::to_string(i), value);
  EXPECT_GE(tier_->stats().queue_full, 10u);
  EXPECT_LE(tier_->stats().memory_bytes, DiskTier::kQueueBytesMax + (std::size_t{2} << 20));
  pool_.release();
}

// ---- restarts ----

TEST_F(DiskTierTest, AGoodEndKeepsTheEntriesAndTheirAges) {
  demote(kUser, "7", "seven");
  const l1::Millis loaded_at = executor_->now().ms();
  end();
  executor_->advance(5min);
  open();
  const Answer answer = ask(kUser, "7");
  ASSERT_TRUE(*answer && **answer);
  EXPECT_TRUE((**answer)->is_of_earlier_run);
  EXPECT_EQ((**answer)->meta.loaded_at, loaded_at);
  EXPECT_EQ((**answer)->history, 9u);
  executor_->advance(6min);
  EXPECT_EQ(get(kUser, "7"), "(nothing)") << "its ttl is over";
}

TEST_F(DiskTierTest, WithoutAGoodEndNothingIsKept) {
  demote(kUser, "7", "seven");
  tier_.reset();
  open();
  EXPECT_EQ(get(kUser, "7"), "(nothing)");
  EXPECT_TRUE(store_->records.empty());
  demote(kUser, "7", "seven");
  end();
  store_->mark[20] ^= 1;
  open();
  EXPECT_TRUE(store_->records.empty()) << "a damaged mark is none";
}

TEST_F(DiskTierTest, WhatWasForgottenStaysForgottenOverARestart) {
  demote(kUser, "1", "v");
  demote(kUser, "2", "v");
  demote(kShop, "1", "w");
  forget(kUser, "1");
  tier_->forget_feature(kShop);
  end();
  open();
  EXPECT_EQ(get(kUser, "1"), "(nothing)");
  EXPECT_EQ(get(kShop, "1"), "(nothing)");
  EXPECT_EQ(get(kUser, "2"), "v");
  demote(kShop, "1", "x");
  EXPECT_EQ(get(kShop, "1"), "x");
}

TEST_F(DiskTierTest, WhatIsKeptForThisRunEndsWithIt) {
  demote(kUser, "1", "v");
  tier_->keep_for_this_run(kUser);
  demote(kUser, "2", "v");
  EXPECT_EQ(get(kUser, "1"), "v");
  end();
  open();
  EXPECT_EQ(get(kUser, "1"), "(nothing)");
  EXPECT_EQ(get(kUser, "2"), "v");
}

// A tag drops entries of L1 where they are; they are evicted later, and come back to life in no later run.
TEST_F(DiskTierTest, WhatWasDroppedInL1IsNotDemoted) {
  const l1::Millis dropped_before = executor_->now().ms() + 1;
  tier_->use_dropped([&](FeatureId feature, std::string_view key, l1::Millis loaded_at) {
    return feature == kUser && key == "1" && loaded_at < dropped_before;
  });
  demote(kUser, "1", "dropped");
  demote(kUser, "2", "v");
  EXPECT_EQ(get(kUser, "1"), "(nothing)");
  end();
  open();
  EXPECT_EQ(get(kUser, "1"), "(nothing)");
  EXPECT_EQ(get(kUser, "2"), "v");
}

// Beyond what the filters remember nothing is looked for, also when it is to be forgotten: a later run, which
// looks for everything, must not find it either.
TEST_F(DiskTierTest, WhatTheFiltersGaveUpIsServedByNoLaterRun) {
  demote(kUser, "1", "old");
  const std::string large(20'000, 'x');
  for (int i = 0; i < 90; ++i) demote(kShop, std::to_string(i), large);
  EXPECT_EQ(get(kUser, "1"), "(nothing)");
  ASSERT_TRUE(store_->records.contains("user:1")) << "the disk still has it";
  forget(kUser, "1");
  executor_->run_ready();
  end();
  open();
  EXPECT_EQ(get(kUser, "1"), "(nothing)");
  EXPECT_EQ(get(kShop, "89"), large);
}

TEST_F(DiskTierTest, AnotherLoadStatementMakesTheRecordsWorthless) {
  demote(kUser, "1", "v");
  demote(kShop, "1", "w");
  end();
  user_fingerprint_ = 2;
  open();
  EXPECT_EQ(get(kUser, "1"), "(nothing)");
  EXPECT_EQ(get(kShop, "1"), "w");
}

TEST_F(DiskTierTest, AgesSurviveARebootOfTheMachine) {
  demote(kUser, "7", "seven");
  executor_->advance(1min);
  reboot(3min);
  const Answer answer = ask(kUser, "7");
  ASSERT_TRUE(*answer && **answer);
  EXPECT_NEAR(static_cast<double>(executor_->now().ms() - (**answer)->meta.loaded_at), 241'000, 2'000);
  reboot(1min);
  EXPECT_EQ(get(kUser, "7"), "seven");
  reboot(5min);
  EXPECT_EQ(get(kUser, "7"), "(nothing)") << "ten minutes are over";
}

TEST_F(DiskTierTest, AWallClockThatStepsDuringTheRunChangesNoAge) {
  demote(kUser, "7", "seven");
  executor_->advance(9min);
  clock_->wall_ahead -= 30min;
  EXPECT_EQ(get(kUser, "7"), "seven");
  reboot(2min);
  EXPECT_EQ(get(kUser, "7"), "(nothing)");
}

TEST_F(DiskTierTest, AWallClockThatWentBackwardsBetweenTwoBootsKeepsNothing) {
  demote(kUser, "7", "seven");
  reboot(-1min);
  EXPECT_EQ(get(kUser, "7"), "(nothing)");
  EXPECT_TRUE(store_->records.empty());
}

TEST_F(DiskTierTest, WhereNothingIsKeptOverRestartsTheStoreBeginsEmpty) {
  demote(kUser, "7", "seven");
  end();
  options_.keeps_over_restart = false;
  open();
  EXPECT_TRUE(store_->records.empty());
  EXPECT_EQ(get(kUser, "7"), "(nothing)");
}

// ---- parts ----

TEST(PresenceTest, KnowsEveryKeyAboveItsFloor) {
  Presence presence(1 << 20, 1, false);
  std::uint64_t sequence = 1;
  for (std::uint64_t key = 0; key < 20'000; ++key) {
    presence.add(mix64(key), sequence++, 256);
    ASSERT_TRUE(presence.may_hold(mix64(key)));
    for (std::uint64_t older = key; older + 1 >= presence.floor() && older + 500 > key; --older) {
      ASSERT_TRUE(presence.may_hold(mix64(older))) << key;
      if (older == 0) break;
    }
  }
  EXPECT_GT(presence.floor(), 15'000u - 4'096u);
  EXPECT_GE(presence.old_below(), presence.floor());
}

TEST(PresenceTest, MostAbsentKeysAreKnownToBeAbsent) {
  Presence presence(64 << 20, 1, false);
  for (std::uint64_t key = 0; key < 100'000; ++key) presence.add(mix64(key), key + 1, 512);
  int wrong = 0;
  for (std::uint64_t key = 1'000'000; key < 1'100'000; ++key) wrong += presence.may_hold(mix64(key)) ? 1 : 0;
  EXPECT_LT(wrong, 8'000);
  EXPECT_LT(presence.memory_bytes(), std::size_t{1} << 20);
}

TEST(PresenceTest, OfAnEarlierRunAnythingMayBeThereUntilItIsRotatedOut) {
  Presence presence(1 << 20, 1000, true);
  EXPECT_TRUE(presence.may_hold(1));
  EXPECT_EQ(presence.floor(), 0u);
  std::uint64_t sequence = 1000;
  while (presence.floor() == 0) {
    presence.add(mix64(sequence), sequence, 4096);
    ++sequence;
  }
  EXPECT_EQ(presence.floor(), 1000u);
  EXPECT_FALSE(presence.may_hold(1));
}

TEST(RecordTest, NoDamageIsOverlooked) {
  Record record;
  record.value = "some bytes";
  record.sequence = 12;
  record.meta.loaded_at = -5;
  const std::string bytes = encode_record("user:1", record);
  const auto back = decode_record("user:1", bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->value, "some bytes");
  EXPECT_EQ(back->meta.loaded_at, -5);
  EXPECT_FALSE(decode_record("user:2", bytes));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_record("user:1", std::string_view(bytes).substr(0, size)));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_record("user:1", damaged)) << bit;
  }
}

}  // namespace
}  // namespace candor::disk
