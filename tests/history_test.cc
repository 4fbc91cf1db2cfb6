// Histories of real daemons, without faults and with one kind of fault each. What each test shows: the
// promises of every level held in the history that was recorded, and the fault did take effect.
#include "tests/history_fixture.h"

namespace candor {
namespace {

using testing::Candord;
using testing::TcpProxy;
using testing::Visitor;

// ---- One node ----

TEST_F(HistoryTest, OneNodeOverSqliteIsKilled) {
  ASSERT_NO_FATAL_FAILURE(over_sqlite());
  begin();
  run(1s);
  region_->daemon(0).kill_now();
  ASSERT_TRUE(region_->daemon(0).start());
  run(2s);
  finish();
}

// ---- Two nodes: PostgreSQL, Redis as L2, Redis as stream ----

TEST_F(HistoryTest, NothingBreaks) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "calm"}));
  begin();
  // Twice the longest lease after the slot was made L2 has been told of it for good (LateDebts); a leader
  // that ends before, as one does in finish(), is followed by one that begins with the break again.
  run(7s);
  finish();
  for (Candord* daemon : region_->daemons())
    EXPECT_EQ(daemon->log().find("degraded"), std::string::npos) << daemon->log();
}

TEST_F(HistoryTest, NodesAreKilledAndComeBack) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "kills"}));
  begin();
  for (std::size_t i = 0; i < 3; ++i) {
    Candord& daemon = region_->daemon(i % 2);
    daemon.kill_now();
    run(300ms);
    ASSERT_TRUE(daemon.start());
    run(500ms);
  }
  finish();
}

// Clients that hammer a node from the moment it wakes: its first answers are given before it has heard of
// anything that happened meanwhile.
class Hammer {
 public:
  Hammer(testing::Recorder* recorder, Candord* node, std::vector<std::string> keys) : keys_(std::move(keys)) {
    for (std::uint64_t i = 0; i < 4; ++i) {
      auto visitor = std::make_unique<Visitor>(recorder, node);
      for (const auto& key : keys_)
        (void)visitor->read(key, sim::Level::kSession);  // what it must not step behind
      visitors_.push_back(std::move(visitor));
    }
  }
  void strike() {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < visitors_.size(); ++i) threads.emplace_back([this, i] { strike(i); });
    for (auto& thread : threads) thread.join();
  }

 private:
  void strike(std::size_t i) {
    Random random(i);
    const std::int64_t end = testing::Recorder::now() + 500'000'000;
    while (testing::Recorder::now() < end) {
      const auto& key = keys_[random.below(keys_.size())];
      if (i == 0) (void)visitors_[i]->read(key, sim::Level::kSession);
      if (i == 1) (void)visitors_[i]->read(key, sim::Level::kStrong);
      if (i >= 2) (void)visitors_[i]->read(key, sim::Level::kBounded, i == 2 ? 400ms : 2s);
    }
  }
  std::vector<std::string> keys_;
  std::vector<std::unique_ptr<Visitor>> visitors_;
};

class PausedNode : public HistoryTest, public ::testing::WithParamInterface<std::size_t> {};

// Past every timeout: of L2, of presence, of a read, of the proof. Node 0 leads the feed.
TEST_P(PausedNode, ServesNothingThatItCannotProve) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = fmt::format("pause{}", GetParam())}));
  begin();
  Candord& paused = region_->daemon(GetParam());
  Hammer hammer(&recorder_, &paused, clients_->keys());
  paused.freeze();
  run(10s);
  paused.thaw();
  hammer.strike();
  run(500ms);
  finish();
}
INSTANTIATE_TEST_SUITE_P(LeaderAndFollower, PausedNode, ::testing::Values(0, 1));

// ---- Links ----

class Links : public HistoryTest {
 protected:
  using Link = std::unique_ptr<TcpProxy> testing::TestRegion::Node::*;
  // Of each node in turn: both ways, one way, the other way; then cut, then slow.
  void hurt(Link link) {
    for (std::size_t i = 0; i < region_->size(); ++i) {
      TcpProxy& proxy = *(node(i).*link);
      const auto before = proxy.counts();
      proxy.partition();
      run(1200ms);
      proxy.heal();
      run(300ms);
      proxy.set({.hold_to_server = i % 2 == 0, .hold_to_client = i % 2 == 1});
      run(700ms);
      proxy.set({.refuse = true});
      proxy.cut();
      run(300ms);
      proxy.set({.delay = 20ms, .jitter = 30ms});
      run(400ms);
      proxy.heal();
      EXPECT_GT(proxy.counts().bytes_late, before.bytes_late);
      EXPECT_GT(proxy.counts().cut, before.cut);
    }
  }
};

TEST_F(Links, ToL2) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "linkl2"}));
  begin();
  hurt(&testing::TestRegion::Node::to_l2);
  finish();
}

TEST_F(Links, ToTheStream) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "linkstream"}));
  begin();
  hurt(&testing::TestRegion::Node::to_stream);
  finish();
}

TEST_F(Links, ToTheOrigin) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "linkorigin"}));
  begin();
  hurt(&testing::TestRegion::Node::to_origin);
  finish(20s);
}

TEST_F(Links, ToNats) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "linknats", .nodes = 3, .stream = "nats"}));
  begin();
  hurt(&testing::TestRegion::Node::to_stream);
  finish();
}

// ---- L2 forgets ----

TEST_F(HistoryTest, L2IsFlushedByHandAndRestartedEmpty) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "l2gone"}));
  begin();
  for (int i = 0; i < 2; ++i) {
    testing::RespClient by_hand(region_->l2().port());
    ASSERT_TRUE(by_hand.call({"FLUSHALL"}));
    run(700ms);
  }
  region_->l2().crash();
  run(700ms);
  ASSERT_TRUE(region_->l2().start());
  run(1s);
  finish();
}

TEST_F(HistoryTest, L2IsRestoredFromAnOldDump) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "l2old"}));
  begin();
  testing::RespClient by_hand(region_->l2().port());
  ASSERT_TRUE(by_hand.call({"SAVE"}));
  run(2s);
  region_->l2().crash();
  ASSERT_TRUE(region_->l2().start());  // from its folder, where the dump lies
  testing::RespClient look(region_->l2().port());
  const auto size = look.call({"DBSIZE"});
  ASSERT_TRUE(size && size->integer > 10);
  run(1500ms);
  finish();
}

// ---- The stream forgets ----

class Stream : public HistoryTest {
 protected:
  // A follower is cut off, and what is said meanwhile is gone when it comes back. It must notice: the change
  // of a calm key would never be told again.
  void forget_behind_a_partition(const std::string& region) {
    testing::TcpProxy& link = *node(1).to_stream;
    link.partition();
    run(1s);
    region_->stream().purge_log(region);
    link.cut();
    link.heal();
    run(1s);
  }
};

TEST_F(Stream, OfRedisIsTrimmedDeletedAndRestartedEmpty) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "redisgone"}));
  begin();
  forget_behind_a_partition("redisgone");
  region_->stream().delete_log("redisgone");
  run(1s);
  region_->stream().crash();
  run(500ms);
  ASSERT_TRUE(region_->stream().start());
  run(1s);
  finish();
}

TEST_F(Stream, OfNatsIsPurgedDeletedAndRestarted) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "natsgone", .nodes = 3, .stream = "nats"}));
  begin();
  forget_behind_a_partition("natsgone");
  region_->stream().delete_log("natsgone");
  run(1s);
  region_->stream().crash();
  run(500ms);
  ASSERT_TRUE(region_->stream().start());
  run(1s);
  region_->daemon(1).kill_now();
  ASSERT_TRUE(region_->daemon(1).start());
  run(500ms);
  finish();
}

// ---- The feed ----

TEST_F(HistoryTest, TheFeedIsTakenAwayFromItsReader) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "taken"}));
  begin();
  int ended = 0;
  for (int i = 0; i < 8; ++i) {
    (void)database_->sql().run(
        "select pg_terminate_backend(active_pid) from pg_replication_slots where database = 'taken' and "
        "active");
    ended += static_cast<int>(database_->sql().rows().size());
    run(400ms);
  }
  EXPECT_GE(ended, 3);
  finish();
}

// Rows of one transaction on their way to the leader when its connections end.
TEST_F(HistoryTest, TheFeedIsCutInTheMiddleOfATransaction) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "midway"}));
  begin();
  const auto extra = clients_->extra_keys(3000);
  for (int round = 0; round < 3; ++round) {
    node(0).to_origin->set({.bytes_per_second = 60'000});
    node(1).to_origin->set({.bytes_per_second = 60'000});
    clients_->write_in_one_transaction(extra);
    run(300ms);
    for (std::size_t i = 0; i < 2; ++i) {
      node(i).to_origin->cut();
      node(i).to_origin->heal();
    }
    run(700ms);
  }
  finish(20s);
}

TEST_F(HistoryTest, AMillionRowsChangeInOneTransaction) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "million"}));
  begin({.write_pace = 50ms});
  const auto extra = clients_->extra_keys(5);
  clients_->write_in_one_transaction(
      extra,
      "set local session_replication_role = replica;"  // without the journal
      "insert into item select 'bulk' || g, g from generate_series(1, 1000000) g;"
      "set local session_replication_role = origin;");
  run(1s);
  finish(30s);
}

// Commits that are in the log, and so in the stream, long before any reader can see them.
TEST_F(HistoryTest, CommitsBecomeVisibleLate) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "late"}));
  begin();
  for (int round = 0; round < 3; ++round) {
    testing::SqlClient admin(database_->url(0));
    admin.value("alter system set synchronous_standby_names = 'nobody'");
    admin.value("select pg_reload_conf()");
    run(800ms);
    admin.value("alter system reset synchronous_standby_names");
    admin.value("select pg_reload_conf()");
    run(400ms);
  }
  finish();
}

// ---- Two regions over one origin ----

TEST_F(HistoryTest, TwoRegionsShareAnOrigin) {
  ASSERT_NO_FATAL_FAILURE(over_postgres({.name = "east", .nodes = 1}));
  testing::TestRegion west(origin_.get(), {.name = "west", .nodes = 1, .stream = "nats"});
  ASSERT_TRUE(west.start());
  also_ = &west;
  EXPECT_EQ(database_->sql().value("select count(*) from pg_replication_slots where database = 'east'"), "2");
  begin();
  run(1s);
  west.node(0).to_stream->partition();
  run(1s);
  west.heal();
  west.daemon(0).kill_now();
  run(300ms);
  ASSERT_TRUE(west.daemon(0).start());
  run(1s);
  finish();
}

}  // namespace
}  // namespace candor
