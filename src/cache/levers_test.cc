// Levers where they act: each test fails if its lever did nothing.
#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "base/virtual_executor.h"
#include "cache/cache.h"
#include "tier/l2/memory_l2.h"

namespace candor {
namespace {

// A table whose rows the test changes behind the cache's back. Answers at once, unless it is held.
struct Table {
  std::map<std::string, std::string> rows;
  std::uint64_t changes = 1;
  std::size_t loads = 0;
  bool is_down = false, is_held = false;
  std::vector<OneShot<bool>> waiting;
  void go_on() {
    is_held = false;
    for (const auto& one : std::exchange(waiting, {})) (void)one.set(true);
  }
};

struct TableFeature final : OriginFeature {
  explicit TableFeature(Table* t) : table(t) {}
  Task<Result<OriginRow>> load(std::string key, MonoTime) override {
    ++table->loads;
    OriginRow row;
    if (const auto it = table->rows.find(key); it != table->rows.end()) row.value = it->second;
    row.stamp.up_to = ChangeId{table->changes};
    if (table->is_held) {
      OneShot<bool> wait;
      table->waiting.push_back(wait);
      (void)co_await wait;
    }
    if (table->is_down) co_return fail(ErrorCode::kOriginDown, "the table is away");
    co_return row;
  }
  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime) override {
    if (table->is_down) co_return fail(ErrorCode::kOriginDown, "the table is away");
    table->rows[key] = std::move(value);
    co_return OriginWrite{1, ChangeId{++table->changes}};
  }
  Task<Result<OriginWrite>> erase(std::string key, MonoTime deadline) override {
    return store(std::move(key), {}, deadline);
  }
  [[nodiscard]] bool can_store() const override { return true; }
  [[nodiscard]] bool can_erase() const override { return true; }
  Table* table;
};

// The region, of which the test says when it has dropped a key.
struct Barrier final : RegionBarrier {
  std::vector<std::string> names;
  OneShot<Result<void>> dropped;
  Task<Result<void>> drop_everywhere(std::string name, Duration) override {
    names.push_back(std::move(name));
    co_return co_await dropped;
  }
};

class LeversTest : public testing::Test {
 protected:
  LeversTest() {
    CacheCore::Parts parts;
    parts.clock = &executor_;
    parts.home = &executor_;
    parts.l1 = &store_;
    parts.l2 = &l2_;
    parts.l2_is_shared = true;
    parts.seed = 7;
    cache_ = std::make_unique<CacheCore>(parts);
    policy_.name = "user";
    policy_.ttl_jitter = 0;
    policy_.refresh_beta = 0;
    policy_.ttl = 1h;
    id_ = cache_->add_feature(policy_, std::make_unique<TableFeature>(&table_), "db").value();
    cache_->settle_floor("db", executor_.now());
    cache_->trust_l2("db", true);
    cache_->note_applied("db", Incarnation{1}, Position{1});
    executor_.advance(10ms);
    table_.rows["1"] = "old";
  }
  ~LeversTest() override {
    table_.go_on();
    executor_.advance(1min);
  }

  void pull(FeaturePolicy policy) { ASSERT_TRUE(cache_->update_policy(id_, std::move(policy))); }
  [[nodiscard]] bool hit(std::string_view key = "1") {
    const l1::Store::ReadGuard guard(store_);
    CacheCore::Hit out;
    return cache_->try_hit(guard, feature(), store_.hash(id_, key), key, cache_->now_ms(), &out);
  }
  // What a client gets: a hit, else the miss path.
  Result<ReadResult> read(const std::string& key = "1") {
    // Shared: a read that waits ends after this.
    auto result = std::make_shared<std::optional<Result<ReadResult>>>();
    if (hit(key)) {
      const l1::Store::ReadGuard guard(store_);
      l1::EntryView view;
      EXPECT_TRUE(store_.peek(guard, store_.hash(id_, key), id_, key, cache_->now_ms(), &view));
      ReadResult held;
      held.value = std::make_shared<const std::string>(view.value);
      held.tier = Tier::kL1;
      return held;
    }
    cache_->read(id_, key, {}, [result](Result<ReadResult> r) { result->emplace(std::move(r)); });
    executor_.run_ready();
    if (!*result) return fail(ErrorCode::kTimeout, "the read waits");
    return **result;
  }
  static std::string text(const Result<ReadResult>& r) {
    if (!r) return std::string(error_code_name(r.error().code));
    return r->value ? *r->value : "<none>";
  }
  void change(const std::string& key, std::string value) {
    table_.rows[key] = std::move(value);
    ++table_.changes;
  }
  void hear(const std::string& key) {
    bool is_told = false;
    spawn(l2_.invalidate("user:" + key, L2Marker{ChangeId{table_.changes}, 1s}),
          [&](const Result<bool>& told) { is_told = told.has_value(); });
    executor_.run_ready();
    EXPECT_TRUE(is_told) << "L2 is told before the nodes";
    cache_->apply_change("db", {"user", key, Change::Scope::kKey, ChangeId{table_.changes},
                                Position{table_.changes}, WallTime{0}});
    executor_.run_ready();
  }
  std::shared_ptr<std::vector<Result<WriteResult>>> write(const std::string& key, std::string value) {
    auto answers = std::make_shared<std::vector<Result<WriteResult>>>();
    cache_->write(id_, key, std::move(value),
                  [answers](Result<WriteResult> r) { answers->push_back(std::move(r)); });
    executor_.run_ready();
    return answers;
  }
  [[nodiscard]] const Feature& feature() const { return cache_->feature(id_); }

  VirtualExecutor executor_;
  l1::Store store_{{.memory_limit = std::size_t{8} << 20}};
  l2::MemoryL2 l2_{&executor_, {.bytes_limit = 1'000'000, .guards_max = 1000}, 1};
  Table table_;
  FeaturePolicy policy_;
  FeatureId id_;
  std::unique_ptr<CacheCore> cache_;
};

// ---- reads to the origin ----

TEST_F(LeversTest, AFractionOfReadsSeesTheOriginAndNotTheTiers) {
  (void)read();
  policy_.origin_fraction = 0.25;
  pull(policy_);
  int fresh = 0;
  constexpr int kReads = 4000;
  for (int i = 0; i < kReads; ++i) {
    change("1", std::to_string(i));  // nobody hears of it
    const auto got = read();
    fresh += text(got) == std::to_string(i) ? 1 : 0;
    if (got->tier == Tier::kOrigin) {
      EXPECT_EQ(text(got), std::to_string(i));
    }
  }
  EXPECT_NEAR(fresh / static_cast<double>(kReads), 0.25, 0.03);
  EXPECT_NEAR(static_cast<double>(table_.loads - 1), 0.25 * kReads, 0.03 * kReads) << "no load more";
  EXPECT_EQ(feature().counters.past_tiers.load(), table_.loads - 1);
}

TEST_F(LeversTest, WhatTheOriginSaidRefreshesTheTiersForAllReaders) {
  (void)read();
  change("1", "new");
  EXPECT_EQ(text(read()), "old") << "the lever is not pulled";
  policy_.origin_fraction = 1.0;
  pull(policy_);
  EXPECT_EQ(text(read()), "new");
  policy_.origin_fraction = 0.0;
  pull(policy_);
  EXPECT_EQ(text(read()), "new");
  store_.clear();
  const std::size_t loads = table_.loads;
  EXPECT_EQ(text(read()), "new");
  EXPECT_EQ(table_.loads, loads) << "L2 has it too";
}

// L2 may hold what is as old as L1's copy.
TEST_F(LeversTest, AReaderWhoFindsNothingInL1IsDrawnAsWell) {
  (void)read();
  change("1", "new");
  store_.clear();
  policy_.origin_fraction = 1.0;
  pull(policy_);
  EXPECT_EQ(text(read()), "new");
}

TEST_F(LeversTest, ReadersSentPastTheTiersShareALoad) {
  (void)read();
  policy_.origin_fraction = 1.0;
  pull(policy_);
  table_.is_held = true;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(text(read()), "timeout") << "it waits";
  EXPECT_EQ(table_.loads, 2U);
}

TEST_F(LeversTest, AnOriginThatFailsCostsNobodyTheCopyThatIsHeld) {
  (void)read();
  policy_.origin_fraction = 1.0;
  pull(policy_);
  table_.is_down = true;
  const auto got = read();
  EXPECT_EQ(text(got), "old");
  EXPECT_EQ(got->degraded, nullptr) << "it is fresh by its ttl";
}

TEST_F(LeversTest, ABoundedReaderIsSentToTheOriginAndKeepsItsProofWhenThatFails) {
  policy_.consistency = Consistency::kBounded;
  policy_.max_staleness = 10s;
  policy_.origin_fraction = 1.0;
  pull(policy_);
  (void)read();
  change("1", "new");
  EXPECT_FALSE(hit());
  EXPECT_EQ(text(read()), "new");
  table_.is_down = true;
  EXPECT_EQ(text(read()), "new") << "out of L1, with a proof";
  executor_.advance(11s);
  EXPECT_EQ(text(read()), "too stale") << "the lever weakens no level";
}

// ---- refresh on change ----

TEST_F(LeversTest, AChangedKeyThatIsReadIsThereBeforeItsNextReader) {
  policy_.refresh_on_change = true;
  pull(policy_);
  (void)read();
  (void)read();  // a hit
  change("1", "new");
  hear("1");
  EXPECT_EQ(table_.loads, 2U);
  EXPECT_TRUE(hit());
  EXPECT_EQ(text(read()), "new");
  EXPECT_EQ(table_.loads, 2U);
}

TEST_F(LeversTest, WithoutTheLeverTheNextReaderLoads) {
  (void)read();
  (void)read();
  change("1", "new");
  hear("1");
  EXPECT_EQ(table_.loads, 1U);
  EXPECT_FALSE(hit());
}

TEST_F(LeversTest, KeysThatNobodyCachedOrReadAgainAreNotLoaded) {
  policy_.refresh_on_change = true;
  pull(policy_);
  change("2", "new");
  hear("2");
  EXPECT_EQ(table_.loads, 0U) << "nobody cached it";
  (void)read();
  change("1", "new");
  hear("1");
  EXPECT_EQ(table_.loads, 1U) << "loaded, and never hit";
}

TEST_F(LeversTest, RefreshesUnderWayAreBoundedAndTheRestIsCounted) {
  policy_.refresh_on_change = true;
  pull(policy_);
  constexpr std::size_t kKeys = 300;
  for (std::size_t i = 0; i < kKeys; ++i) {
    table_.rows[std::to_string(i)] = "old";
    (void)read(std::to_string(i));
    (void)read(std::to_string(i));
  }
  const std::size_t before = table_.loads;
  table_.is_held = true;
  for (std::size_t i = 0; i < kKeys; ++i) {
    change(std::to_string(i), "new");
    hear(std::to_string(i));
  }
  const std::size_t refreshed = table_.loads - before;
  EXPECT_GT(refreshed, 0U);
  EXPECT_LT(refreshed, kKeys);
  EXPECT_EQ(feature().counters.refreshes_skipped.load(), kKeys - refreshed);
  table_.go_on();
  executor_.run_ready();
  EXPECT_TRUE(hit("0"));
  EXPECT_EQ(text(read(std::to_string(kKeys - 1))), "new");
  hear("0");
  (void)read("0");
  change("0", "newer");
  hear("0");
  EXPECT_EQ(text(read("0")), "newer") << "those that ended made room";
}

// A second change while the refresh of the first is under way: what it brings is stored nowhere.
TEST_F(LeversTest, ARefreshIsFencedAsEveryLoad) {
  policy_.refresh_on_change = true;
  pull(policy_);
  (void)read();
  (void)read();
  table_.is_held = true;
  change("1", "newer");
  hear("1");
  change("1", "newest");
  hear("1");
  table_.go_on();
  executor_.run_ready();
  EXPECT_FALSE(hit());
  EXPECT_EQ(text(read()), "newest");
}

// ---- synchronous invalidation ----

TEST_F(LeversTest, ASynchronousWriteWaitsForTheRegion) {
  Barrier barrier;
  cache_->set_region_barrier(&barrier);
  policy_.synchronous = true;
  pull(policy_);
  (void)read();
  const auto answers = write("1", "new");
  EXPECT_TRUE(answers->empty());
  EXPECT_EQ(barrier.names, std::vector<std::string>{"user:1"});
  EXPECT_FALSE(hit()) << "here it is gone before the region is asked";
  (void)barrier.dropped.set(Result<void>{});
  ASSERT_EQ(answers->size(), 1U);
  EXPECT_TRUE(answers->at(0).has_value());
  EXPECT_EQ(feature().counters.writes_unconfirmed.load(), 0U);
}

TEST_F(LeversTest, ANodeThatDoesNotAnswerDelaysTheWriteAndIsCounted) {
  Barrier barrier;
  cache_->set_region_barrier(&barrier);
  policy_.synchronous = true;
  pull(policy_);
  const auto answers = write("1", "new");
  EXPECT_TRUE(answers->empty());
  (void)barrier.dropped.set(fail(ErrorCode::kTimeout, "not confirmed by eu-2"));
  ASSERT_EQ(answers->size(), 1U);
  EXPECT_TRUE(answers->at(0).has_value()) << "the origin has it";
  EXPECT_EQ(feature().counters.writes_unconfirmed.load(), 1U);
}

TEST_F(LeversTest, OtherWritesAndFailedOnesDoNotWait) {
  Barrier barrier;
  cache_->set_region_barrier(&barrier);
  EXPECT_EQ(write("1", "new")->size(), 1U);
  policy_.synchronous = true;
  pull(policy_);
  table_.is_down = true;
  EXPECT_EQ(write("1", "newer")->size(), 1U);
  EXPECT_TRUE(barrier.names.empty());
}

TEST_F(LeversTest, ALoneNodeHasNobodyToWaitFor) {
  policy_.synchronous = true;
  pull(policy_);
  EXPECT_EQ(write("1", "new")->size(), 1U);
}

// ---- policies ----

TEST_F(LeversTest, APolicyThatWasInForceBeforeIsTakenUpAgain) {
  const FeaturePolicy* const first = &feature().policy();
  FeaturePolicy other = policy_;
  other.ttl = 1s;
  pull(other);
  const FeaturePolicy* const second = &feature().policy();
  EXPECT_NE(first, second);
  for (int i = 0; i < 10; ++i) {
    pull(policy_);
    EXPECT_EQ(&feature().policy(), first);
    pull(other);
    EXPECT_EQ(&feature().policy(), second);
  }
}

}  // namespace
}  // namespace candor
