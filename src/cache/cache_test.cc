// The read and write paths on a virtual clock, with an origin that answers when the test says so.
#include "cache/cache.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "base/virtual_executor.h"

namespace candor {
namespace {

// An origin whose answers the test gives by hand.
struct ScriptedOrigin : OriginFeature {
  struct Call {
    std::string key;
    std::string value;
    OneShot<Result<OriginRow>> row;
    OneShot<Result<OriginWrite>> written;
  };
  std::deque<Call>* loads;
  std::deque<Call>* writes;
  bool writable = true;

  ScriptedOrigin(std::deque<Call>* l, std::deque<Call>* w) : loads(l), writes(w) {}
  Task<Result<OriginRow>> load(std::string key, MonoTime) override {
    Call call;
    call.key = std::move(key);
    auto row = call.row;
    loads->push_back(std::move(call));
    co_return co_await row;
  }
  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime) override {
    Call call;
    call.key = std::move(key);
    call.value = std::move(value);
    auto written = call.written;
    writes->push_back(std::move(call));
    co_return co_await written;
  }
  Task<Result<OriginWrite>> erase(std::string key, MonoTime deadline) override {
    return store(std::move(key), std::string(), deadline);
  }
  [[nodiscard]] bool can_store() const override { return writable; }
  [[nodiscard]] bool can_erase() const override { return writable; }
};

// An L2 in a map, with a switch for "down" and hooks to hold replies back.
struct FakeL2 : L2 {
  struct Slot {
    std::optional<L2Entry> entry;
    std::uint64_t lease = 0;
  };
  std::map<std::string, Slot> slots;
  bool down = false;
  std::uint64_t next_token = 1;
  int lookups = 0;
  std::optional<Error> swap_error;

  [[nodiscard]] std::unexpected<Error> away() const { return fail(ErrorCode::kUnavailable, "L2 is down"); }
  Task<Result<L2Lookup>> get_or_lease(std::string key, Duration, bool refresh) override {
    ++lookups;
    if (down) co_return away();
    Slot& slot = slots[key];
    L2Lookup found;
    if (slot.entry && !refresh) {
      found.state = L2Lookup::State::kHit;
      found.entry = *slot.entry;
    } else if (slot.lease != 0) {
      found.state = L2Lookup::State::kBusy;
    } else {
      found.state = L2Lookup::State::kLease;
      found.token.value = slot.lease = next_token++;
    }
    co_return found;
  }
  Task<Result<std::optional<L2Entry>>> get(std::string key) override {
    if (down) co_return away();
    co_return slots[key].entry;
  }
  Task<Result<L2FillVerdict>> fill(std::string key, LeaseToken token, L2Entry entry) override {
    if (down) co_return away();
    Slot& slot = slots[key];
    if (slot.lease != token.value) co_return L2FillVerdict::kLeaseLost;
    slot.lease = 0;
    slot.entry = std::move(entry);
    co_return L2FillVerdict::kStored;
  }
  Task<Result<void>> release(std::string key, LeaseToken token) override {
    if (down) co_return away();
    if (slots[key].lease == token.value) slots[key].lease = 0;
    co_return Result<void>();
  }
  Task<Result<void>> put(std::string key, L2Entry entry) override {
    if (down) co_return away();
    slots[key].entry = std::move(entry);
    co_return Result<void>();
  }
  Task<Result<L2Seen>> look(std::string key) override {
    if (down) co_return away();
    L2Seen seen;
    seen.entry = slots[key].entry;
    if (seen.entry) seen.mark = seen.entry->value;
    co_return seen;
  }
  Task<Result<L2Swap>> swap(std::string key, std::string mark, std::optional<L2Entry> entry, bool) override {
    if (down) co_return away();
    if (swap_error) co_return std::unexpected(*swap_error);
    L2Swap swap;
    swap.now.entry = slots[key].entry;
    if (swap.now.entry) swap.now.mark = swap.now.entry->value;
    swap.done = swap.now.mark == mark;
    if (swap.done) slots[key].entry = std::move(entry);
    co_return swap;
  }
  Task<Result<bool>> invalidate(std::string key, L2Marker) override {
    if (down) co_return away();
    const bool had = slots[key].entry.has_value();
    slots.erase(key);
    co_return had;
  }
  Task<Result<L2State>> state() override { co_return L2State{}; }
  Task<Result<L2State>> advance(L2State) override { co_return L2State{}; }
  Task<Result<L2State>> raise_generation(L2State) override { co_return L2State{}; }
  Task<Result<void>> hold_marker(std::string, ChangeId, Duration) override { co_return Result<void>(); }
  Task<Result<void>> clear(std::string prefix) override {
    if (down) co_return away();
    std::erase_if(slots, [&](const auto& item) { return item.first.starts_with(prefix); });
    co_return Result<void>();
  }
  [[nodiscard]] L2Stats stats() const override { return {}; }
  [[nodiscard]] std::string describe() const override { return "fake"; }
};

class CacheTest : public testing::Test {
 protected:
  struct Node {
    explicit Node(CacheTest& test, FakeL2* l2)
        : test_(test), store(store_options()), cache(parts(test, l2)) {}
    ~Node() { test_.answer_everything(); }
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    static l1::StoreOptions store_options() {
      l1::StoreOptions options;
      options.memory_limit = std::size_t{4} << 20;
      return options;
    }
    CacheCore::Parts parts(CacheTest& test, FakeL2* l2) {
      CacheCore::Parts p;
      p.clock = &test.executor_;
      p.home = &test.executor_;
      p.l1 = &store;
      p.l2 = l2;
      p.l2_is_shared = l2 != nullptr;
      p.seed = 42;
      p.waiters_max = 20'000;
      return p;
    }
    CacheTest& test_;
    l1::Store store;
    CacheCore cache;
  };

  // No task may be left waiting for an origin when its cache ends: it would never be destroyed.
  void answer_everything() {
    for (int round = 0; round < 3; ++round) {  // an answer may begin another load
      for (auto& call : loads_) (void)call.row.set(fail(ErrorCode::kOriginDown, "the test is over"));
      for (auto& call : writes_) (void)call.written.set(fail(ErrorCode::kOriginDown, "the test is over"));
      executor_.advance(1min);
    }
  }

  FeatureId add(Node& node, FeaturePolicy policy = {}) {
    if (policy.name.empty()) policy.name = "user";
    auto origin = policy.plain ? nullptr : std::make_unique<ScriptedOrigin>(&loads_, &writes_);
    return node.cache.add_feature(std::move(policy), std::move(origin)).value();
  }
  FeaturePolicy exact() {
    FeaturePolicy policy;
    policy.name = "user";
    policy.ttl_jitter = 0;
    policy.refresh_beta = 0;
    return policy;
  }

  // Outlives the test's body: what is still waiting is answered when its node ends.
  struct Answers {
    std::shared_ptr<std::vector<Result<ReadResult>>> list =
        std::make_shared<std::vector<Result<ReadResult>>>();
    [[nodiscard]] std::size_t size() const { return list->size(); }
    [[nodiscard]] const Result<ReadResult>& at(std::size_t i) const { return list->at(i); }
    [[nodiscard]] const Result<ReadResult>& operator[](std::size_t i) const { return (*list)[i]; }
    [[nodiscard]] auto begin() const { return list->begin(); }
    [[nodiscard]] auto end() const { return list->end(); }
  };
  void read(Node& node, FeatureId id, std::string key, Answers* out) {
    node.cache.read(id, std::move(key), {},
                    [list = out->list](Result<ReadResult> r) { list->push_back(std::move(r)); });
    executor_.run_ready();
  }
  void answer_load(std::size_t index, std::optional<std::string> value) {
    OriginRow row;
    row.value = std::move(value);
    (void)loads_.at(index).row.set(std::move(row));
    executor_.run_ready();
  }
  void fail_load(std::size_t index) {
    (void)loads_.at(index).row.set(fail(ErrorCode::kOriginDown, "origin 'shop' cannot be reached"));
    executor_.run_ready();
  }
  std::vector<Result<WriteResult>> written_;
  void write(Node& node, FeatureId id, std::string key, std::string value) {
    node.cache.write(id, std::move(key), std::move(value),
                     [this](auto r) { written_.push_back(std::move(r)); });
    executor_.run_ready();
  }
  void answer_write(std::size_t index) {
    (void)writes_.at(index).written.set(OriginWrite{1, {}});
    executor_.run_ready();
  }
  std::optional<std::string> hit(Node& node, FeatureId id, std::string_view key) {
    const l1::Store::ReadGuard guard(node.store);
    CacheCore::Hit out;
    const Feature& feature = node.cache.feature(id);
    if (!node.cache.try_hit(guard, feature, node.store.hash(id, key), key, node.cache.now_ms(), &out))
      return {};
    return out.negative ? "<none>" : std::string(out.value);
  }
  static std::string value_of(const Result<ReadResult>& r) {
    if (!r) return "error: " + std::string(error_code_name(r.error().code));
    return r->value ? *r->value : "<none>";
  }

  VirtualExecutor executor_;
  std::deque<ScriptedOrigin::Call> loads_;
  std::deque<ScriptedOrigin::Call> writes_;
};

TEST_F(CacheTest, MissLoadsOnceAndTheNextReadIsAHit) {
  Node node(*this, nullptr);
  const FeatureId id = add(node, exact());
  Answers answers;
  EXPECT_FALSE(hit(node, id, "1"));
  read(node, id, "1", &answers);
  answer_load(0, "alice");
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(value_of(answers[0]), "alice");
  EXPECT_EQ(answers[0]->tier, Tier::kOrigin);
  EXPECT_EQ(hit(node, id, "1"), "alice");
  EXPECT_EQ(loads_.size(), 1U);
}

struct WarmedAnswers {
  std::vector<CacheCore::Warmed> list;
  std::string error;
  CacheCore::WarmDone take() {
    return [this](CacheCore::Warmed how, const Error* why) {
      list.push_back(how);
      if (why != nullptr) error = why->message;
    };
  }
};

TEST_F(CacheTest, WarmingIsALoadForNobodyThatReadersMayWaitFor) {
  Node node(*this, nullptr);
  const FeatureId id = add(node, exact());
  WarmedAnswers warmed;
  node.cache.warm(id, "1", warmed.take());
  Answers answers;
  read(node, id, "1", &answers);
  EXPECT_EQ(loads_.size(), 1U) << "one flight for both";
  answer_load(0, "alice");
  EXPECT_EQ(warmed.list, std::vector{CacheCore::Warmed::kStored});
  EXPECT_EQ(value_of(answers[0]), "alice");
  const FeatureCounters& counted = node.cache.feature(id).counters;
  EXPECT_EQ(counted.reads_origin.value(), 1U) << "the reader alone";
  EXPECT_EQ(counted.read_miss_ns.snapshot().count, 1U);
  EXPECT_EQ(node.cache.waiting(), 0U);
  EXPECT_EQ(hit(node, id, "1"), "alice");
  node.cache.warm(id, "1", warmed.take());
  EXPECT_EQ(warmed.list.back(), CacheCore::Warmed::kHeld);
  EXPECT_EQ(loads_.size(), 1U);
}

TEST_F(CacheTest, WhatIsWarmedIsFencedAsAnyOtherLoad) {
  Node node(*this, nullptr);
  const FeatureId id = add(node, exact());
  WarmedAnswers warmed;
  node.cache.warm(id, "1", warmed.take());
  node.cache.invalidate(id, "1", [](const auto&) {});
  executor_.run_ready();
  answer_load(0, "old");
  EXPECT_EQ(warmed.list, std::vector{CacheCore::Warmed::kDropped});
  EXPECT_FALSE(hit(node, id, "1"));
}

TEST_F(CacheTest, WarmingSaysWhyItFailedAndThatThereIsNoRow) {
  Node node(*this, nullptr);
  FeaturePolicy policy = exact();
  policy.serve_stale = 10min;
  const FeatureId id = add(node, policy);
  WarmedAnswers warmed;
  node.cache.warm(id, "none", warmed.take());
  answer_load(0, std::nullopt);
  node.cache.warm(id, "1", warmed.take());
  fail_load(1);
  EXPECT_EQ(warmed.list, (std::vector{CacheCore::Warmed::kAbsent, CacheCore::Warmed::kFailed}));
  EXPECT_EQ(warmed.error, "origin 'shop' cannot be reached");
  // An old value that readers may be served is no success either.
  node.cache.warm(id, "2", warmed.take());
  answer_load(2, "v");
  executor_.advance(61s);
  node.cache.warm(id, "2", warmed.take());
  fail_load(3);
  EXPECT_EQ(warmed.list.back(), CacheCore::Warmed::kFailed);
  EXPECT_EQ(node.cache.feature(id).counters.served_stale.value(), 0U);
  EXPECT_EQ(node.cache.feature(id).counters.errors.value(), 0U);
}

TEST_F(CacheTest, TenThousandReadersOfOneKeyMakeOneLoad) {
  Node node(*this, nullptr);
  const FeatureId id = add(node, exact());
  Answers answers;
  for (int i = 0; i < 10'000; ++i) read(node, id, "hot", &answers);
  EXPECT_EQ(loads_.size(), 1U);
  answer_load(0, "v");
  EXPECT_EQ(answers.size(), 10'000U);
  for (const auto& a : answers) ASSERT_EQ(value_of(a), "v");
  EXPECT_EQ(node.cache.waiting(), 0U);
  EXPECT_EQ(executor_.timers(), 0U) << "no deadline timer may outlive its reader";
}

TEST_F(CacheTest, AbsentRowIsCachedForItsOwnTtl) {
  Node node(*this, nullptr);
  auto policy = exact();
  policy.negative_ttl = 2s;
  const FeatureId id = add(node, policy);
  Answers answers;
  read(node, id, "ghost", &answers);
  answer_load(0, std::nullopt);
  EXPECT_EQ(value_of(answers.at(0)), "<none>");
  EXPECT_EQ(hit(node, id, "ghost"), "<none>");
  executor_.advance(2s);
  EXPECT_FALSE(hit(node, id, "ghost"));
}

TEST_F(CacheTest, EntryExpiresAtItsTtl) {
  Node node(*this, nullptr);
  auto policy = exact();
  policy.ttl = 10s;
  const FeatureId id = add(node, policy);
  Answers answers;
  read(node, id, "1", &answers);
  answer_load(0, "v");
  executor_.advance(9'999ms);
  EXPECT_TRUE(hit(node, id, "1"));
  executor_.advance(1ms);
  EXPECT_FALSE(hit(node, id, "1"));
}

TEST_F(CacheTest, LoadThatBeganBeforeAWriteIsHandedOutButNotStored) {
  Node node(*this, nullptr);
  const FeatureId id = add(node, exact());
  Answers before;
  Answers after;
  read(node, id, "1", &before);  // the load has read the old row, its answer is on its way
  write(node, id, "1", "new");
  answer_write(0);
  ASSERT_EQ(written_.size(), 1U);
  read(node, id, "1", &after);  // after the acknowledgement: must not join the old load
  EXPECT_EQ(loads_.size(), 2U);
  answer_load(0, "old");
  EXPECT_EQ(value_of(before.at(0)), "old");
  EXPECT_FALSE(hit(node, id, "1")) << "the late fill lost";
  answer_load(1, "new");
  EXPECT_EQ(value_of(after.at(0)), "new");
  EXPECT_EQ(hit(node, id, "1"), "new");
}

TEST_F(CacheTest, WriteIsAcknowledgedOnlyAfterTheOldValueIsGone) {
  Node node(*this, nullptr);
  const FeatureId id = add(node, exact());
  Answers answers;
  read(node, id, "1", &answers);
  answer_load(0, "old");
  write(node, id, "1", "new");
  EXPECT_TRUE(written_.empty());
  answer_write(0);
  ASSERT_EQ(written_.size(), 1U);
  EXPECT_TRUE(written_[0].has_value());
  EXPECT_FALSE(hit(node, id, "1"));
}

TEST_F(CacheTest, FailedWriteSaysSoAndDropsTheEntryBecauseNobodyKnows) {
  Node node(*this, nullptr);
  const FeatureId id = add(node, exact());
  Answers answers;
  read(node, id, "1", &answers);
  answer_load(0, "old");
  write(node, id, "1", "new");
  (void)writes_.at(0).written.set(fail(ErrorCode::kTimeout, "no answer in time"));
  ASSERT_EQ(written_.size(), 1U);
  EXPECT_EQ(written_[0].error().code, ErrorCode::kUnknownOutcome);
  EXPECT_FALSE(hit(node, id, "1"));
}

TEST_F(CacheTest, WriteThatNeverHappenedIsToldApartFromOneOfUnknownOutcome) {
  Node node(*this, nullptr);
  const FeatureId id = add(node, exact());
  write(node, id, "1", "new");
  (void)writes_.at(0).written.set(fail(ErrorCode::kOriginDown, "not reachable"));
  ASSERT_EQ(written_.size(), 1U);
  EXPECT_EQ(written_[0].error().code, ErrorCode::kOriginDown);
  EXPECT_EQ(written_[0].error().message, "not written: not reachable");
}

TEST_F(CacheTest, FeatureWithoutStoreIsReadOnly) {
  Node node(*this, nullptr);
  auto origin = std::make_unique<ScriptedOrigin>(&loads_, &writes_);
  origin->writable = false;
  const FeatureId id = node.cache.add_feature(exact(), std::move(origin)).value();
  write(node, id, "1", "v");
  ASSERT_EQ(written_.size(), 1U);
  EXPECT_EQ(written_[0].error().code, ErrorCode::kReadOnly);
  EXPECT_TRUE(writes_.empty());
}

TEST_F(CacheTest, ReaderIsToldWhenTheHardTimeoutPasses) {
  Node node(*this, nullptr);
  auto policy = exact();
  policy.hard_timeout = 1s;
  const FeatureId id = add(node, policy);
  Answers answers;
  read(node, id, "1", &answers);
  executor_.advance(1s);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].error().code, ErrorCode::kTimeout);
  answer_load(0, "late");
  EXPECT_EQ(answers.size(), 1U) << "a reader is answered once";
}

TEST_F(CacheTest, SoftTimeoutServesTheOldValueAndTheLoadGoesOn) {
  Node node(*this, nullptr);
  auto policy = exact();
  policy.ttl = 1s;
  policy.serve_stale = 60s;
  policy.soft_timeout = 50ms;
  const FeatureId id = add(node, policy);
  Answers answers;
  read(node, id, "1", &answers);
  answer_load(0, "old");
  executor_.advance(2s);
  EXPECT_FALSE(hit(node, id, "1")) << "past its ttl it is no hit";
  read(node, id, "1", &answers);
  executor_.advance(50ms);
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(value_of(answers[1]), "old");
  EXPECT_STREQ(answers[1]->degraded, "soft timeout");
  answer_load(1, "new");
  EXPECT_EQ(hit(node, id, "1"), "new");
}

TEST_F(CacheTest, OriginFailureServesStaleWithinTheOwnersLimitOnly) {
  Node node(*this, nullptr);
  auto policy = exact();
  policy.ttl = 1s;
  policy.serve_stale = 10s;
  const FeatureId id = add(node, policy);
  Answers answers;
  read(node, id, "1", &answers);
  answer_load(0, "old");
  executor_.advance(5s);
  read(node, id, "1", &answers);
  fail_load(1);
  EXPECT_EQ(value_of(answers.at(1)), "old");
  EXPECT_STREQ(answers[1]->degraded, "origin failed");
  executor_.advance(6s);
  read(node, id, "1", &answers);
  fail_load(2);
  EXPECT_EQ(answers.at(2).error().code, ErrorCode::kOriginDown);
}

TEST_F(CacheTest, HotEntryIsRefreshedBeforeItExpires) {
  Node node(*this, nullptr);
  auto policy = exact();
  policy.ttl = 10s;
  policy.refresh_beta = 1.0;
  const FeatureId id = add(node, policy);
  Answers answers;
  read(node, id, "1", &answers);
  executor_.advance(100ms);  // a load costs 100 ms
  answer_load(0, "v1");
  executor_.advance(9'890ms);
  for (int i = 0; i < 1000 && loads_.size() == 1; ++i) {
    EXPECT_EQ(hit(node, id, "1"), "v1");
    executor_.run_ready();
  }
  ASSERT_EQ(loads_.size(), 2U) << "one of many readers near the expiry asks for a refresh";
  for (int i = 0; i < 1000; ++i) {
    (void)hit(node, id, "1");
    executor_.run_ready();
  }
  EXPECT_EQ(loads_.size(), 2U) << "and only one load is made";
  answer_load(1, "v2");
  EXPECT_EQ(hit(node, id, "1"), "v2");
}

TEST_F(CacheTest, TwoNodesThatShareL2MakeOneLoad) {
  FakeL2 l2;
  Node a(*this, &l2);
  Node b(*this, &l2);
  const FeatureId ida = add(a, exact());
  const FeatureId idb = add(b, exact());
  Answers answers;
  read(a, ida, "1", &answers);
  read(b, idb, "1", &answers);
  executor_.advance(5ms);
  EXPECT_EQ(loads_.size(), 1U);
  answer_load(0, "v");
  executor_.advance(100ms);
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(value_of(answers[0]), "v");
  EXPECT_EQ(value_of(answers[1]), "v");
  EXPECT_EQ(answers[1]->tier, Tier::kL2);
  EXPECT_EQ(loads_.size(), 1U);
}

TEST_F(CacheTest, LeaseOfANodeThatDiedDelaysButDoesNotStopTheOthers) {
  FakeL2 l2;
  l2.slots["user:1"].lease = 999;  // its holder will never fill
  Node node(*this, &l2);
  auto policy = exact();
  policy.hard_timeout = 1s;
  const FeatureId id = add(node, policy);
  Answers answers;
  read(node, id, "1", &answers);
  executor_.advance(990ms);
  ASSERT_EQ(loads_.size(), 1U);
  answer_load(0, "v");
  EXPECT_EQ(value_of(answers.at(0)), "v");
}

TEST_F(CacheTest, WriteOnOneNodeCancelsALateFillOfAnother) {
  FakeL2 l2;
  Node a(*this, &l2);
  Node b(*this, &l2);
  const FeatureId ida = add(a, exact());
  const FeatureId idb = add(b, exact());
  Answers answers;
  read(a, ida, "1", &answers);  // a has read the old row
  write(b, idb, "1", "new");
  answer_write(0);
  answer_load(0, "old");
  EXPECT_EQ(value_of(answers.at(0)), "old");
  EXPECT_FALSE(hit(a, ida, "1")) << "the lease was cancelled: kept nowhere";
  EXPECT_FALSE(l2.slots["user:1"].entry);
}

TEST_F(CacheTest, L2DownMeansStraightToTheOrigin) {
  FakeL2 l2;
  l2.down = true;
  Node node(*this, &l2);
  const FeatureId id = add(node, exact());
  Answers answers;
  read(node, id, "1", &answers);
  ASSERT_EQ(loads_.size(), 1U);
  answer_load(0, "v");
  EXPECT_EQ(value_of(answers.at(0)), "v");
  EXPECT_EQ(hit(node, id, "1"), "v");
}

TEST_F(CacheTest, InvalidationThatL2DidNotTakeIsOwedAndTheKeyIsNotReadThereMeanwhile) {
  FakeL2 l2;
  Node node(*this, &l2);
  const FeatureId id = add(node, exact());
  Answers answers;
  read(node, id, "1", &answers);
  answer_load(0, "old");
  l2.down = true;
  write(node, id, "1", "new");
  answer_write(0);
  ASSERT_EQ(written_.size(), 1U);
  EXPECT_TRUE(written_[0].has_value()) << "the origin has it; a dead L2 fails nobody's write";
  EXPECT_EQ(node.cache.owed_invalidations(), 1U);
  // L2 is back with its old memory before the debt is paid: the key is not believed there.
  l2.down = false;
  ASSERT_TRUE(l2.slots["user:1"].entry);
  read(node, id, "1", &answers);
  ASSERT_EQ(loads_.size(), 2U);
  answer_load(1, "new");
  EXPECT_EQ(value_of(answers.at(1)), "new");
  executor_.advance(200ms);
  EXPECT_EQ(node.cache.owed_invalidations(), 0U);
  EXPECT_FALSE(l2.slots["user:1"].entry) << "the debt was paid";
}

TEST_F(CacheTest, LeaseOfALoadThatWasFencedIsGivenBack) {
  FakeL2 l2;
  Node node(*this, &l2);
  const FeatureId id = add(node, exact());
  Answers answers;
  read(node, id, "1", &answers);
  // An invalidation whose effect on L2 came before this load's lease: only the local fence knows of it.
  const auto lease = l2.slots["user:1"].lease;
  node.cache.invalidate(id, "1", [this](auto r) { written_.push_back(std::move(r)); });
  executor_.run_ready();
  l2.slots["user:1"].lease = lease;
  answer_load(0, "old");
  EXPECT_EQ(l2.slots["user:1"].lease, 0U) << "or nobody could load the key before the lease ends";
}

TEST_F(CacheTest, WriteOfUnknownOutcomeKeepsTheKeyOutUntilItCanNoLongerCommit) {
  FakeL2 l2;
  Node node(*this, &l2);
  const FeatureId id = add(node, exact());
  Answers answers;
  write(node, id, "1", "new");
  (void)writes_.at(0).written.set(fail(ErrorCode::kTimeout, "no answer in time"));
  executor_.run_ready();
  read(node, id, "1", &answers);
  answer_load(0, "old");  // the UPDATE still waits for a lock
  EXPECT_EQ(value_of(answers.at(0)), "old");
  EXPECT_FALSE(hit(node, id, "1")) << "not kept: the write may still commit";
  EXPECT_FALSE(l2.slots["user:1"].entry);
  executor_.advance(32s);
  read(node, id, "1", &answers);
  answer_load(1, "new");
  EXPECT_EQ(hit(node, id, "1"), "new");
}

TEST_F(CacheTest, FailedFlushOfAFeatureNeverCostsAnotherFeaturesPlainValues) {
  FakeL2 l2;
  Node node(*this, &l2);
  const FeatureId user = add(node, exact());
  l2.slots["carts:1"].entry = L2Entry{.value = "full"};
  l2.slots["user:1"].entry = L2Entry{.value = "old"};
  l2.down = true;
  node.cache.flush(user, [this](auto r) { written_.push_back(std::move(r)); });
  executor_.run_ready();
  ASSERT_FALSE(written_.at(0).has_value());
  EXPECT_EQ(node.cache.owed_invalidations(), 1U);
  l2.down = false;
  executor_.advance(300ms);
  EXPECT_FALSE(l2.slots["user:1"].entry);
  EXPECT_TRUE(l2.slots["carts:1"].entry);
  EXPECT_EQ(node.cache.owed_invalidations(), 0U);
}

TEST_F(CacheTest, LessServeStaleNeverMakesAnOldValueFresh) {
  Node node(*this, nullptr);
  auto policy = exact();
  policy.ttl = 2s;
  policy.serve_stale = 10min;
  const FeatureId id = add(node, policy);
  Answers answers;
  read(node, id, "1", &answers);
  answer_load(0, "old");
  policy.serve_stale = 1s;
  ASSERT_TRUE(node.cache.update_policy(id, policy));
  executor_.advance(5s);
  EXPECT_FALSE(hit(node, id, "1"));
  read(node, id, "1", &answers);
  fail_load(1);
  EXPECT_FALSE(answers.at(1).has_value())
      << "the old value is past the new limit, whatever was promised when it was loaded";
}

TEST_F(CacheTest, ShorterTtlCountsForWhatIsAlreadyHeld) {
  Node node(*this, nullptr);
  auto policy = exact();
  policy.ttl = 60s;
  const FeatureId id = add(node, policy);
  Answers answers;
  read(node, id, "1", &answers);
  answer_load(0, "v");
  executor_.advance(5s);
  EXPECT_TRUE(hit(node, id, "1"));
  policy.ttl = 4s;
  ASSERT_TRUE(node.cache.update_policy(id, policy));
  EXPECT_FALSE(hit(node, id, "1"));
}

TEST_F(CacheTest, AChangeOfUnknownOutcomeIsToldApartFromOneThatNeverBegan) {
  FakeL2 l2;
  Node node(*this, &l2);
  auto policy = exact();
  policy.plain = true;
  const FeatureId id = add(node, policy);
  const auto change = [&] {
    written_.clear();
    const auto decide = [](const l1::EntryView*) {
      l1::Store::Update update;
      update.action = l1::Store::Update::Action::kStore;
      update.value = "v";
      return update;
    };
    node.cache.plain_update(id, "k", decide, [this](auto r) { written_.push_back(std::move(r)); });
    executor_.run_ready();
    return written_.at(0).error().code;
  };
  l2.swap_error = Error{ErrorCode::kTimeout, "no reply in time"};
  EXPECT_EQ(change(), ErrorCode::kUnknownOutcome);
  l2.down = true;
  EXPECT_EQ(change(), ErrorCode::kOriginDown);
  EXPECT_EQ(written_[0].error().message, "not written: L2 is down");
}

TEST_F(CacheTest, PlainFeatureBehindASharedL2LivesThere) {
  FakeL2 l2;
  Node a(*this, &l2);
  Node b(*this, &l2);
  auto policy = exact();
  policy.plain = true;
  const FeatureId ida = add(a, policy);
  const FeatureId idb = add(b, policy);
  a.cache.plain_write(ida, "k", "v", 0s, [this](auto r) { written_.push_back(std::move(r)); });
  executor_.run_ready();
  Answers answers;
  read(b, idb, "k", &answers);
  EXPECT_EQ(value_of(answers.at(0)), "v");
  a.cache.plain_write(ida, "k", "w", 0s, [this](auto r) { written_.push_back(std::move(r)); });
  executor_.run_ready();
  read(b, idb, "k", &answers);
  EXPECT_EQ(value_of(answers.at(1)), "w") << "no copy in b's L1 may hide the change";
}

TEST_F(CacheTest, StrongReadsGoToTheOriginEachTime) {
  Node node(*this, nullptr);
  auto policy = exact();
  policy.consistency = Consistency::kStrong;
  const FeatureId id = add(node, policy);
  Answers answers;
  read(node, id, "1", &answers);
  answer_load(0, "v");
  EXPECT_FALSE(hit(node, id, "1"));
  read(node, id, "1", &answers);
  EXPECT_EQ(loads_.size(), 2U);
}

TEST_F(CacheTest, TooManyWaitingReadersAreRefusedAndTheOthersUnharmed) {
  Node node(*this, nullptr);
  const FeatureId id = add(node, exact());
  Answers answers;
  for (int i = 0; i < 20'001; ++i) read(node, id, "k" + std::to_string(i), &answers);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].error().code, ErrorCode::kOverloaded);
  answer_load(0, "v");
  EXPECT_EQ(value_of(answers.at(1)), "v");
}

TEST_F(CacheTest, FlushOfAFeatureLeavesTheOthers) {
  Node node(*this, nullptr);
  const FeatureId user = add(node, exact());
  auto policy = exact();
  policy.name = "shop";
  const FeatureId shop = add(node, policy);
  Answers answers;
  read(node, user, "1", &answers);
  answer_load(0, "u");
  read(node, shop, "1", &answers);
  answer_load(1, "s");
  node.cache.flush(user, [this](auto r) { written_.push_back(std::move(r)); });
  executor_.run_ready();
  EXPECT_FALSE(hit(node, user, "1"));
  EXPECT_EQ(hit(node, shop, "1"), "s");
}

TEST_F(CacheTest, UpdatePolicyTakesEffectAndRefusesANewName) {
  Node node(*this, nullptr);
  const FeatureId id = add(node, exact());
  auto policy = exact();
  policy.ttl = 1s;
  EXPECT_TRUE(node.cache.update_policy(id, policy));
  EXPECT_EQ(node.cache.feature(id).policy().ttl, 1s);
  policy.name = "other";
  EXPECT_FALSE(node.cache.update_policy(id, policy));
}

// ---- tags ----

FeatureTags tags_of(const std::vector<std::string>& texts) {
  std::vector<TagPattern> patterns;
  for (const std::string& text : texts) patterns.push_back(TagPattern::parse(text).value());
  return FeatureTags(std::move(patterns), 1);
}

TEST_F(CacheTest, TagDropsTheKeysThatHaveItAndNoOthers) {
  Node node(*this, nullptr);
  const FeatureId id = add(node, exact());
  node.cache.set_tags(id, tags_of({"all", "one:{1}"}));
  Answers answers;
  for (const char* key : {"1", "2"}) read(node, id, key, &answers);
  answer_load(0, "a");
  answer_load(1, "b");
  node.cache.forget_tag("one:1");
  EXPECT_FALSE(hit(node, id, "1"));
  EXPECT_EQ(hit(node, id, "2"), "b");
  executor_.advance(2ms);
  read(node, id, "1", &answers);
  answer_load(2, "new");
  EXPECT_EQ(hit(node, id, "1"), "new");
  node.cache.forget_tag("all");
  EXPECT_FALSE(hit(node, id, "1"));
  EXPECT_FALSE(hit(node, id, "2"));
}

TEST_F(CacheTest, LoadFromBeforeATagWasDroppedIsNotStored) {
  for (const char* tag : {"all", "one:1"}) {
    Node node(*this, nullptr);
    const FeatureId id = add(node, exact());
    node.cache.set_tags(id, tags_of({"all", "one:{1}"}));
    Answers answers;
    read(node, id, "1", &answers);
    const std::size_t load = loads_.size() - 1;
    executor_.advance(1ms);
    node.cache.forget_tag(tag);
    executor_.advance(5ms);
    answer_load(load, "old");
    EXPECT_EQ(value_of(answers.at(0)), "old");
    EXPECT_FALSE(hit(node, id, "1")) << tag;
  }
}

TEST_F(CacheTest, WhatATagDroppedIsNotServedWhenTheOriginFails) {
  Node node(*this, nullptr);
  auto policy = exact();
  policy.serve_stale = 10min;
  const FeatureId id = add(node, policy);
  node.cache.set_tags(id, tags_of({"all", "one:{1}"}));
  Answers answers;
  for (const char* key : {"1", "2"}) read(node, id, key, &answers);
  answer_load(0, "a");
  answer_load(1, "b");
  node.cache.forget_tag("one:1");
  read(node, id, "1", &answers);
  fail_load(2);
  EXPECT_FALSE(answers.at(2).has_value());
  node.cache.forget_tag("all");
  read(node, id, "2", &answers);
  fail_load(3);
  EXPECT_FALSE(answers.at(3).has_value());
}

TEST_F(CacheTest, TagOfADownL2IsOwedAndSaid) {
  FakeL2 l2;
  Node node(*this, &l2);
  const FeatureId id = add(node, exact());
  node.cache.set_tags(id, tags_of({"all"}));
  Answers answers;
  read(node, id, "1", &answers);
  answer_load(0, "old");
  l2.down = true;
  std::vector<Result<WriteResult>> done;
  node.cache.invalidate_tag("all", [&](auto r) { done.push_back(std::move(r)); });
  executor_.run_ready();
  ASSERT_EQ(done.size(), 1U);
  EXPECT_FALSE(done[0].has_value());
  EXPECT_FALSE(hit(node, id, "1"));
  l2.down = false;
  executor_.advance(1ms);
  read(node, id, "1", &answers);
  answer_load(1, "new");
  EXPECT_EQ(value_of(answers.at(1)), "new");
  executor_.advance(1s);
  EXPECT_TRUE(l2.slots["user:1"].entry == std::nullopt || l2.slots["user:1"].entry->value == "new");
}

}  // namespace
}  // namespace candor
