// The sweep, on a virtual clock, before an origin that knows the version of each row.
#include "cache/reconciler.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/virtual_executor.h"
#include "cache/cache.h"
#include "tier/l2/memory_l2.h"

namespace candor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr Incarnation kComparedHistory{7};
constexpr FeatureId kWatched{0};
constexpr FeatureId kByTtl{1};

struct ComparedRows {
  struct Row {
    std::string value;
    std::uint64_t version = 0;
  };
  std::map<std::string, Row> rows;
  std::uint64_t visible = 10;  // the highest change id that loads see
  bool is_down = false;
  bool holds_next = false;
  OneShot<bool> held;
  std::vector<std::string> loads, confirmations;
};

// Knows versions of rows if it is `versioned`, as PostgreSQL does; else values are all there is.
class ComparedOrigin final : public OriginFeature {
 public:
  ComparedOrigin(ComparedRows* db, bool versioned) : db_(db), versioned_(versioned) {}
  Task<Result<OriginRow>> load(std::string key, MonoTime) override {
    db_->loads.push_back(key);
    OriginRow row;
    if (const auto found = db_->rows.find(key); found != db_->rows.end()) row.value = found->second.value;
    if (versioned_) row.stamp.up_to = ChangeId{db_->visible};
    if (std::exchange(db_->holds_next, false)) {
      const OneShot<bool> held = db_->held;
      (void)co_await held;
    }
    if (db_->is_down) co_return fail(ErrorCode::kOriginDown, "down");
    co_return row;
  }
  Task<Result<bool>> confirm(std::string key, HeldRow held, MonoTime) override {
    db_->confirmations.push_back(key);
    if (db_->is_down) co_return fail(ErrorCode::kOriginDown, "down");
    const auto found = db_->rows.find(key);
    if (found == db_->rows.end()) co_return held.negative;
    co_return !held.negative && held.stamp.includes(ChangeId{found->second.version});
  }
  [[nodiscard]] bool can_confirm() const override { return versioned_; }
  [[nodiscard]] bool confirms_by_row() const override { return versioned_; }
  Task<Result<OriginWrite>> store(std::string, std::string, MonoTime) override {
    co_return fail(ErrorCode::kInternal, "not here");
  }
  Task<Result<OriginWrite>> erase(std::string, MonoTime) override {
    co_return fail(ErrorCode::kInternal, "not here");
  }
  [[nodiscard]] bool can_store() const override { return false; }
  [[nodiscard]] bool can_erase() const override { return false; }

 private:
  ComparedRows* db_;
  bool versioned_;
};

class Witness final : public Observer {
 public:
  void on_divergence(KeyRef key, Divergence why) override {
    seen.push_back(fmt::format("{}:{} {}", key.feature.value, key.key, static_cast<int>(why)));
  }
  std::vector<std::string> seen;
};

class ReconcilerTest : public testing::Test {
 protected:
  ReconcilerTest() : l2_(&executor_, {}, 1) {
    l1::StoreOptions options;
    options.memory_limit = std::size_t{64} << 20;
    options.features_max = 4;
    store_ = std::make_unique<l1::Store>(options);
    CacheCore::Parts parts;
    parts.clock = &executor_;
    parts.home = &executor_;
    parts.l1 = store_.get();
    parts.l2 = &l2_;
    parts.l2_is_shared = true;
    parts.observer = &witness_;
    parts.seed = 1;
    cache_ = std::make_unique<CacheCore>(parts);
    FeaturePolicy policy;
    policy.name = "user";
    policy.ttl = policy.negative_ttl = 1h;
    policy.ttl_jitter = policy.refresh_beta = 0;
    EXPECT_TRUE(cache_->add_feature(policy, std::make_unique<ComparedOrigin>(&db_, true), "db"));
    policy.name = "price";
    EXPECT_TRUE(cache_->add_feature(policy, std::make_unique<ComparedOrigin>(&prices_, false)));
    cache_->note_applied("db", kComparedHistory, Position{1});
    executor_.advance(10ms);
    cache_->settle_floor("db", executor_.now());
    cache_->trust_l2("db", true);
    executor_.advance(10ms);
  }
  void TearDown() override {
    (void)db_.held.set(true);
    cache_->close();
    executor_.advance(1min);
    EXPECT_EQ(cache_->flights(), 0u);
    store_->check_invariants();
  }

  void start(unsigned rate = 1000, Duration period = 1s) {
    CacheCore::ReconcileOptions options;
    options.keys_per_second = rate;
    options.period = period;
    options.suffers = [this](FeatureId id) { return suffers_[id.value]; };
    options.was_told = [this](KeyRef, StampBound, MonoTime) { return was_told_; };
    options.tell_region = [this](const std::string& name) { told_.push_back(name); };
    cache_->reconcile(std::move(options));
  }
  void fill(int from, int to) {
    for (int i = from; i < to; ++i) {
      db_.rows[std::to_string(i)] = {fmt::format("value {}", i), 5};
      read(std::to_string(i));
    }
    db_.loads.clear();
    executor_.advance(10ms);
  }
  std::string read(const std::string& key, FeatureId feature = kWatched,
                   Consistency level = Consistency::kSession) {
    auto value = std::make_shared<std::string>("no answer");
    CacheCore::ReadOptions options;
    options.use_feature_level = false;
    options.level = level;
    cache_->read(feature, key, options, [value](Result<ReadResult> result) {
      *value = !result ? "error" : result->value == nullptr ? "nothing" : *result->value;
    });
    executor_.run_ready();
    return *value;
  }
  // Committed, and nobody tells.
  void change(const std::string& key, std::string value) {
    db_.rows[key] = {std::move(value), ++db_.visible};
  }
  void apply(const std::string& key) {
    const std::uint64_t id = db_.rows.at(key).version;
    cache_->apply_change("db", {"user", key, Change::Scope::kKey, ChangeId{id}, Position{id}, WallTime{0}});
  }
  // Time passes, and the feed with it.
  void pass(Duration time) {
    for (const MonoTime end = executor_.now() + time; executor_.now() < end;) {
      executor_.advance(100ms);
      cache_->prove("db", executor_.now() - 1ms, ChangeId{});
    }
  }
  [[nodiscard]] std::string held(const std::string& key, FeatureId feature = kWatched) const {
    const l1::Store::ReadGuard guard(*store_);
    l1::EntryView view;
    if (!store_->peek(guard, store_->hash(feature, key), feature, key, executor_.now().ms(), &view))
      return "(none)";
    return view.meta.negative ? "nothing" : std::string(view.value);
  }
  std::optional<L2Entry> in_l2(const std::string& name) {
    std::optional<L2Entry> found;
    spawn(l2_.get(name), [&found](Result<std::optional<L2Entry>> entry) {
      if (entry) found = std::move(*entry);
    });
    executor_.run_ready();
    return found;
  }
  [[nodiscard]] ReconcileTally tally(FeatureId feature = kWatched) const {
    return cache_->reconciliation().features[feature.value].since_start;
  }

  VirtualExecutor executor_;
  ComparedRows db_, prices_;
  Witness witness_;
  l2::MemoryL2 l2_;
  std::unique_ptr<l1::Store> store_;
  std::unique_ptr<CacheCore> cache_;
  std::array<bool, 2> suffers_{};
  bool was_told_ = false;
  std::vector<std::string> told_;
};

TEST_F(ReconcilerTest, WhatIsStillTrueIsConfirmedByItsVersionAndStays) {
  fill(0, 50);
  start();
  pass(3500ms);
  EXPECT_EQ(cache_->reconciliation().passes, 3u);
  EXPECT_EQ(tally().of(Reconciled::kEqual), 150u);
  EXPECT_EQ(tally().judged(), 150u);
  EXPECT_EQ(db_.confirmations.size(), 150u);
  EXPECT_THAT(db_.loads, IsEmpty());
  EXPECT_THAT(witness_.seen, IsEmpty());
  EXPECT_EQ(held("7"), "value 7");
}

TEST_F(ReconcilerTest, LostChangeIsFoundCountedOnceAndDropped) {
  fill(0, 50);
  start();
  change("7", "new");
  pass(5s);
  EXPECT_EQ(tally().of(Reconciled::kLost), 1u);
  EXPECT_EQ(tally().divergent(), 1u);
  EXPECT_THAT(witness_.seen, ElementsAre(fmt::format("0:7 {}", static_cast<int>(Divergence::kLost))));
  EXPECT_THAT(told_, ElementsAre("user:7"));
  EXPECT_EQ(held("7"), "(none)");
  EXPECT_FALSE(in_l2("user:7"));
  EXPECT_EQ(read("7"), "new");
  EXPECT_GT(cache_->reconciliation().last_divergence_at.ns, 0);
}

TEST_F(ReconcilerTest, RowThatWasTouchedAndHoldsTheSameIsEqual) {
  fill(0, 1);
  start();
  change("0", "value 0");
  pass(1500ms);
  EXPECT_EQ(tally().of(Reconciled::kEqual), 1u);
  EXPECT_EQ(tally().divergent(), 0u);
  EXPECT_EQ(held("0"), "value 0");
}

TEST_F(ReconcilerTest, ChangeUnderWayIsNoDivergence) {
  fill(0, 1);
  start(1000, 10s);
  executor_.advance(9900ms);
  change("0", "new");
  executor_.advance(5s);
  EXPECT_EQ(cache_->reconciliation().in_doubt, 1u) << "the feed has not passed the answer";
  EXPECT_EQ(tally().judged(), 0u);
  apply("0");
  pass(1s);
  EXPECT_EQ(tally().of(Reconciled::kInFlight), 1u);
  EXPECT_EQ(tally().divergent(), 0u);
  EXPECT_THAT(witness_.seen, IsEmpty());
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(ReconcilerTest, ProofFromBeforeTheAnswerSaysNothing) {
  fill(0, 1);
  start(1000, 10s);
  executor_.advance(9900ms);
  const MonoTime before = executor_.now();
  change("0", "new");
  executor_.advance(1s);
  cache_->prove("db", before, ChangeId{});
  executor_.advance(1s);
  EXPECT_EQ(cache_->reconciliation().in_doubt, 1u);
  EXPECT_EQ(held("0"), "value 0");
}

TEST_F(ReconcilerTest, FeedThatStaysBehindLeavesItUnproven) {
  fill(0, 1);
  start(1000, 10min);
  change("0", "new");
  executor_.advance(10min + 59s);
  EXPECT_EQ(cache_->reconciliation().in_doubt, 1u);
  executor_.advance(2s);
  EXPECT_EQ(cache_->reconciliation().in_doubt, 0u);
  EXPECT_EQ(tally().of(Reconciled::kUnproven), 1u);
  EXPECT_EQ(tally().judged(), 0u);
  EXPECT_EQ(held("0"), "value 0");
}

TEST_F(ReconcilerTest, EntryThatWasKeptPastItsChangeIsARace) {
  fill(0, 1);
  start();
  was_told_ = true;
  change("0", "new");
  pass(3s);
  EXPECT_EQ(tally().of(Reconciled::kRace), 1u);
  EXPECT_EQ(tally().of(Reconciled::kLost), 0u);
}

TEST_F(ReconcilerTest, WhatNobodyWatchesIsComparedByValue) {
  prices_.rows["a"].value = "1";
  prices_.rows["b"].value = "2";
  read("a", kByTtl);
  read("b", kByTtl);
  start();
  prices_.rows["a"].value = "3";
  pass(2500ms);
  EXPECT_EQ(tally(kByTtl).of(Reconciled::kTtlOnly), 1u);
  EXPECT_GE(tally(kByTtl).of(Reconciled::kEqual), 1u);
  EXPECT_EQ(held("a", kByTtl), "(none)");
  EXPECT_EQ(held("b", kByTtl), "2");
  EXPECT_EQ(read("a", kByTtl), "3");
}

// The row has been written, the entry is dropped in a moment.
TEST_F(ReconcilerTest, WriteUnderWayIsNoDivergenceWhereNobodyWatches) {
  prices_.rows["a"].value = "1";
  read("a", kByTtl);
  start();
  executor_.advance(900ms);
  prices_.rows["a"].value = "3";
  executor_.advance(500ms);
  ASSERT_EQ(cache_->reconciliation().in_doubt, 1u);
  cache_->invalidate(kByTtl, "a", [](const Result<WriteResult>&) {});
  executor_.advance(2s);
  EXPECT_EQ(tally(kByTtl).of(Reconciled::kInFlight), 1u);
  EXPECT_EQ(tally(kByTtl).divergent(), 0u);
}

TEST_F(ReconcilerTest, AbsentRowThatCameIsFoundAndCountedAsNegative) {
  EXPECT_EQ(read("nobody"), "nothing");
  start();
  change("nobody", "somebody");
  pass(3s);
  EXPECT_EQ(tally().of(Reconciled::kLost), 1u);
  EXPECT_EQ(tally().negatives, 1u);
  EXPECT_EQ(read("nobody"), "somebody");
}

TEST_F(ReconcilerTest, L2AloneIsWrong) {
  fill(0, 2);
  L2Entry old;
  old.value = "older";
  old.stamp.up_to = ChangeId{3};
  old.ttl_left = 1h;
  spawn(l2_.put("user:0", old), [](const Result<void>&) {});
  executor_.run_ready();
  ASSERT_TRUE(in_l2("user:0"));
  start();
  pass(3s);
  EXPECT_EQ(tally().of(Reconciled::kL2Only), 1u);
  EXPECT_EQ(tally().divergent(), 1u);
  EXPECT_FALSE(in_l2("user:0"));
  EXPECT_EQ(read("0"), "value 0");
  EXPECT_THAT(told_, IsEmpty()) << "what other nodes hold in memory is not in question";
}

// A reader's load is under way with the old row when the entry is found to be wrong.
TEST_F(ReconcilerTest, LoadFromBeforeIsNotStoredAfterwards) {
  fill(0, 1);
  start();
  db_.holds_next = true;
  EXPECT_EQ(read("0", kWatched, Consistency::kOrigin), "no answer");
  change("0", "new");
  pass(3s);
  ASSERT_EQ(tally().of(Reconciled::kLost), 1u);
  (void)db_.held.set(true);
  executor_.run_ready();
  EXPECT_EQ(held("0"), "(none)");
  EXPECT_FALSE(in_l2("user:0"));
}

TEST_F(ReconcilerTest, KeepsTheRate) {
  fill(0, 1000);
  start(100);
  pass(1s);
  std::size_t before = 0;
  for (int second = 0; second < 9; ++second) {
    pass(1s);
    EXPECT_LE(db_.confirmations.size() - before, 105u);
    EXPECT_GE(db_.confirmations.size() - before, 95u);
    before = db_.confirmations.size();
  }
  pass(2s);
  EXPECT_EQ(cache_->reconciliation().passes, 1u);
  EXPECT_NEAR(to_seconds(cache_->reconciliation().last_pass), 10.0, 0.3);
}

TEST_F(ReconcilerTest, SmallStoreIsNotAskedAboutAllTheTime) {
  fill(0, 10);
  start(1000, 10s);
  pass(35s);
  EXPECT_EQ(cache_->reconciliation().passes, 3u);
  EXPECT_EQ(db_.confirmations.size(), 30u);
}

TEST_F(ReconcilerTest, WaitsForAnOriginThatSuffers) {
  fill(0, 100);
  start(1000, 10s);
  suffers_[kWatched.value] = true;
  pass(14s);
  EXPECT_THAT(db_.confirmations, IsEmpty());
  EXPECT_TRUE(cache_->reconciliation().is_waiting);
  suffers_[kWatched.value] = false;
  pass(1s);
  EXPECT_EQ(db_.confirmations.size(), 100u);
  EXPECT_FALSE(cache_->reconciliation().is_waiting);
  EXPECT_EQ(tally().of(Reconciled::kSkipped), 0u);
}

TEST_F(ReconcilerTest, OriginThatStaysAwayDoesNotHoldUpTheOthers) {
  fill(0, 20);
  prices_.rows["a"].value = "1";
  read("a", kByTtl);
  prices_.loads.clear();
  start(1000, 30s);
  suffers_[kWatched.value] = true;
  pass(45s);
  EXPECT_EQ(prices_.loads.size(), 1u);
  EXPECT_THAT(db_.confirmations, IsEmpty());
  EXPECT_EQ(tally().of(Reconciled::kSkipped), 20u);
}

TEST_F(ReconcilerTest, OriginThatFailsIsAskedMoreAndMoreSlowly) {
  fill(0, 1000);
  db_.is_down = true;
  start(100);
  pass(11s);
  EXPECT_LE(db_.confirmations.size(), 100u);
  EXPECT_GT(tally().of(Reconciled::kFailed), 0u);
  EXPECT_EQ(tally().judged(), 0u);
  EXPECT_EQ(held("7"), "value 7");
}

TEST_F(ReconcilerTest, SuspectsAreTheirRepairsMatter) {
  fill(0, 10);
  start();
  cache_->raise_floor("db", "", Suspects::kMustBeLoaded);
  pass(5s);
  EXPECT_THAT(db_.confirmations, IsEmpty());
  EXPECT_EQ(tally().judged(), 0u);
}

TEST_F(ReconcilerTest, OffAsksNothing) {
  fill(0, 10);
  start(0);
  change("3", "new");
  pass(30s);
  EXPECT_THAT(db_.confirmations, IsEmpty());
  EXPECT_FALSE(cache_->reconciliation().is_on);
}

TEST_F(ReconcilerTest, WhatIsInDoubtOverSeveralPassesIsCountedOnce) {
  fill(0, 1);
  start(1000, 1s);
  change("0", "new");
  executor_.advance(5500ms);
  EXPECT_EQ(cache_->reconciliation().passes, 5u);
  EXPECT_EQ(cache_->reconciliation().in_doubt, 1u);
  pass(2s);
  EXPECT_EQ(tally().judged(), 1u);
  EXPECT_EQ(witness_.seen.size(), 1u);
}

TEST_F(ReconcilerTest, MassDivergenceIsWorkedOffWithinTheBoundOfDoubts) {
  fill(0, 3000);
  start(20'000, 1s);
  for (int i = 0; i < 3000; ++i) change(std::to_string(i), "new");
  executor_.advance(1500ms);
  EXPECT_EQ(cache_->reconciliation().in_doubt, Reconciler::kDoubtsMax);
  EXPECT_EQ(tally().of(Reconciled::kUnproven), 3000 - Reconciler::kDoubtsMax);
  pass(10s);
  EXPECT_EQ(tally().of(Reconciled::kLost), 3000u);
}

}  // namespace
}  // namespace candor
