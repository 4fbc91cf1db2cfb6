// Suspects after a gap, on a virtual clock, before an origin that knows the version of each row.
#include "cache/gap_repair.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/virtual_executor.h"
#include "cache/cache.h"

namespace candor {
namespace {

// ---- the order ----

TEST(SuspectLineTest, MostReadComeFirst) {
  SuspectLine line;
  line.offer(0, FeatureId{1}, "cold");
  line.offer(7, FeatureId{1}, "hot");
  line.offer(3, FeatureId{2}, "warm");
  EXPECT_EQ(line.size(), 3u);
  for (const char* expected : {"hot", "warm", "cold"}) EXPECT_EQ(line.next()->key, expected);
  EXPECT_FALSE(line.next());
}

TEST(SuspectLineTest, WhenItIsFullTheLeastReadGo) {
  SuspectLine line;
  for (std::size_t i = 0; i < SuspectLine::kKeysMax; ++i) line.offer(i % 2 == 0 ? 1 : 2, FeatureId{1}, "k");
  line.offer(1, FeatureId{1}, "as little read as the least");
  line.offer(5, FeatureId{1}, "hot");
  EXPECT_EQ(line.size(), SuspectLine::kKeysMax);
  EXPECT_EQ(line.left_out(), 2u);
  EXPECT_EQ(line.next()->key, "hot");
}

TEST(SuspectLineTest, LongKeysAreBoundedByBytes) {
  SuspectLine line;
  const std::string key(4096, 'k');
  for (int i = 0; i < 5000; ++i) line.offer(3, FeatureId{1}, key);
  EXPECT_EQ(line.size(), SuspectLine::kKeyBytesMax / key.size());
  while (line.next()) {
  }
  line.offer(3, FeatureId{1}, key);
  EXPECT_EQ(line.size(), 1u);
}

// ---- the pace ----

TEST(RepairPaceTest, KeepsTheRate) {
  RepairPace pace(2000);
  EXPECT_EQ(pace.batch(), 100u);
  MonoTime now{1'000'000'000};
  std::size_t asked = 0;
  for (const MonoTime end = now + 1s; now < end; now = now + 1ms) {
    if (!pace.may_ask(now)) continue;
    pace.on_asked(now);
    pace.on_answered(now, 1ms, false);
    asked += pace.batch();
  }
  EXPECT_EQ(asked, 2000u);
  EXPECT_EQ(RepairPace(1).batch(), 1u);
  EXPECT_EQ(RepairPace(1'000'000).batch(), RepairPace::kBatchMax);
  EXPECT_FALSE(RepairPace(0).may_ask(now));
}

TEST(RepairPaceTest, TwoBatchesAtATime) {
  RepairPace pace(2000);
  MonoTime now{1'000'000'000};
  pace.on_asked(now);
  now = now + 50ms;
  ASSERT_TRUE(pace.may_ask(now));
  pace.on_asked(now);
  EXPECT_FALSE(pace.may_ask(now + 10s));
  pace.on_answered(now + 10s, 10s, false);
  EXPECT_TRUE(pace.may_ask(now + 20s));
}

TEST(RepairPaceTest, SlowAndFailingOriginsAreAskedLessAndLess) {
  RepairPace pace(2000);
  MonoTime now{1'000'000'000};
  const auto ask = [&](Duration took, bool failed) {
    while (!pace.may_ask(now)) now = now + 1ms;
    pace.on_asked(now);
    pace.on_answered(now, took, failed);
  };
  ask(251ms, false);
  EXPECT_EQ(pace.rate(), 1000);
  ask(1ms, true);
  EXPECT_EQ(pace.rate(), 500);
  for (int i = 0; i < 20; ++i) ask(1ms, true);
  EXPECT_EQ(pace.rate(), 2000.0 / RepairPace::kSlowerMax);
  const MonoTime before = now;
  ask(1ms, false);
  EXPECT_GE(now - before, 3s) << "a batch each 3.2 s";
  for (int i = 0; i < 6; ++i) ask(1ms, false);
  EXPECT_EQ(pace.rate(), 2000);
}

// ---- the whole ----

constexpr Incarnation kRepairedHistory{7};

// Rows with versions. Answers at once, or by hand.
struct VersionedOrigin final : OriginFeature {
  struct Row {
    std::string value;
    std::uint64_t version = 0;
  };
  std::map<std::string, Row>* rows;
  std::uint64_t* now_at;  // the highest id that is visible
  Incarnation history = kRepairedHistory;
  bool confirms = true, hangs = false, is_down = false;
  std::vector<std::string> loads, confirmations;
  std::vector<OneShot<bool>> hanging;

  VersionedOrigin(std::map<std::string, Row>* r, std::uint64_t* n) : rows(r), now_at(n) {}
  Task<Result<OriginRow>> load(std::string key, MonoTime) override {
    if (is_down) co_return fail(ErrorCode::kOriginDown, "down");
    loads.push_back(key);
    OriginRow row;
    if (const auto found = rows->find(key); found != rows->end()) row.value = found->second.value;
    row.stamp.up_to = ChangeId{*now_at};
    co_return row;
  }
  Task<Result<bool>> confirm(std::string key, HeldRow held, MonoTime) override {
    confirmations.push_back(key);
    const auto found = rows->find(key);
    const bool same = found == rows->end()
                          ? held.negative
                          : !held.negative && held.stamp.includes(ChangeId{found->second.version});
    const bool answer = same && held.history == history;
    if (hangs) {
      OneShot<bool> wait;
      hanging.push_back(wait);
      (void)co_await wait;
    }
    if (is_down) co_return fail(ErrorCode::kOriginDown, "down");
    co_return answer;
  }
  void answer_all() {
    hangs = false;
    for (auto& one : std::exchange(hanging, {})) (void)one.set(true);
  }
  [[nodiscard]] bool can_confirm() const override { return confirms; }
  Task<Result<OriginWrite>> store(std::string, std::string, MonoTime) override {
    co_return fail(ErrorCode::kInternal, "not here");
  }
  Task<Result<OriginWrite>> erase(std::string, MonoTime) override {
    co_return fail(ErrorCode::kInternal, "not here");
  }
  [[nodiscard]] bool can_store() const override { return false; }
  [[nodiscard]] bool can_erase() const override { return false; }
};

class GapRepairTest : public testing::Test {
 protected:
  GapRepairTest() {
    l1::StoreOptions options;
    options.memory_limit = std::size_t{64} << 20;
    options.features_max = 4;
    store_ = std::make_unique<l1::Store>(options);
    CacheCore::Parts parts;
    parts.clock = &executor_;
    parts.home = &executor_;
    parts.l1 = store_.get();
    parts.seed = 1;
    cache_ = std::make_unique<CacheCore>(parts);
    FeaturePolicy policy;
    policy.name = "user";
    policy.ttl = policy.negative_ttl = 10min;
    policy.ttl_jitter = 0;
    policy.refresh_beta = 0;
    auto origin = std::make_unique<VersionedOrigin>(&rows_, &visible_);
    origin_ = origin.get();
    EXPECT_TRUE(cache_->add_feature(policy, std::move(origin), "db"));
  }
  // The river is heard of, and everything loaded from now on is trusted.
  void start() {
    cache_->note_applied("db", kRepairedHistory, Position{1});
    executor_.advance(10ms);
    settle();
    executor_.advance(10ms);
  }
  void TearDown() override {
    origin_->answer_all();
    cache_->close();
    executor_.advance(1min);
    EXPECT_EQ(cache_->waiting(), 0u);
    store_->check_invariants();
  }

  void fill(int from, int to) {
    for (int i = from; i < to; ++i) {
      rows_[std::to_string(i)] = {fmt::format("value {}", i), 5};
      read(std::to_string(i));
    }
    origin_->loads.clear();
    executor_.advance(10ms);
  }
  void gap(Suspects suspects = Suspects::kMayBeConfirmed) {
    cache_->raise_floor("db", "", suspects);
    executor_.run_ready();
  }
  void settle() {
    cache_->settle_floor("db", executor_.now());
    executor_.advance(2ms);  // the millisecond of the floor itself is below it
  }
  void update(const std::string& key, std::string value, std::uint64_t id) {
    rows_[key] = {std::move(value), id};
    visible_ = std::max(visible_, id);
  }
  void apply(const std::string& key, std::uint64_t id) {
    cache_->apply_change("db", {"user", key, Change::Scope::kKey, ChangeId{id}, Position{id}, WallTime{0}});
  }
  std::optional<Result<ReadResult>> read(const std::string& key, CacheCore::ReadOptions options = {}) {
    auto answer = std::make_shared<std::optional<Result<ReadResult>>>();
    cache_->read(FeatureId{0}, key, options,
                 [answer](Result<ReadResult> result) { answer->emplace(std::move(result)); });
    executor_.run_ready();
    return *answer;
  }
  // What a hit would be served; nothing: a miss.
  std::optional<std::string> hit(const std::string& key) {
    const l1::Store::ReadGuard guard(*store_);
    const Feature& feature = cache_->feature(FeatureId{0});
    CacheCore::Hit found;
    if (!cache_->try_hit(guard, feature, store_->hash(FeatureId{0}, key), key, executor_.now().ms(), &found))
      return std::nullopt;
    return std::string(found.value);
  }
  std::optional<l1::EntryMeta> meta(const std::string& key) {
    const l1::Store::ReadGuard guard(*store_);
    l1::EntryView view;
    if (!store_->peek(guard, store_->hash(FeatureId{0}, key), FeatureId{0}, key, executor_.now().ms(), &view))
      return std::nullopt;
    return view.meta;
  }
  RepairStatus status() { return *cache_->repair("db"); }

  VirtualExecutor executor_;
  std::map<std::string, VersionedOrigin::Row> rows_;
  std::uint64_t visible_ = 10;
  std::unique_ptr<l1::Store> store_;
  std::unique_ptr<CacheCore> cache_;
  VersionedOrigin* origin_ = nullptr;
};

TEST_F(GapRepairTest, SuspectsAreConfirmedAtALimitedRateUntilNoneIsLeft) {
  start();
  fill(0, 1000);
  gap();
  executor_.advance(1s);
  EXPECT_TRUE(origin_->confirmations.empty()) << "before the floor has settled";
  settle();
  executor_.advance(100ms);
  EXPECT_LE(origin_->confirmations.size(), 300u);
  EXPECT_TRUE(status().is_running);
  EXPECT_EQ(status().left, 1000 - status().confirmed);
  executor_.advance(600ms);
  EXPECT_EQ(origin_->confirmations.size(), 1000u);
  EXPECT_TRUE(origin_->loads.empty());
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(hit(std::to_string(i)), fmt::format("value {}", i));
  EXPECT_FALSE(status().is_running);
  EXPECT_EQ(status().left, 0u);
  EXPECT_EQ(status().confirmed, 1000u);
  EXPECT_EQ(executor_.timers(), 0u);
}

TEST_F(GapRepairTest, MostReadFirst) {
  start();
  fill(0, 500);
  for (int i = 0; i < 5; ++i) {
    for (const char* key : {"123", "321"}) ASSERT_TRUE(hit(key));
  }
  gap();
  settle();
  executor_.advance(1s);
  ASSERT_EQ(origin_->confirmations.size(), 500u);
  std::vector<std::string> first(origin_->confirmations.begin(), origin_->confirmations.begin() + 2);
  std::ranges::sort(first);
  EXPECT_EQ(first, (std::vector<std::string>{"123", "321"}));
}

TEST_F(GapRepairTest, RowThatChangedIsLoaded) {
  start();
  fill(0, 10);
  gap();
  update("3", "new", 12);  // nobody says so: it was in the gap
  settle();
  executor_.advance(1s);
  EXPECT_EQ(origin_->loads, (std::vector<std::string>{"3"}));
  EXPECT_EQ(hit("3"), "new");
  EXPECT_EQ(status().confirmed, 9u);
  EXPECT_EQ(status().replaced, 1u);
}

TEST_F(GapRepairTest, AbsentRowIsConfirmedAsAbsent) {
  start();
  read("nobody");
  origin_->loads.clear();
  gap();
  executor_.advance(10ms);
  settle();
  executor_.advance(1s);
  EXPECT_TRUE(origin_->loads.empty());
  EXPECT_EQ(status().confirmed, 1u);
  ASSERT_TRUE(meta("nobody"));
  EXPECT_TRUE(meta("nobody")->negative);
  EXPECT_TRUE(hit("nobody"));
}

TEST_F(GapRepairTest, ChangeThatArrivesMeanwhileWins) {
  start();
  fill(0, 1);
  gap();
  origin_->hangs = true;
  settle();
  executor_.advance(200ms);
  ASSERT_EQ(origin_->confirmations.size(), 1u);
  EXPECT_EQ(cache_->flights(), 1u) << "nobody waits for it, and whoever ends the cache has to";
  // Applied here before readers can see it, and before the origin's word, which is from before it.
  apply("0", 12);
  origin_->answer_all();
  executor_.run_ready();
  EXPECT_FALSE(meta("0"));
  EXPECT_EQ(status().confirmed, 0u);
  rows_["0"] = {"new", 12};
  visible_ = 12;
  read("0");
  EXPECT_EQ(hit("0"), "new");
}

TEST_F(GapRepairTest, NewerLoadThatIsStoredMeanwhileStays) {
  start();
  fill(0, 1);
  gap();
  origin_->hangs = true;
  settle();
  executor_.advance(200ms);
  ASSERT_EQ(origin_->confirmations.size(), 1u);
  update("0", "new", 12);
  CacheCore::ReadOptions past;
  past.use_feature_level = false;
  past.level = Consistency::kOrigin;
  read("0", past);
  EXPECT_EQ(hit("0"), "new");
  origin_->answer_all();
  executor_.run_ready();
  EXPECT_EQ(hit("0"), "new");
}

TEST_F(GapRepairTest, NothingOfAnotherHistoryIsConfirmed) {
  start();
  fill(0, 10);
  gap(Suspects::kAreOfAnotherHistory);
  origin_->history = Incarnation{8};
  cache_->note_applied("db", Incarnation{8}, Position{1});
  settle();
  executor_.advance(1s);
  EXPECT_TRUE(origin_->confirmations.empty());
  EXPECT_FALSE(meta("3"));
}

TEST_F(GapRepairTest, OriginOfAnotherHistoryConfirmsNothing) {
  start();
  fill(0, 1);
  gap();
  origin_->history = Incarnation{8};  // nobody has noticed
  settle();
  executor_.advance(1s);
  EXPECT_EQ(origin_->confirmations.size(), 1u);
  EXPECT_EQ(origin_->loads.size(), 1u);
  EXPECT_EQ(status().confirmed, 0u);
}

TEST_F(GapRepairTest, WhatWasLoadedBeforeTheHistoryWasKnownIsLoadedAgain) {
  fill(0, 3);  // the river has not been heard of
  start();
  executor_.advance(1s);
  EXPECT_TRUE(origin_->confirmations.empty());
  EXPECT_EQ(origin_->loads.size(), 3u);
  EXPECT_EQ(status().replaced, 3u);
}

TEST_F(GapRepairTest, AfterABreakOfTheFeedSuspectsAreLoadedAtTheSameRate) {
  start();
  fill(0, 1000);
  gap(Suspects::kMustBeLoaded);
  settle();
  executor_.advance(100ms);
  EXPECT_LE(origin_->loads.size(), 300u);
  executor_.advance(600ms);
  EXPECT_TRUE(origin_->confirmations.empty());
  EXPECT_EQ(origin_->loads.size(), 1000u);
  EXPECT_EQ(status().replaced, 1000u);
  // What was loaded since may be confirmed after the next gap.
  gap();
  settle();
  executor_.advance(1s);
  EXPECT_EQ(origin_->confirmations.size(), 1000u);
}

TEST_F(GapRepairTest, StrongReadsDoNotConfirmWhatABreakMadeSuspectEither) {
  cache_->set_repair_rate("db", 0);
  start();
  fill(0, 1);
  CacheCore::ReadOptions strong;
  strong.use_feature_level = false;
  strong.level = Consistency::kStrong;
  const auto held = read("0", strong);
  ASSERT_TRUE(held && *held);
  EXPECT_EQ((*held)->tier, Tier::kL1);
  gap(Suspects::kMustBeLoaded);
  const auto loaded = read("0", strong);
  ASSERT_TRUE(loaded && *loaded);
  EXPECT_EQ((*loaded)->tier, Tier::kOrigin);
}

TEST_F(GapRepairTest, FeatureWhoseOriginCannotConfirmIsLoaded) {
  origin_->confirms = false;
  start();
  fill(0, 10);
  gap();
  settle();
  executor_.advance(1s);
  EXPECT_TRUE(origin_->confirmations.empty());
  EXPECT_EQ(origin_->loads.size(), 10u);
  EXPECT_EQ(hit("3"), "value 3");
}

TEST_F(GapRepairTest, AnotherGapStopsItAndItBeginsAnew) {
  start();
  fill(0, 1000);
  gap();
  settle();
  executor_.advance(150ms);
  gap();
  executor_.run_ready();
  const auto asked = origin_->confirmations.size();
  EXPECT_GT(asked, 0u);
  EXPECT_LT(asked, 1000u);
  EXPECT_FALSE(status().is_running);
  executor_.advance(5s);
  EXPECT_EQ(origin_->confirmations.size(), asked);
  settle();
  executor_.advance(1s);
  EXPECT_EQ(origin_->confirmations.size(), asked + 1000) << "those of before the second gap as well";
  EXPECT_EQ(status().left, 0u);
}

TEST_F(GapRepairTest, WordFromBeforeASecondGapIsNotKept) {
  start();
  fill(0, 1);
  gap();
  origin_->hangs = true;
  settle();
  executor_.advance(200ms);
  ASSERT_EQ(origin_->hanging.size(), 1u);
  gap();
  executor_.advance(10ms);
  update("0", "new", 12);  // missed in the second gap
  settle();
  origin_->answer_all();
  executor_.run_ready();
  EXPECT_NE(hit("0"), "value 0");
  executor_.advance(1s);
  EXPECT_EQ(hit("0"), "new");
}

TEST_F(GapRepairTest, OriginThatIsDownIsAskedLessAndTheRestIsDoneWhenItIsBack) {
  start();
  fill(0, 500);
  gap();
  origin_->is_down = true;
  settle();
  executor_.advance(30s);
  const auto asked = origin_->confirmations.size();
  EXPECT_LE(asked, 3000u) << "a tenth of what the rate allows, or less";
  EXPECT_GT(status().failed, 0u);
  EXPECT_TRUE(status().is_running);
  EXPECT_EQ(status().left, 500u);
  origin_->is_down = false;
  executor_.advance(60s);
  EXPECT_FALSE(status().is_running);
  EXPECT_EQ(hit("3"), "value 3");
  EXPECT_EQ(status().left, 0u);
}

TEST_F(GapRepairTest, RateZeroAsksNothing) {
  cache_->set_repair_rate("db", 0);
  start();
  fill(0, 10);
  gap();
  settle();
  executor_.advance(10s);
  EXPECT_TRUE(origin_->confirmations.empty());
  EXPECT_TRUE(origin_->loads.empty());
  EXPECT_FALSE(hit("3"));
}

TEST_F(GapRepairTest, ReadersOfAKeyThatIsBeingConfirmedWaitForThatWord) {
  start();
  fill(0, 1);
  gap();
  origin_->hangs = true;
  settle();
  executor_.advance(200ms);
  ASSERT_EQ(origin_->hanging.size(), 1u);
  EXPECT_FALSE(read("0"));
  std::optional<Result<ReadResult>> got;
  cache_->read(FeatureId{0}, "0", {}, [&](Result<ReadResult> result) { got.emplace(std::move(result)); });
  executor_.run_ready();
  executor_.advance(20ms);
  origin_->answer_all();
  executor_.run_ready();
  ASSERT_TRUE(got && *got);
  EXPECT_EQ(*(*got)->value, "value 0");
  EXPECT_EQ((*got)->tier, Tier::kL1);
  ASSERT_TRUE((*got)->fresh_within);
  EXPECT_GE(*(*got)->fresh_within, 20ms) << "the origin's word may be as old as the question";
  EXPECT_TRUE(origin_->loads.empty());
  EXPECT_EQ(origin_->confirmations.size(), 1u);
}

TEST_F(GapRepairTest, ReaderOfASmallSuspectLoadsAndOfALargeOneAsks) {
  cache_->set_repair_rate("db", 0);
  start();
  fill(0, 1);
  rows_["large"] = {std::string(100'000, 'x'), 5};
  read("large");
  origin_->loads.clear();
  executor_.advance(10ms);
  gap();
  settle();
  read("0");
  EXPECT_EQ(origin_->loads, (std::vector<std::string>{"0"}));
  EXPECT_TRUE(origin_->confirmations.empty());
  const auto large = read("large");
  ASSERT_TRUE(large && *large);
  EXPECT_EQ((*large)->value->size(), 100'000u);
  EXPECT_EQ((*large)->tier, Tier::kL1);
  EXPECT_EQ(origin_->loads.size(), 1u);
  EXPECT_EQ(origin_->confirmations, (std::vector<std::string>{"large"}));
  EXPECT_TRUE(hit("large"));
}

TEST_F(GapRepairTest, ConfirmedEntryIsAsYoungAsTheQuestionAndEndsWhenItWouldHaveEnded) {
  start();
  fill(0, 1);
  const l1::EntryMeta before = *meta("0");
  executor_.advance(1min);
  gap();
  const auto settled = executor_.now().ms();
  settle();
  executor_.advance(1s);
  const l1::EntryMeta after = *meta("0");
  EXPECT_GE(after.loaded_at, settled);
  EXPECT_LE(after.expires_at, before.expires_at + 1);
  EXPECT_GE(after.expires_at, before.expires_at - 1);
}

TEST_F(GapRepairTest, ConfirmedEntryIncludesWhatWasVisibleToAllWhenTheOriginWasAsked) {
  start();
  fill(0, 2);
  EXPECT_EQ(meta("0")->stamp.up_to, ChangeId{10});
  gap();
  update("other", "x", 20);
  cache_->retire_markers("db", ChangeId{18}, executor_.now(), Position{100});
  settle();
  executor_.advance(1s);
  EXPECT_EQ(meta("0")->stamp.up_to, ChangeId{18});
  apply("0", 17);  // told again, as after a takeover
  EXPECT_EQ(hit("0"), "value 0");
  apply("1", 19);
  EXPECT_FALSE(hit("1"));
}

// A change that is applied here and not yet visible: the load saw it, the bound of its stamp does not say so.
TEST_F(GapRepairTest, WhatAMarkerDoesNotLetPassStaysSuspectUntilItDoes) {
  start();
  fill(0, 1);
  gap();
  apply("0", 15);
  read("0");  // suspect: the floor has not settled; and it lacks change 15
  EXPECT_FALSE(meta("0"));
  visible_ = 15;
  read("0");
  ASSERT_TRUE(meta("0"));
  settle();
  executor_.advance(1s);
  EXPECT_EQ(status().confirmed, 1u);
  EXPECT_EQ(hit("0"), "value 0");
}

}  // namespace
}  // namespace candor
