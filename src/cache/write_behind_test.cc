// Write-behind in the cache, on a virtual clock: a log in memory, and an origin that keeps its position as a
// database does.
#include "cache/write_behind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <set>

#include "base/memory_append_store.h"
#include "base/virtual_executor.h"
#include "cache/cache.h"

namespace candor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using write_behind::Log;
using write_behind::Queue;
using write_behind::RecordKind;
using write_behind::WriteBehind;
using write_behind::WriteMode;

// Work runs when the test says so.
class HeldPool final : public BlockingPool {
 public:
  void run(std::move_only_function<void()> work) override { held_.push_back(std::move(work)); }
  bool run_one() {
    if (held_.empty()) return false;
    auto work = std::move(held_.front());
    held_.pop_front();
    work();
    return true;
  }

 private:
  std::deque<std::move_only_function<void()>> held_;
};

// What stays when a node dies.
struct Database {
  std::map<std::string, std::string> rows;
  std::map<std::string, std::uint64_t> positions;
  std::vector<std::string> applied;  // "a=1", in order
  std::set<std::string> refused;     // values that break a constraint
  bool refuses_at_commit = false;    // … which is looked at when the transaction ends
  bool down = false;
  int lost_answers = 0;  // commits whose answer never comes
  int batches = 0;
  bool held = false;  // answers wait for release()
};

class DatabaseOrigin final : public OriginFeature {
 public:
  explicit DatabaseOrigin(Database* db, std::deque<OneShot<bool>>* held) : db_(db), held_(held) {}

  Task<Result<OriginRow>> load(std::string key, MonoTime) override {
    OriginRow row;
    if (const auto it = db_->rows.find(key); it != db_->rows.end()) row.value = it->second;
    if (db_->held) {
      const OneShot<bool> released;
      held_->push_back(released);
      (void)co_await released;
    }
    if (db_->down) co_return fail(ErrorCode::kOriginDown, "down");
    co_return row;
  }
  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime) override {
    if (db_->held) {
      const OneShot<bool> released;
      held_->push_back(released);
      (void)co_await released;
    }
    if (db_->down) co_return fail(ErrorCode::kOriginDown, "down");
    db_->applied.push_back(key + "=" + value);
    db_->rows[key] = value;
    co_return OriginWrite{1, {}};
  }
  Task<Result<OriginWrite>> erase(std::string key, MonoTime) override {
    co_return OriginWrite{db_->rows.erase(key), {}};
  }
  [[nodiscard]] bool can_store() const override { return true; }
  [[nodiscard]] bool can_erase() const override { return true; }
  [[nodiscard]] bool can_apply() const override { return true; }

  Task<WriteBatchOutcome> apply(WriteBatch batch, MonoTime) override {
    if (db_->held) {
      const OneShot<bool> released;
      held_->push_back(released);
      (void)co_await released;
    }
    WriteBatchOutcome outcome;
    outcome.error = Error{ErrorCode::kOriginDown, "the database is down"};
    if (db_->down) co_return outcome;
    std::uint64_t& position = db_->positions[batch.log_id];
    outcome.kind = WriteBatchOutcome::Kind::kMoved;
    if (position != batch.expected) co_return outcome;
    for (std::size_t i = 0; i < batch.writes.size(); ++i) {
      if (batch.writes[i].is_erase || !db_->refused.contains(*batch.writes[i].value)) continue;
      outcome.kind = WriteBatchOutcome::Kind::kRefused;
      outcome.error = Error{ErrorCode::kRejected, "constraint failed"};
      if (!db_->refuses_at_commit) outcome.index = i;
      co_return outcome;
    }
    for (const BatchedWrite& write : batch.writes) {
      db_->applied.push_back(write.key + (write.is_erase ? "-" : "=" + *write.value));
      if (write.is_erase) db_->rows.erase(write.key);
      if (!write.is_erase) db_->rows[write.key] = *write.value;
    }
    position = batch.position;
    ++db_->batches;
    outcome.kind = WriteBatchOutcome::Kind::kApplied;
    outcome.changes.resize(batch.writes.size());
    if (db_->lost_answers > 0) {
      --db_->lost_answers;
      outcome.kind = WriteBatchOutcome::Kind::kFailed;
    }
    co_return outcome;
  }
  Task<Result<std::uint64_t>> applied_position(std::string log_id, MonoTime) override {
    if (db_->down) co_return fail(ErrorCode::kOriginDown, "the database is down");
    co_return db_->positions[log_id];
  }

 private:
  Database* db_;
  std::deque<OneShot<bool>>* held_;
};

class SharedStore final : public AppendStore {
 public:
  explicit SharedStore(MemoryAppendStore* store) : store_(store) {}
  Result<std::vector<std::string>> list() override { return store_->list(); }
  Result<std::string> read(const std::string& name, std::size_t max) override {
    return store_->read(name, max);
  }
  Result<std::unique_ptr<AppendFile>> open(const std::string& name) override { return store_->open(name); }
  Result<void> remove(const std::string& name) override { return store_->remove(name); }
  [[nodiscard]] std::string path_of(const std::string& name) const override { return store_->path_of(name); }

 private:
  MemoryAppendStore* store_;
};

class WriteBehindTest : public testing::Test {
 protected:
  struct Node {
    explicit Node(VirtualExecutor& executor) : store(options()) {
      CacheCore::Parts parts;
      parts.clock = &executor;
      parts.home = &executor;
      parts.l1 = &store;
      parts.seed = 42;
      cache = std::make_unique<CacheCore>(parts);
    }
    static l1::StoreOptions options() {
      l1::StoreOptions options;
      options.memory_limit = std::size_t{4} << 20;
      return options;
    }
    l1::Store store;
    std::unique_ptr<CacheCore> cache;
    FeatureId id;
  };

  void SetUp() override { start(); }
  void TearDown() override {
    node_->cache->close();
    db_.held = false;
    release();
    settle(2min);
    node_.reset();
    settle();
  }

  void start(WriteMode mode = WriteMode::kBehind) {
    node_ = std::make_unique<Node>(executor_);
    FeaturePolicy policy;
    policy.name = "f";
    policy.ttl_jitter = 0;
    policy.refresh_beta = 0;
    policy.consistency = level_;
    node_->id = node_->cache->add_feature(policy, std::make_unique<DatabaseOrigin>(&db_, &held_)).value();
    auto log = std::make_unique<Log>(std::make_unique<SharedStore>(&files_), options_log_);
    write_behind::LogId fresh;
    fresh.bytes.fill(5);
    auto recovered = log->recover(fresh);
    ASSERT_TRUE(recovered) << recovered.error().message;
    node_->cache->use_write_behind(node_->id, options_, std::move(log), std::move(*recovered), &pool_);
    ASSERT_TRUE(node_->cache->set_write_mode(node_->id, mode, options_.queue.window));
  }
  // kill -9: what was under way is answered into a cache that nobody asks any more.
  void crash() {
    node_->cache->close();
    dead_nodes_.push_back(std::move(node_));
    files_.crash();
    start();
  }
  ~WriteBehindTest() override { dead_nodes_.clear(); }

  void settle(Duration by = Duration::zero()) {
    do {
      executor_.advance(by);
      by = Duration::zero();
      executor_.run_ready();
    } while (pool_.run_one());
  }
  void release() {
    while (!held_.empty()) {
      auto one = held_.front();
      held_.pop_front();
      (void)one.set(true);
      settle();
    }
  }

  struct Answer {
    std::shared_ptr<std::optional<Result<WriteResult>>> slot =
        std::make_shared<std::optional<Result<WriteResult>>>();
    [[nodiscard]] bool is_ok() const { return slot->has_value() && slot->value().has_value(); }
    [[nodiscard]] std::string error() const {
      return !slot->has_value() ? "no answer" : slot->value() ? "" : slot->value().error().message;
    }
  };
  Answer post(const std::string& key, const std::optional<std::string>& value) {
    Answer answer;
    auto done = [slot = answer.slot](Result<WriteResult> result) { slot->emplace(std::move(result)); };
    if (value) {
      node_->cache->write(node_->id, key, *value, std::move(done));
    } else {
      node_->cache->erase(node_->id, key, std::move(done));
    }
    return answer;
  }
  Answer put(const std::string& key, const std::optional<std::string>& value) {
    Answer answer = post(key, value);
    settle();
    return answer;
  }
  std::string get(const std::string& key, std::optional<Consistency> level = std::nullopt) {
    std::string out = "(no answer)";
    CacheCore::ReadOptions options;
    if (level) {
      options.use_feature_level = false;
      options.level = *level;
      options.bound = 1s;
    }
    auto slot = std::make_shared<std::string>("(no answer)");
    node_->cache->read(node_->id, key, options, [slot](Result<ReadResult> result) {
      *slot = !result                    ? "error: " + result.error().message
              : result->value == nullptr ? "(none)"
                                         : *result->value;
    });
    settle();
    last_ = slot;
    return *slot;
  }
  bool hit(const std::string& key) {
    const l1::Store::ReadGuard guard(node_->store);
    CacheCore::Hit hit;
    return node_->cache->try_hit(guard, node_->cache->feature(node_->id), node_->store.hash(node_->id, key),
                                 key, node_->cache->now_ms(), &hit);
  }
  WriteBehind& behind() { return *node_->cache->write_behind(node_->id); }

  Consistency level_ = Consistency::kSession;
  WriteBehind::Options options_;
  Log::Options options_log_;
  Database db_;
  std::deque<OneShot<bool>> held_;
  MemoryAppendStore files_;
  VirtualExecutor executor_;
  HeldPool pool_;
  std::unique_ptr<Node> node_;
  std::vector<std::unique_ptr<Node>> dead_nodes_;
  std::shared_ptr<std::string> last_;
};

TEST_F(WriteBehindTest, AWriteIsAnsweredAfterTheLogAndBeforeTheOriginWhichGetsItAfterTheWindow) {
  const Answer answer = post("a", "1");
  executor_.run_ready();
  EXPECT_FALSE(answer.is_ok());  // the log has not answered
  EXPECT_EQ(behind().find("a"), nullptr);
  settle();
  EXPECT_TRUE(answer.is_ok());
  EXPECT_TRUE(db_.rows.empty());
  settle(101ms);
  EXPECT_EQ(db_.rows["a"], "1");
  EXPECT_TRUE(behind().is_empty());
}

TEST_F(WriteBehindTest, ReadersOfThisNodeSeeThePendingValueAtOnceAlsoFromL1) {
  db_.rows["a"] = "0";
  EXPECT_EQ(get("a"), "0");
  put("a", "1");
  EXPECT_TRUE(hit("a"));
  EXPECT_EQ(get("a"), "1");
  EXPECT_EQ(get("a", Consistency::kBounded), "1");
  put("a", std::nullopt);
  EXPECT_EQ(get("a"), "(none)");
  EXPECT_EQ(db_.rows["a"], "0");
}

TEST_F(WriteBehindTest, AfterTheBatchReadersGetTheOriginsRow) {
  put("a", "1");
  settle(101ms);
  db_.rows["a"] = "1, as a trigger made it";
  EXPECT_FALSE(hit("a"));
  EXPECT_EQ(get("a"), "1, as a trigger made it");
}

TEST_F(WriteBehindTest, ALoadFromBeforeTheWriteIsHandedOutAndKeptNowhere) {
  db_.rows["a"] = "0";
  db_.held = true;
  (void)get("a");
  const auto earlier = last_;
  put("a", "1");
  db_.held = false;
  release();
  EXPECT_EQ(*earlier, "0");
  EXPECT_EQ(get("a"), "1");
}

TEST_F(WriteBehindTest, AnInvalidationFromTheOriginDoesNotTakeThePendingValueAway) {
  db_.rows["a"] = "0";
  put("a", "1");
  node_->cache->forget_name("f:a");
  EXPECT_FALSE(hit("a"));
  EXPECT_EQ(get("a"), "1");
  EXPECT_EQ(get("a"), "1");
}

TEST_F(WriteBehindTest, WhoWantsTheOriginsWordWaitsUntilTheOriginHasTheWrite) {
  db_.rows["a"] = "0";
  put("a", "1");
  EXPECT_EQ(get("a", Consistency::kOrigin), "1");
  EXPECT_EQ(db_.rows["a"], "1");
  put("a", "2");
  db_.down = true;
  EXPECT_EQ(get("a", Consistency::kStrong), "(no answer)");
  settle(6s);
  EXPECT_THAT(*last_, HasSubstr("did not reach the origin"));
}

TEST_F(WriteBehindTest, WritesOfOneKeyAreMergedAndTheirOrderIsKept) {
  for (int i = 0; i < 50; ++i) put("a", std::to_string(i));
  put("b", "1");
  put("a", "last");
  settle(101ms);
  EXPECT_THAT(db_.applied, ElementsAre("b=1", "a=last"));
  EXPECT_EQ(db_.batches, 1);
  EXPECT_EQ(behind().stats().merged, 50u);
}

TEST_F(WriteBehindTest, WritesThatArriveTogetherShareASync) {
  const std::size_t before = files_.syncs;
  std::vector<Answer> answers;
  for (int i = 0; i < 100; ++i) answers.push_back(post("k" + std::to_string(i), "v"));
  settle();
  for (const Answer& answer : answers) EXPECT_TRUE(answer.is_ok());
  EXPECT_EQ(files_.syncs, before + 1);
}

TEST_F(WriteBehindTest, AKeyThatIsWrittenWithoutAPauseReachesTheOriginInEveryWindow) {
  for (int i = 0; i < 50; ++i) {
    put("hot", std::to_string(i));
    put("cold" + std::to_string(i), "1");
    settle(10ms);
  }
  EXPECT_GE(std::stoi(db_.rows["hot"]), 30);
}

TEST_F(WriteBehindTest, WhatWasAcknowledgedSurvivesAKillAndIsShownAgain) {
  db_.rows["a"] = "0";
  put("a", "1");
  crash();
  EXPECT_EQ(get("a"), "1");
  settle(101ms);
  EXPECT_EQ(db_.rows["a"], "1");
}

TEST_F(WriteBehindTest, ABatchThatWasCommittedBeforeTheKillIsNotAppliedTwice) {
  put("a", "1");
  put("b", "1");
  db_.lost_answers = 1;
  settle(101ms);
  EXPECT_EQ(db_.batches, 1);
  crash();
  put("c", "1");
  settle(101ms);
  EXPECT_THAT(db_.applied, ElementsAre("a=1", "b=1", "c=1"));
}

TEST_F(WriteBehindTest, AnAnswerThatNeverCameIsLookedUpAtTheOrigin) {
  put("a", "1");
  db_.lost_answers = 1;
  settle(101ms);
  put("a", "2");
  settle(2s);
  EXPECT_THAT(db_.applied, ElementsAre("a=1", "a=2"));
  EXPECT_TRUE(behind().is_empty());
}

TEST_F(WriteBehindTest, WhileTheOriginIsDownWritesAreTakenMergedAndTriedAgain) {
  db_.down = true;
  put("a", "1");
  settle(1s);
  put("a", "2");
  settle(20s);
  EXPECT_EQ(get("a"), "2");
  EXPECT_GT(behind().stats().retries, 2u);
  EXPECT_THAT(behind().stats().problem, HasSubstr("down"));
  db_.down = false;
  settle(10s);
  EXPECT_EQ(db_.rows["a"], "2");
  EXPECT_EQ(behind().stats().problem, "");
}

TEST_F(WriteBehindTest, AWriteThatTheOriginRefusesIsPutAsideAndNothingElseIsHeldUp) {
  db_.refused = {"bad"};
  put("a", "1");
  put("b", "bad");
  put("c", "1");
  settle(101ms);
  EXPECT_THAT(db_.applied, ElementsAre("a=1", "c=1"));
  const auto letters = behind().dead_letters();
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].key, "b");
  EXPECT_EQ(letters[0].value, "bad");
  EXPECT_THAT(letters[0].reason, HasSubstr("constraint"));
  EXPECT_EQ(get("b"), "(none)");  // what the origin says, from now on
}

TEST_F(WriteBehindTest, ARefusalAtTheCommitIsFoundByHalves) {
  db_.refused = {"bad"};
  db_.refuses_at_commit = true;
  for (int i = 0; i < 8; ++i) put("k" + std::to_string(i), i == 5 ? "bad" : "1");
  settle(101ms);
  EXPECT_EQ(db_.rows.size(), 7u);
  ASSERT_EQ(behind().dead_letters().size(), 1u);
  EXPECT_EQ(behind().dead_letters()[0].key, "k5");
}

TEST_F(WriteBehindTest, DeadLettersSurviveAKillAndAreReplayedOrDropped) {
  db_.refused = {"bad"};
  put("a", "bad");
  put("b", "bad");
  settle(101ms);
  crash();
  settle(101ms);
  auto letters = behind().dead_letters();
  ASSERT_EQ(letters.size(), 2u);
  db_.refused.clear();
  std::optional<bool> replayed, dropped, unknown;
  spawn(behind().replay(letters[0].position), [&](const Result<void>& r) { replayed = r.has_value(); });
  spawn(behind().drop(letters[1].position), [&](const Result<void>& r) { dropped = r.has_value(); });
  spawn(behind().drop(12345), [&](const Result<void>& r) { unknown = r.has_value(); });
  settle();
  settle(101ms);
  EXPECT_EQ(replayed, true);
  EXPECT_EQ(dropped, true);
  EXPECT_EQ(unknown, false);
  EXPECT_THAT(db_.applied, ElementsAre("a=bad"));
  EXPECT_TRUE(behind().dead_letters().empty());
  crash();
  EXPECT_TRUE(behind().dead_letters().empty());
}

TEST_F(WriteBehindTest, BeyondTheLimitsWritesAreRefusedAndNothingOfThemIsKept) {
  node_->cache->close();
  dead_nodes_.push_back(std::move(node_));
  options_.queue.keys_max = 2;
  start();
  db_.down = true;
  put("a", "1");
  put("b", "1");
  const Answer refused = put("c", "1");
  EXPECT_FALSE(refused.is_ok());
  EXPECT_THAT(refused.error(), HasSubstr("keys_max"));
  EXPECT_EQ((*refused.slot)->error().code, ErrorCode::kOverloaded);
  EXPECT_TRUE(put("a", "2").is_ok());
  EXPECT_EQ(behind().stats().refused, 1u);
  db_.down = false;
  settle(10s);
  EXPECT_TRUE(put("c", "1").is_ok());
}

TEST_F(WriteBehindTest, AFullDiskIsAnAnswerAndNotAPromise) {
  files_.room = 10;
  const Answer refused = put("a", "1");
  EXPECT_THAT(refused.error(), HasSubstr("not written"));
  EXPECT_EQ(get("a"), "(none)");
  files_.room = SIZE_MAX;
  EXPECT_TRUE(put("a", "2").is_ok());
  crash();
  EXPECT_EQ(get("a"), "2");
}

// A reader whose load is slow is given what is held: by then a write that the origin does not have yet. It is
// newer than the origin's row, and nobody may take it for a stale one.
TEST_F(WriteBehindTest, WhatAReaderGetsInsteadOfASlowLoadIsKnownToBePending) {
  FeaturePolicy policy = node_->cache->feature(node_->id).policy();
  policy.soft_timeout = 50ms;
  policy.serve_stale = 1h;
  ASSERT_TRUE(node_->cache->update_policy(node_->id, policy));
  db_.held = true;
  std::optional<Result<ReadResult>> answer;
  node_->cache->read(node_->id, "a", {}, [&](Result<ReadResult> result) { answer = std::move(result); });
  settle();
  ASSERT_TRUE(put("a", "1").is_ok());
  settle(51ms);
  ASSERT_TRUE(answer && *answer);
  EXPECT_EQ(*(*answer)->value, "1");
  EXPECT_NE((*answer)->degraded, nullptr);
  EXPECT_TRUE((*answer)->is_pending);
}

TEST_F(WriteBehindTest, DelOfAPendingEraseFindsNothing) {
  db_.rows["a"] = "0";
  EXPECT_TRUE((**put("a", std::nullopt).slot)->existed);
  EXPECT_FALSE((**put("a", std::nullopt).slot)->existed);
  settle(101ms);
  EXPECT_THAT(db_.applied, ElementsAre("a-"));
}

TEST_F(WriteBehindTest, ThroughAgainAWriteWaitsForWhatIsPendingOfItsKey) {
  put("a", "1");
  db_.held = true;
  settle(101ms);  // the batch is on its way
  ASSERT_TRUE(node_->cache->set_write_mode(node_->id, WriteMode::kThrough, 100ms));
  const Answer answer = put("a", "2");
  EXPECT_FALSE(answer.is_ok());
  db_.held = false;
  release();
  settle(1ms);
  EXPECT_TRUE(answer.is_ok());
  EXPECT_THAT(db_.applied, ElementsAre("a=1", "a=2"));
  EXPECT_TRUE(behind().is_empty());
}

TEST_F(WriteBehindTest, BehindAgainABatchWaitsForWritesThatWentThrough) {
  ASSERT_TRUE(node_->cache->set_write_mode(node_->id, WriteMode::kThrough, 100ms));
  db_.held = true;
  const Answer through = put("a", "1");
  ASSERT_TRUE(node_->cache->set_write_mode(node_->id, WriteMode::kBehind, 100ms));
  EXPECT_TRUE(put("a", "2").is_ok());
  settle(1s);
  EXPECT_FALSE(through.is_ok());
  EXPECT_EQ(get("a"), "2");
  db_.held = false;
  release();
  settle(101ms);
  EXPECT_TRUE(through.is_ok());
  EXPECT_THAT(db_.applied, ElementsAre("a=1", "a=2"));
}

TEST_F(WriteBehindTest, AStrongFeatureIsNotSwitchedBehind) {
  node_->cache->close();
  dead_nodes_.push_back(std::move(node_));
  level_ = Consistency::kStrong;
  start(WriteMode::kThrough);
  const auto refused = node_->cache->set_write_mode(node_->id, WriteMode::kBehind, 100ms);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("strong"));
}

TEST_F(WriteBehindTest, HurryBringsWhatIsPendingWithoutTheWindowAndCloseLeavesTheRestInTheLog) {
  put("a", "1");
  behind().hurry();
  settle();
  EXPECT_EQ(db_.rows["a"], "1");
  db_.down = true;
  put("b", "1");
  behind().close();
  settle(1min);
  db_.down = false;
  crash();
  settle(101ms);
  EXPECT_EQ(db_.rows["b"], "1");
}

TEST_F(WriteBehindTest, WhatALogLostAtItsEndAndTheOriginHasTakesNothingAwayFromNewWrites) {
  put("a", "1");
  put("b", "1");
  settle(101ms);
  db_.positions.begin()->second = 9;  // what the log lost in a power cut was applied
  crash();
  put("c", "1");
  settle(10s);
  EXPECT_THAT(db_.applied, ElementsAre("a=1", "b=1", "c=1"));
  EXPECT_GT(db_.positions.begin()->second, 9u);
}

TEST_F(WriteBehindTest, AnOlderCopyOfTheLogTakesNoWritesAndSaysWhatToDo) {
  const auto before = files_.files;
  crash();
  put("a", "1");
  settle(101ms);
  files_.files = before;  // the copy is put back
  crash();
  put("b", "1");  // nobody knows yet
  settle(101ms);
  EXPECT_THAT(db_.applied, ElementsAre("a=1"));
  const Answer refused = put("c", "1");
  EXPECT_THAT(refused.error(), HasSubstr("an older copy"));
  EXPECT_THAT(behind().stats().problem, HasSubstr("move the directory"));
  EXPECT_EQ(get("b"), "1");
}

TEST_F(WriteBehindTest, AnOriginThatWentBackIsReported) {
  put("a", "1");
  settle(101ms);
  db_.positions.begin()->second = 0;
  db_.lost_answers = 1;
  put("b", "1");
  settle(10s);
  put("c", "1");
  settle(10s);
  EXPECT_EQ(db_.rows["c"], "1");
  EXPECT_FALSE(behind().stats().damage.empty());
}

}  // namespace
}  // namespace candor
