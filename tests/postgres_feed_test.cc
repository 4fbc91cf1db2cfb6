// The PostgreSQL change feed against real servers.
#include "change/postgres_feed.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <sys/resource.h>

#include <atomic>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "io/clock.h"
#include "io/loop.h"
#include "io/thread_pool.h"
#include "origin/postgres_identity.h"
#include "tests/support/process.h"

namespace candor {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::PostgresServer;
using ::testing::UnorderedElementsAre;

// One connection of somebody else's, for SQL.
class Client {
 public:
  explicit Client(const std::string& url) : c_(PQconnectdb(url.c_str())) {
    PQsetNoticeProcessor(c_, [](void*, const char*) {}, nullptr);
  }
  ~Client() { PQfinish(c_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  std::string operator()(const std::string& text, bool may_fail = false) {
    PGresult* r = PQexec(c_, text.c_str());
    const auto status = PQresultStatus(r);
    const bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    EXPECT_TRUE(ok || may_fail) << text << ": " << PQerrorMessage(c_);
    std::string first = ok && PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "";
    PQclear(r);
    return first;
  }
  void send(const std::string& text) { EXPECT_EQ(PQsendQuery(c_, text.c_str()), 1); }

 private:
  PGconn* c_;
};

class Sink final : public FeedSink {
 public:
  void on_changes(std::vector<Change> changes, Position now, std::move_only_function<void()> taken) override {
    EXPECT_TRUE(leading);
    ++calls;
    largest = std::max(largest, changes.size());
    for (auto& change : changes) {
      EXPECT_LE(change.position, now);
      EXPECT_NE(change.id.value, 0u);
      seen.insert(change.scope == Change::Scope::kFeature ? change.feature + ":*"
                                                          : change.feature + ":" + change.key);
      if (keep) all.push_back(std::move(change));
      ++count;
    }
    up_to = now;
    if (confirms && feed != nullptr) feed->confirm(up_to);
    if (holds) {
      held = std::move(taken);
    } else {
      taken();
    }
  }
  void on_break(Incarnation now, Position from, std::string reason) override {
    EXPECT_TRUE(leading);
    incarnation = now;
    break_from = from;
    breaks.push_back(std::move(reason));
  }
  void on_leading(bool now) override { leading = now; }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& c : all)
      found.push_back(c.scope == Change::Scope::kFeature ? c.feature + ":*" : c.feature + ":" + c.key);
    return found;
  }
  void forget() {
    all.clear();
    seen.clear();
    count = 0;
  }

  Feed* feed = nullptr;
  bool keep = true, confirms = true, holds = false, leading = false;
  std::move_only_function<void()> held;
  std::vector<Change> all;
  std::set<std::string> seen;
  std::uint64_t count = 0, calls = 0;
  std::size_t largest = 0;
  Position up_to, break_from;
  Incarnation incarnation;
  std::vector<std::string> breaks;
};

// A node of a region, as far as feeds go.
struct Node {
  Sink sink;
  std::unique_ptr<PostgresFeed> feed;
  ~Node() {
    if (feed) feed->stop();
  }
};

class PostgresFeedTest : public ::testing::Test {
 protected:
  static std::vector<std::string> settings() {
    return {"wal_level=logical",        "max_connections=60", "max_wal_senders=10",
            "max_replication_slots=10", "autovacuum=off",     "log_min_messages=fatal"};
  }
  static void SetUpTestSuite() {
    if (!PostgresServer::is_installed()) return;
    shared_ = new PostgresServer(settings());
    ASSERT_TRUE(shared_->start());
  }
  static void TearDownTestSuite() {
    delete shared_;
    shared_ = nullptr;
  }
  void SetUp() override {
    if (shared_ == nullptr) GTEST_SKIP() << "PostgreSQL is not installed";
    server_ = shared_;
    sql_ = std::make_unique<Client>(server_->url());
    origin_ = fmt::format("o{}", ++numbers_);
    sql("drop schema public cascade; create schema public");
    sql("create table profile (id integer primary key, body text, email text)");
  }
  void TearDown() override {
    if (server_ == nullptr) return;
    nodes_.clear();
    turn_until([] { return false; }, 20ms);
    sql_.reset();
    if (server_ == shared_) {
      Client clean(server_->url());
      for (int i = 0; i < 100 && !clean("select slot_name from pg_replication_slots").empty(); ++i) {
        clean("select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active", true);
        turn_until([] { return false; }, 10ms);
      }
      clean(fmt::format("drop publication if exists candor_{}", origin_), true);
    }
  }
  // A server of this test's own.
  void own_server(std::vector<std::string> extra = {}) {
    auto all = settings();
    all.insert(all.end(), extra.begin(), extra.end());
    own_ = std::make_unique<PostgresServer>(all);
    ASSERT_TRUE(own_->start());
    server_ = own_.get();
    sql_ = std::make_unique<Client>(server_->url());
    sql("create table profile (id integer primary key, body text, email text)");
  }
  void reconnect_sql() { sql_ = std::make_unique<Client>(server_->url()); }
  std::string sql(const std::string& text) { return (*sql_)(text); }

  static std::vector<Watch> profile() { return {{"profile", "profile", {"id"}}}; }
  Node& start(std::vector<Watch> watches = profile(), const std::string& region = "eu", std::string url = "",
              const std::function<void(PostgresFeedOptions&)>& change = {}) {
    auto target = parse_postgres_url(origin_, url.empty() ? server_->url() : url);
    EXPECT_TRUE(target);
    PostgresFeedOptions options;
    options.region = region;
    options.origin = origin_;
    options.watches = std::move(watches);
    options.check_period = 200ms;
    if (change) change(options);
    auto node = std::make_unique<Node>();
    node->feed = std::make_unique<PostgresFeed>(*target, options, loop_, loop_, pool_, entropy_);
    node->sink.feed = node->feed.get();
    node->feed->start(&node->sink);
    nodes_.push_back(std::move(node));
    return *nodes_.back();
  }
  Node& lead(std::vector<Watch> watches = profile(), const std::string& region = "eu") {
    auto& node = start(std::move(watches), region);
    EXPECT_TRUE(turn_until([&] { return node.sink.leading; })) << node.feed->status().problem;
    return node;
  }

  // The region has its break, and the server knows.
  bool is_told(Node& node) {
    const auto confirmed = [&] {
      const auto at =
          parse_postgres_position(sql("select confirmed_flush_lsn from pg_replication_slots where active"));
      return at && *at > node.sink.break_from;
    };
    return turn_until([&] { return node.sink.leading && confirmed(); });
  }

  bool turn_until(const std::function<bool()>& done, Duration patience = 20s) {
    const SystemClock clock;
    const MonoTime deadline = clock.now() + patience;
    while (!done()) {
      if (clock.now() >= deadline) return false;
      loop_.turn(2ms);
    }
    return true;
  }
  // Everything that was committed before this call has been handed over.
  bool catch_up(Node& node, Duration patience = 20s) {
    const auto insert = parse_postgres_position(sql("select pg_current_wal_insert_lsn()"));
    const auto end = postgres_end_of_log(*insert, 16 << 20);
    return turn_until([&] { return node.sink.leading && node.sink.up_to >= end; }, patience);
  }
  static std::vector<std::string> unheard(const Node& node) {
    std::vector<std::string> features;
    for (const Unheard& one : node.feed->status().unheard) features.push_back(one.feature);
    return features;
  }
  std::string problem_of(Node& node) {
    EXPECT_TRUE(turn_until([&] { return node.feed->status().state == FeedStatus::State::kMisconfigured; }));
    return node.feed->status().problem;
  }

  static PostgresServer* shared_;
  static int numbers_;
  PostgresServer* server_ = nullptr;
  std::unique_ptr<PostgresServer> own_;
  std::unique_ptr<Client> sql_;
  std::string origin_;
  SystemEntropy entropy_;
  Loop loop_;
  ThreadPool pool_{2, "blocking"};
  std::vector<std::unique_ptr<Node>> nodes_;
};
PostgresServer* PostgresFeedTest::shared_ = nullptr;
int PostgresFeedTest::numbers_ = 0;

// ---- Changes

TEST_F(PostgresFeedTest, InsertUpdateAndDeleteNameTheirKeys) {
  auto& node = lead();
  EXPECT_THAT(node.sink.breaks, ElementsAre("new slot"));
  sql("insert into profile values (1, 'a'), (2, 'b')");
  sql("update profile set body = 'c' where id = 1");
  sql("delete from profile where id = 2");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("profile:1", "profile:2", "profile:1", "profile:2"));
}

TEST_F(PostgresFeedTest, AKeyThatChangesIsTwoChanges) {
  auto& node = lead();
  sql("insert into profile values (1, 'a')");
  sql("update profile set id = 7");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("profile:1", "profile:7", "profile:1"));
}

TEST_F(PostgresFeedTest, AChangeCarriesItsTransactionAndTime) {
  auto& node = lead();
  const auto xid =
      sql("with i as (insert into profile values (1) returning 1) select pg_current_xact_id() from i");
  ASSERT_TRUE(catch_up(node));
  ASSERT_EQ(node.sink.all.size(), 1u);
  EXPECT_EQ(std::to_string(node.sink.all[0].id.value), xid);
  EXPECT_LT(std::abs(node.sink.all[0].committed.ns - SystemClock().wall().ns), 60'000'000'000);
}

TEST_F(PostgresFeedTest, WhatIsRolledBackIsNoChange) {
  auto& node = lead();
  sql("begin; insert into profile values (1); rollback; begin; insert into profile values (2); savepoint s; "
      "insert into profile values (3); rollback to s; commit");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("profile:2"));
}

TEST_F(PostgresFeedTest, HeartbeatsMoveOnWhileNobodyWrites) {
  auto& node = lead();
  sql("create table other (x int)");  // log without a watched change
  ASSERT_TRUE(catch_up(node, 5s));
  EXPECT_TRUE(node.sink.all.empty());
  EXPECT_TRUE(turn_until([&] { return node.feed->status().lag_bytes < 100'000; }));
}

TEST_F(PostgresFeedTest, TheEndOfASegmentIsReached) {
  auto& node = lead();
  sql("select pg_switch_wal()");
  ASSERT_TRUE(catch_up(node, 5s));
}

TEST_F(PostgresFeedTest, KeysAreTheTextThatALoadIsAskedWith) {
  sql("create table k (i int, b bigint, t text, u uuid, f boolean, primary key (i, b, t, u, f))");
  auto& node = lead({{"i", "k", {"i"}}, {"all", "k", {"t", "i", "b", "u", "f"}}});
  sql("insert into k values (7, -9000000000, 'Ä b', '{A0EEBC99-9C0B4EF8-BB6D6BB9-BD380A11}', true)");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(),
              ElementsAre("i:7", "all:Ä b:7:-9000000000:a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11:t"));
}

TEST_F(PostgresFeedTest, QuotedAndQualifiedNamesAreFound) {
  sql("create schema app; create table app.\"Profile X\" (\"Key\" int primary key); "
      "create table \"Mixed\" (id int primary key)");
  auto& node = lead({{"a", "app.\"Profile X\"", {"Key"}}, {"b", "Mixed", {"ID"}}});
  sql("insert into app.\"Profile X\" values (1); insert into \"Mixed\" values (2)");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("a:1", "b:2"));
}

TEST_F(PostgresFeedTest, TruncateIsTheWholeFeature) {
  auto& node = lead();
  sql("insert into profile values (1)");
  sql("truncate profile");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("profile:1", "profile:*"));
}

TEST_F(PostgresFeedTest, PartitionsSpeakInTheNameOfTheirTable) {
  sql("create table part (id int primary key, v text) partition by range (id); "
      "create table part_a partition of part for values from (0) to (10); "
      "create table part_b partition of part for values from (10) to (20)");
  auto& node = lead({{"part", "part", {"id"}}});
  sql("insert into part values (1, 'x'), (11, 'y')");
  sql("update part set id = 12 where id = 1");  // moves to the other partition
  sql("delete from part_b where id = 11");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("part:1", "part:11", "part:1", "part:12", "part:11"));
}

TEST_F(PostgresFeedTest, APartitionThatGoesIsABreak) {
  sql("create table part (id int primary key, v text) partition by range (id); "
      "create table part_a partition of part for values from (0) to (10)");
  auto& node = lead({{"part", "part", {"id"}}});
  sql("alter table part detach partition part_a");
  EXPECT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2 && node.sink.leading; }));
  EXPECT_THAT(node.sink.breaks.back(), HasSubstr("has changed"));
}

TEST_F(PostgresFeedTest, TruncatingOnePartitionIsABreak) {
  sql("create table part (id int primary key, v text) partition by range (id); "
      "create table part_a partition of part for values from (0) to (10)");
  auto& node = lead({{"part", "part", {"id"}}});
  sql("truncate part_a");
  EXPECT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2; }));
}

// ---- Replica identity

TEST_F(PostgresFeedTest, ATableWithoutIdentityIsNotPublishedAndTheSqlIsSaid) {
  sql("create table bare (id int, v text)");
  auto& node = start({{"bare", "bare", {"id"}}});
  EXPECT_THAT(problem_of(node), HasSubstr("alter table bare replica identity full;"));
  sql("insert into bare values (1); update bare set v = 'x'");  // would fail if it were published
  sql("alter table bare replica identity full");
  ASSERT_TRUE(turn_until([&] { return node.sink.leading; }));
  sql("update bare set id = 2");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("bare:2", "bare:1"));
  EXPECT_EQ(node.feed->status().problem, "");
}

TEST_F(PostgresFeedTest, AKeyOutsideOfTheIdentityIsTheWholeFeatureUntilMended) {
  sql("insert into profile values (1, 'a', 'x@y')");
  auto& node = lead({{"by_email", "profile", {"email"}}});
  sql("update profile set body = 'b'");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("by_email:*"));
  EXPECT_THAT(node.feed->status().problem, HasSubstr("alter table profile replica identity full"));
  sql("alter table profile replica identity full");
  ASSERT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2 && node.sink.leading; }));
  ASSERT_TRUE(catch_up(node));
  node.sink.forget();
  sql("update profile set email = 'z@y'");
  sql("delete from profile");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("by_email:z@y", "by_email:x@y", "by_email:z@y"));
  EXPECT_EQ(node.feed->status().problem, "");
}

TEST_F(PostgresFeedTest, AnIndexCanBeTheIdentity) {
  sql("create table bi (id int primary key, a text not null, b text not null); "
      "create unique index bi_ab on bi (a, b); alter table bi replica identity using index bi_ab");
  auto& node = lead({{"ab", "bi", {"b", "a"}}});
  sql("insert into bi values (1, 'x', 'y')");
  sql("update bi set a = 'z'");
  sql("update bi set id = 2");
  sql("delete from bi");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("ab:y:x", "ab:y:z", "ab:y:x", "ab:y:z", "ab:y:z"));
}

TEST_F(PostgresFeedTest, ALargeValueThatStaysIsNoRiddle) {
  sql("create table big (k text primary key, v int); alter table big alter k set storage external");
  auto& node = lead({{"big", "big", {"k"}}});
  sql("insert into big values (repeat('k', 2600), 1)");
  sql("update big set v = 2");
  ASSERT_TRUE(catch_up(node));
  EXPECT_EQ(node.sink.seen.size(), 1u);
  EXPECT_EQ(node.sink.all.size(), 2u);
}

// ---- Schema changes

TEST_F(PostgresFeedTest, AColumnThatMovesIsFollowed) {
  auto& node = lead();
  sql("alter table profile drop column body; alter table profile add column more int");
  sql("insert into profile values (5, 'e', 1)");
  ASSERT_TRUE(turn_until([&] { return node.sink.seen.contains("profile:5"); }));
  EXPECT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2; }));
}

// The server may show our own process at the slot for a while after we let go: what is owed stays owed.
TEST_F(PostgresFeedTest, ABreakIsNotForgottenWhileSomebodyElseIsAtTheSlot) {
  auto& node = lead();
  ASSERT_TRUE(is_told(node));
  sql("alter table profile add column more int");
  // Before the next look of the feed: another takes its place, and says nothing of the table.
  node.feed->stop();
  const auto slot = sql("select slot_name from pg_replication_slots");
  auto& next = start();
  Client walsender(server_->url() + "?replication=database");
  walsender.send(
      fmt::format("START_REPLICATION SLOT {} LOGICAL 0/0 (proto_version '1', publication_names 'candor_{}')",
                  slot, origin_));
  turn_until([&] { return next.feed->status().state == FeedStatus::State::kStandby; }, 1s);
  sql("select pg_terminate_backend(active_pid) from pg_replication_slots where active");
  ASSERT_TRUE(turn_until([&] { return next.sink.breaks.size() == 1; })) << next.feed->status().problem;
  EXPECT_THAT(next.sink.breaks.back(), HasSubstr("has changed"));
}

TEST_F(PostgresFeedTest, AKeyColumnThatIsRenamedIsTheWholeFeatureAndAProblem) {
  auto& node = start(profile(), "eu", "", [](auto& options) { options.check_period = 2s; });
  ASSERT_TRUE(turn_until([&] { return node.sink.leading; }));
  sql("alter table profile rename id to key");
  sql("insert into profile values (5)");
  ASSERT_TRUE(turn_until([&] { return node.sink.seen.contains("profile:*"); }));
  EXPECT_THAT(problem_of(node), HasSubstr("has no column id"));
  EXPECT_FALSE(node.sink.leading);
  sql("alter table profile rename key to id");
  ASSERT_TRUE(turn_until([&] { return node.sink.leading; }));
  EXPECT_EQ(node.sink.breaks.size(), 2u);
}

TEST_F(PostgresFeedTest, AnotherTableUnderTheNameIsWatchedAfterABreak) {
  auto& node = lead();
  sql("alter table profile rename to was; create table profile (id int primary key)");
  ASSERT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2 && node.sink.leading; }));
  sql("insert into profile values (9)");
  ASSERT_TRUE(turn_until([&] { return node.sink.seen.contains("profile:9"); }));
}

// ---- Set-up

TEST_F(PostgresFeedTest, WithoutRightsTheExactSqlIsSaid) {
  sql("create role plain login; grant all on schema public to plain; grant all on profile to plain");
  const auto url = fmt::format("postgresql://plain@127.0.0.1:{}/postgres", server_->port());
  auto& node = start(profile(), "eu", url);
  EXPECT_THAT(problem_of(node), HasSubstr("alter role plain replication;"));
  sql("alter role plain replication");
  const auto create = fmt::format(
      "create publication candor_{} for table profile with (publish_via_partition_root = true);", origin_);
  ASSERT_TRUE(turn_until([&] { return node.feed->status().problem.find(create) != std::string::npos; }))
      << node.feed->status().problem;
  sql(create);
  ASSERT_TRUE(turn_until([&] { return node.sink.leading; })) << node.feed->status().problem;
  sql("create table second (id int primary key)");
  node.feed->stop();
  auto& wider = start({{"profile", "profile", {"id"}}, {"second", "second", {"id"}}}, "eu", url);
  const auto alter = fmt::format("alter publication candor_{} add table second;", origin_);
  ASSERT_TRUE(turn_until([&] { return wider.sink.leading; })) << wider.feed->status().problem;
  EXPECT_THAT(unheard(wider), ElementsAre("second"));
  EXPECT_THAT(wider.feed->status().unheard[0].reason, HasSubstr(alter));
  sql("insert into profile values (1)");
  ASSERT_TRUE(turn_until([&] { return wider.sink.seen.contains("profile:1"); }));
  sql(alter);
  ASSERT_TRUE(turn_until([&] { return wider.sink.leading && unheard(wider).empty(); }));
  sql("insert into second values (1)");
  ASSERT_TRUE(turn_until([&] { return wider.sink.seen.contains("second:1"); }));
  nodes_.clear();
  turn_until([] { return false; }, 50ms);
  sql(fmt::format(
      "drop publication candor_{}; drop schema public cascade; create schema public; drop role plain",
      origin_));
}

TEST_F(PostgresFeedTest, AMissingTableIsSaid) {
  auto& node = start({{"f", "nowhere", {"id"}}});
  EXPECT_THAT(problem_of(node), HasSubstr("features.f.watch: there is no table nowhere"));
}

// Missing, a view, without identity, without its key column: each by itself, and each mended while it runs.
TEST_F(PostgresFeedTest, TablesThatCannotBeWatchedLeaveTheOthersHeard) {
  sql("create view seen as select id from profile; create table bare (id int); create table keyless (x int "
      "primary key)");
  auto& node = lead({{"profile", "profile", {"id"}},
                     {"ghost", "nowhere", {"id"}},
                     {"seen", "seen", {"id"}},
                     {"bare", "bare", {"id"}},
                     {"keyless", "keyless", {"id"}}});
  EXPECT_EQ(node.feed->status().state, FeedStatus::State::kLeading);
  EXPECT_THAT(unheard(node), ElementsAre("ghost", "seen", "bare", "keyless"));
  const auto reasons = node.feed->status().unheard;
  EXPECT_THAT(reasons[0].reason, HasSubstr("there is no table nowhere"));
  EXPECT_THAT(reasons[1].reason, HasSubstr("seen is no table (a view"));
  EXPECT_THAT(reasons[2].reason, HasSubstr("alter table bare replica identity full;"));
  EXPECT_THAT(reasons[3].reason, HasSubstr("has no column id"));
  sql("insert into profile values (1); insert into bare values (1)");
  sql("update bare set id = 2");  // would fail if it were published
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("profile:1"));
  ASSERT_TRUE(is_told(node));
  const auto before = node.feed->status().incarnation;
  sql("create table nowhere (id int primary key)");
  ASSERT_TRUE(turn_until([&] { return node.sink.leading && unheard(node).size() == 3; }));
  EXPECT_NE(node.sink.incarnation, before) << "whoever leads next knows that something was not heard";
  EXPECT_THAT(node.sink.breaks.back(), HasSubstr("could not be watched"));
  sql("alter table bare replica identity full; alter table keyless rename x to id; drop view seen");
  sql("create table seen (id int primary key)");
  ASSERT_TRUE(turn_until([&] { return node.sink.leading && unheard(node).empty(); }));
  node.sink.forget();
  sql("insert into nowhere values (3); insert into seen values (4); insert into keyless values (6); update "
      "bare set id = 5; insert into profile values (2)");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(),
              UnorderedElementsAre("ghost:3", "seen:4", "keyless:6", "bare:5", "bare:2", "profile:2"));
}

TEST_F(PostgresFeedTest, ATableThatIsDroppedIsUnheardAfterABreakAndTheOthersGoOn) {
  sql("create table second (id int primary key)");
  auto& node = lead({{"profile", "profile", {"id"}}, {"second", "second", {"id"}}});
  ASSERT_TRUE(is_told(node));
  EXPECT_TRUE(unheard(node).empty());
  sql("drop table second");
  ASSERT_TRUE(turn_until([&] { return node.sink.leading && !unheard(node).empty(); }));
  EXPECT_EQ(node.sink.breaks.size(), 2u);
  sql("insert into profile values (1)");
  ASSERT_TRUE(turn_until([&] { return node.sink.seen.contains("profile:1"); }));
  turn_until([] { return false; }, 600ms);
  EXPECT_EQ(node.sink.breaks.size(), 2u) << "once, not at each look";
}

TEST_F(PostgresFeedTest, ANewPublicationHoldsWhatOurRoleMayPublish) {
  sql("create role half login replication; grant all on schema public to half; grant create on database "
      "postgres to half; create table ours (id int primary key); alter table ours owner to half");
  const auto url = fmt::format("postgresql://half@127.0.0.1:{}/postgres", server_->port());
  auto& node = start({{"profile", "profile", {"id"}}, {"ours", "ours", {"id"}}}, "eu", url);
  ASSERT_TRUE(turn_until([&] { return node.sink.leading; })) << node.feed->status().problem;
  EXPECT_THAT(unheard(node), ElementsAre("profile"));
  EXPECT_THAT(node.feed->status().unheard[0].reason, HasSubstr("role half may not publish it"));
  sql("alter table profile owner to half");
  ASSERT_TRUE(turn_until([&] { return node.sink.leading && unheard(node).empty(); }))
      << node.feed->status().problem;
  nodes_.clear();
  turn_until([] { return false; }, 50ms);
  sql(
      fmt::format("drop publication candor_{}; drop schema public cascade; create schema public; drop owned "
                  "by half; drop role half",
                  origin_));
}

TEST_F(PostgresFeedTest, AKeyWhoseCollationEquatesSpellingsIsRefused) {
  sql("create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false); "
      "create table named (k text collate folded primary key)");
  auto& node = start({{"f", "named", {"k"}}});
  EXPECT_THAT(problem_of(node), HasSubstr("nondeterministic collation"));
}

TEST_F(PostgresFeedTest, NoSlotsLeftIsSaid) {
  for (int i = 0; i < 10; ++i) sql(fmt::format("select pg_create_physical_replication_slot('p{}')", i));
  auto& node = start();
  EXPECT_THAT(problem_of(node), HasSubstr("max_replication_slots"));
}

TEST_F(PostgresFeedTest, AWalLevelThatIsTooLowIsSaid) {
  own_server({"wal_level=replica"});
  auto& node = start();
  EXPECT_THAT(problem_of(node), HasSubstr("alter system set wal_level = 'logical'"));
}

TEST_F(PostgresFeedTest, AServerThatCountsEveryReaderAsStandbyIsRefused) {
  own_server();
  sql("alter system set synchronous_standby_names = '*'");
  sql("select pg_reload_conf()");
  auto& node = start();
  EXPECT_THAT(problem_of(node), HasSubstr("synchronous_standby_names"));
}

TEST_F(PostgresFeedTest, ATableAddedLaterIsABreak) {
  sql("create table second (id int primary key)");
  {
    auto& first = lead();
    ASSERT_TRUE(catch_up(first));
  }
  nodes_.clear();
  auto& node = lead({{"profile", "profile", {"id"}}, {"second", "second", {"id"}}});
  EXPECT_THAT(node.sink.breaks, ElementsAre(HasSubstr("lacked a watched table")));
  sql("insert into second values (3)");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("second:3"));
}

// ---- Restarts, takeovers, lost histories

TEST_F(PostgresFeedTest, ARestartGoesOnFromTheCheckpointWithoutABreak) {
  lead();
  sql("insert into profile values (1)");
  ASSERT_TRUE(catch_up(*nodes_[0]));
  const auto incarnation = nodes_[0]->feed->status().incarnation;
  nodes_.clear();
  sql("insert into profile values (2)");
  auto& node = lead();
  ASSERT_TRUE(catch_up(node));
  EXPECT_TRUE(node.sink.breaks.empty());
  EXPECT_THAT(node.sink.names(), Contains("profile:2"));
  EXPECT_EQ(node.feed->status().incarnation, incarnation);
  EXPECT_NE(incarnation.value, 0u);
}

TEST_F(PostgresFeedTest, WhatWasNotConfirmedComesAgain) {
  auto& first = lead();
  first.sink.confirms = false;
  sql("insert into profile values (1)");
  ASSERT_TRUE(catch_up(first));
  nodes_.clear();
  auto& node = lead();
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("profile:1"));
}

TEST_F(PostgresFeedTest, ASecondNodeStandsByAndTakesOver) {
  ASSERT_TRUE(is_told(lead()));
  auto& second = start();
  ASSERT_TRUE(turn_until([&] { return second.feed->status().state == FeedStatus::State::kStandby; }));
  EXPECT_THAT(second.feed->status().problem, HasSubstr("process"));
  EXPECT_FALSE(second.sink.leading);
  nodes_[0]->feed->stop();
  sql("insert into profile values (1)");
  ASSERT_TRUE(turn_until([&] { return second.sink.seen.contains("profile:1"); }));
  EXPECT_TRUE(second.sink.breaks.empty());
}

// Whoever leads next: the one that noticed is gone, and nothing that it knew is left.
TEST_F(PostgresFeedTest, ABreakThatNobodyConfirmedComesAgain) {
  auto& first = start();
  first.sink.confirms = false;
  ASSERT_TRUE(turn_until([&] { return first.sink.breaks.size() == 1; }));
  nodes_.clear();
  auto& second = start();
  second.sink.confirms = false;
  ASSERT_TRUE(turn_until([&] { return second.sink.breaks.size() == 1; }));
  EXPECT_THAT(second.sink.breaks.back(), HasSubstr("nothing read from it is confirmed yet"));
  const auto incarnation = second.sink.incarnation;
  nodes_.clear();
  ASSERT_TRUE(is_told(lead()));
  EXPECT_EQ(nodes_.back()->sink.breaks.size(), 1u);
  EXPECT_EQ(nodes_.back()->sink.incarnation, incarnation);
  nodes_.clear();
  auto& last = lead();
  ASSERT_TRUE(catch_up(last));
  EXPECT_TRUE(last.sink.breaks.empty());
}

TEST_F(PostgresFeedTest, ATableThatChangedWhileNobodyReadIsABreakForWhoeverLeadsNext) {
  ASSERT_TRUE(is_told(lead()));
  const auto before = nodes_.back()->feed->status().incarnation;
  nodes_.clear();
  sql("alter table profile add column more int");
  auto& node = start();
  ASSERT_TRUE(turn_until([&] { return node.sink.breaks.size() == 1; }));
  EXPECT_THAT(node.sink.breaks.back(), HasSubstr("has changed"));
  EXPECT_NE(node.sink.incarnation, before);
  ASSERT_TRUE(is_told(node));
  sql("insert into profile values (1)");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), ElementsAre("profile:1"));
  EXPECT_EQ(sql("select count(*) from pg_replication_slots"), "1");
}

// The copy was made, and its original is still there.
TEST_F(PostgresFeedTest, ALeaderThatDiedBetweenTwoSlotsLeavesOneInTheEnd) {
  ASSERT_TRUE(is_told(lead()));
  nodes_.clear();
  const auto slot = sql("select slot_name from pg_replication_slots");
  sql(
      fmt::format("select pg_copy_logical_replication_slot('{0}', substr('{0}', 1, length('{0}') - 12) || "
                  "'0123456789ab')",
                  slot));
  auto& node = lead();
  ASSERT_TRUE(catch_up(node));
  ASSERT_TRUE(turn_until([&] { return sql("select count(*) from pg_replication_slots") == "1"; }));
}

TEST_F(PostgresFeedTest, WithoutRoomForASecondSlotTheBreakComesAllTheSame) {
  own_server({"max_replication_slots=1"});
  auto& node = lead();
  ASSERT_TRUE(turn_until([&] { return node.sink.breaks.size() == 1; }));
  sql("alter table profile add column more int");
  ASSERT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2 && node.sink.leading; }));
  sql("insert into profile values (1)");
  ASSERT_TRUE(turn_until([&] { return node.sink.seen.contains("profile:1"); }));
}

TEST_F(PostgresFeedTest, TwoRegionsHaveTheirOwnSlots) {
  auto& eu = lead(profile(), "eu");
  auto& us = lead(profile(), "us");
  sql("insert into profile values (1)");
  ASSERT_TRUE(catch_up(eu));
  ASSERT_TRUE(catch_up(us));
  EXPECT_THAT(eu.sink.names(), ElementsAre("profile:1"));
  EXPECT_THAT(us.sink.names(), ElementsAre("profile:1"));
  EXPECT_NE(eu.feed->status().incarnation, us.feed->status().incarnation);
}

TEST_F(PostgresFeedTest, ADroppedConnectionLosesNothing) {
  auto& node = lead();
  for (int round = 0; round < 5; ++round) {
    sql(fmt::format("insert into profile select {0} + i from generate_series(1, 100) i", round * 100));
    sql("select pg_terminate_backend(active_pid) from pg_replication_slots where active");
    ASSERT_TRUE(
        turn_until([&] { return node.sink.seen.size() == static_cast<std::size_t>(round + 1) * 100; }));
  }
  EXPECT_EQ(node.sink.breaks.size(), 1u);
  EXPECT_GE(node.feed->status().reconnects, 1u);
}

TEST_F(PostgresFeedTest, AConnectionDroppedMidTransactionHandsOverWholeTransactionsOnly) {
  auto& node = lead();
  sql("create table filler (id int primary key)");
  std::uint64_t dropped = 0;
  sql("insert into profile select i from generate_series(1, 9000) i");
  // Cut as soon as something arrives, again and again.
  for (int round = 0; round < 20 && !node.sink.seen.contains("profile:9000"); ++round) {
    turn_until([] { return false; }, 3ms);
    if (!sql("select pg_terminate_backend(active_pid) from pg_replication_slots where active").empty())
      ++dropped;
    ASSERT_TRUE(turn_until([&] { return node.sink.leading || node.sink.seen.size() > 0; }));
    EXPECT_TRUE(node.sink.count % 9000 == 0) << node.sink.count;
  }
  ASSERT_TRUE(catch_up(node));
  EXPECT_EQ(node.sink.seen.size(), 9000u);
  EXPECT_EQ(node.sink.count % 9000, 0u);
  EXPECT_GT(dropped, 0u);
}

TEST_F(PostgresFeedTest, ASlotThatWasDroppedIsMadeAgainWithABreakAndAnotherHistory) {
  auto& node = lead();
  const auto before = node.sink.incarnation;
  sql("select pg_terminate_backend(active_pid) from pg_replication_slots where active");
  for (int i = 0; i < 200 && !sql("select slot_name from pg_replication_slots").empty(); ++i) {
    (*sql_)("select pg_drop_replication_slot(slot_name) from pg_replication_slots", true);
  }
  sql("insert into profile values (1)");  // nobody will ever hear of it
  ASSERT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2; }));
  EXPECT_THAT(node.sink.breaks.back(), HasSubstr("is gone"));
  EXPECT_NE(node.sink.incarnation, before);
  sql("insert into profile values (2)");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), Contains("profile:2"));
}

// What was changed in between is in nobody's log.
TEST_F(PostgresFeedTest, ATableThatLeftThePublicationAndCameBackIsABreak) {
  auto& node = lead();
  ASSERT_TRUE(is_told(node));
  sql(
      fmt::format("begin; alter publication candor_{0} drop table profile; insert into profile values (1); "
                  "alter publication candor_{0} add table profile; commit",
                  origin_));
  ASSERT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2 && node.sink.leading; }));
  sql("insert into profile values (2)");
  ASSERT_TRUE(turn_until([&] { return node.sink.seen.contains("profile:2"); }));
}

// "o7_eu" beside "o7": its slots begin as ours do.
TEST_F(PostgresFeedTest, SlotsOfAnOriginWhoseNameBeginsAsOursAreLeftAlone) {
  ASSERT_TRUE(is_told(lead()));
  nodes_.clear();
  const auto ours = sql("select slot_name from pg_replication_slots");
  const auto theirs = fmt::format("candor_eu_{}_eu_1_0123456789ab", origin_);
  ASSERT_TRUE(theirs.starts_with(ours.substr(0, ours.rfind('_', ours.size() - 14)))) << ours;
  sql(fmt::format("select pg_create_logical_replication_slot('{}', 'pgoutput')", theirs));
  auto& node = lead();
  ASSERT_TRUE(catch_up(node));
  EXPECT_EQ(sql(fmt::format("select count(*) from pg_replication_slots where slot_name in ('{}', '{}')", ours,
                            theirs)),
            "2");
}

TEST_F(PostgresFeedTest, APublicationThatWasDroppedIsMadeAgainWithABreak) {
  auto& node = lead();
  sql(fmt::format("drop publication candor_{}", origin_));
  sql("insert into profile values (1)");
  ASSERT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2 && node.sink.leading; }))
      << node.feed->status().problem;
  sql("insert into profile values (2)");
  ASSERT_TRUE(turn_until([&] { return node.sink.seen.contains("profile:2"); }));
}

TEST_F(PostgresFeedTest, WalThatWasRemovedIsABreakAndANewSlot) {
  own_server({"max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB"});
  auto& node = lead();
  node.sink.confirms = false;
  for (int i = 0; i < 4; ++i) {
    sql(fmt::format("create table w{} as select g, repeat('x', 200) from generate_series(1, 60000) g", i));
    sql("select pg_switch_wal()");
    sql("checkpoint");
  }
  node.sink.confirms = true;
  ASSERT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2 && node.sink.leading; }))
      << node.feed->status().problem;
  EXPECT_THAT(node.sink.breaks.back(), HasSubstr("WAL"));
  EXPECT_EQ(sql("select count(*) from pg_replication_slots"), "1");
  sql("insert into profile values (2)");
  ASSERT_TRUE(catch_up(node));
}

TEST_F(PostgresFeedTest, AServerThatStopsIsNotHeldUpAndItsRestartLosesNothing) {
  own_server();
  auto& node = lead();
  sql("insert into profile values (1)");
  ASSERT_TRUE(catch_up(node));
  node.sink.confirms = false;  // L2 does not answer
  sql("insert into profile values (2)");
  ASSERT_TRUE(catch_up(node));
  sql_.reset();
  std::atomic<bool> stopped = false;
  std::thread stopping([&] {
    const SystemClock clock;
    const auto before = clock.now();
    own_->stop();
    EXPECT_LT(clock.now() - before, 10s);
    stopped = true;
    loop_.post([] {});
  });
  ASSERT_TRUE(turn_until([&] { return stopped.load(); }, 30s));
  stopping.join();
  ASSERT_TRUE(own_->start());
  reconnect_sql();
  sql("insert into profile values (3)");
  node.sink.confirms = true;
  ASSERT_TRUE(turn_until([&] { return node.sink.seen.contains("profile:3"); }));
  EXPECT_THAT(node.sink.names(), ::testing::IsSupersetOf({"profile:2", "profile:3"}));
  EXPECT_EQ(node.sink.breaks.size(), 1u);
}

TEST_F(PostgresFeedTest, AServerThatCrashesLosesNothing) {
  own_server();
  auto& node = lead();
  sql("insert into profile values (1)");
  sql_.reset();
  own_->crash();
  ASSERT_TRUE(turn_until([&] { return !node.sink.leading; }));
  ASSERT_TRUE(own_->start());
  reconnect_sql();
  sql("insert into profile values (2)");
  ASSERT_TRUE(turn_until([&] { return node.sink.seen.contains("profile:2"); }));
  EXPECT_TRUE(node.sink.seen.contains("profile:1"));
  EXPECT_EQ(node.sink.breaks.size(), 1u);
}

TEST_F(PostgresFeedTest, AServerRestoredFromItsBackupIsABreakAndAnotherHistory) {
  own_server();
  auto& node = lead();
  ASSERT_TRUE(own_->back_up());
  sql("insert into profile select i from generate_series(1, 1000) i");
  ASSERT_TRUE(catch_up(node));
  const auto before = node.sink.incarnation;
  const auto reached = node.sink.up_to;
  sql_.reset();
  own_->crash();
  own_->restore();
  ASSERT_TRUE(own_->start());
  ASSERT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2 && node.sink.leading; }))
      << node.feed->status().problem;
  EXPECT_NE(node.sink.incarnation, before);
  EXPECT_LT(node.sink.break_from, reached);  // positions went back
  reconnect_sql();
  sql("insert into profile values (7)");
  node.sink.forget();
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), Contains("profile:7"));
}

// Its slot is there and reads on: a crash that took commits with it, a copy of files put back.
TEST_F(PostgresFeedTest, AHistoryThatLostCommitsIsBegunAnew) {
  auto& node = lead();
  ASSERT_TRUE(is_told(node));
  const auto before = node.sink.incarnation;
  ASSERT_EQ(node.sink.breaks.size(), 1u);
  node.feed->history_lost(Incarnation{before.value ^ 1}, "not this one");
  turn_until([&] { return !node.sink.leading || node.sink.breaks.size() > 1; }, 500ms);
  EXPECT_TRUE(node.sink.leading);
  node.feed->history_lost(before, "transaction ids went back");
  ASSERT_TRUE(turn_until([&] { return node.sink.breaks.size() == 2 && node.sink.leading; }))
      << node.feed->status().problem;
  EXPECT_NE(node.sink.incarnation, before);
  EXPECT_THAT(node.sink.breaks.back(), HasSubstr("transaction ids went back"));
  EXPECT_EQ(sql("select count(*) from pg_replication_slots"), "1");
  node.feed->history_lost(before, "said again");
  sql("insert into profile values (7)");
  ASSERT_TRUE(catch_up(node));
  EXPECT_THAT(node.sink.names(), Contains("profile:7"));
  EXPECT_EQ(node.sink.breaks.size(), 2u);
}

TEST_F(PostgresFeedTest, WhoeverLeadsNextBeginsALostHistoryAnew) {
  ASSERT_TRUE(is_told(lead()));
  const auto before = nodes_[0]->sink.incarnation;
  auto& second = start();
  ASSERT_TRUE(turn_until([&] { return second.feed->status().state == FeedStatus::State::kStandby; }));
  second.feed->history_lost(before, "transaction ids went back");
  nodes_[0]->feed->stop();
  ASSERT_TRUE(turn_until([&] { return second.sink.breaks.size() == 1 && second.sink.leading; }))
      << second.feed->status().problem;
  EXPECT_NE(second.sink.incarnation, before);
  EXPECT_THAT(second.sink.breaks.back(), HasSubstr("transaction ids went back"));
}

TEST_F(PostgresFeedTest, APausedLeaderLosesTheSlotToAnother) {
  auto& first = start(profile(), "eu", "", [](auto& options) { options.leader_timeout = 1s; });
  ASSERT_TRUE(turn_until([&] { return first.sink.leading; }));
  ASSERT_TRUE(is_told(first));
  // Another process, as far as the server can tell: its loop goes on, the first one's does not turn.
  Loop other_loop;
  auto target = parse_postgres_url(origin_, server_->url());
  PostgresFeedOptions options{"eu", origin_, profile()};
  options.check_period = 200ms;
  Sink sink;
  PostgresFeed second(*target, options, other_loop, other_loop, pool_, entropy_);
  sink.feed = &second;
  second.start(&sink);
  const SystemClock clock;
  const auto end = clock.now() + 10s;
  while (!sink.leading && clock.now() < end) other_loop.turn(5ms);
  EXPECT_TRUE(sink.leading);
  EXPECT_TRUE(sink.breaks.empty());
  // Back from its pause, the first one learns that it leads no more.
  EXPECT_TRUE(turn_until([&] { return first.feed->status().state == FeedStatus::State::kStandby; }));
  EXPECT_FALSE(first.sink.leading);
  second.stop();
  for (int i = 0; i < 20; ++i) other_loop.turn(2ms);
}

// ---- Visibility

TEST_F(PostgresFeedTest, AChangeIsHandedOverBeforeItsCommitIsVisible) {
  own_server();
  auto& node = lead();
  sql("insert into profile values (1, 'old')");
  ASSERT_TRUE(catch_up(node));
  node.sink.forget();
  sql("alter system set synchronous_standby_names = 'nobody_is_there'");
  sql("select pg_reload_conf()");
  ASSERT_TRUE(turn_until([&] { return sql("show synchronous_standby_names") == "nobody_is_there"; }));
  Client writer(server_->url());
  writer.send("update profile set body = 'new' where id = 1");
  ASSERT_TRUE(turn_until([&] { return node.sink.seen.contains("profile:1"); }));
  // The invalidation is here; a load still sees the old row, and its snapshot says so.
  EXPECT_EQ(sql("select body from profile where id = 1"), "old");
  auto snapshot = parse_postgres_snapshot(sql("select pg_current_snapshot()"));
  ASSERT_TRUE(snapshot);
  EXPECT_FALSE(snapshot->stamp.includes(node.sink.all[0].id));
  sql("alter system reset synchronous_standby_names");
  sql("select pg_reload_conf()");
  ASSERT_TRUE(turn_until([&] { return sql("select body from profile where id = 1") == "new"; }));
  snapshot = parse_postgres_snapshot(sql("select pg_current_snapshot()"));
  EXPECT_TRUE(snapshot->stamp.includes(node.sink.all[0].id));
}

// ---- Size

std::size_t resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "VmHWM:") continue;
    std::size_t kib = 0;
    status >> kib;
    return kib;
  }
  return 0;
}

TEST_F(PostgresFeedTest, AMillionRowsInOneTransactionAreOneChangeInBoundedMemory) {
  auto& node = lead();
  sql("create table before (id int)");
  ASSERT_TRUE(catch_up(node));
  const auto resident = resident_kib();
  sql("insert into profile select i, 'body' from generate_series(1, 1000000) i");
  const SystemClock clock;
  const auto before = clock.now();
  ASSERT_TRUE(catch_up(node, 60s));
  EXPECT_THAT(node.sink.names(), ElementsAre("profile:*"));
#ifndef __SANITIZE_ADDRESS__  // its quarantine keeps what was freed
  EXPECT_LT(resident_kib() - resident, 48u << 10);
#endif
  fmt::print("1,000,000 rows in one transaction: {} ms, {} KiB\n", (clock.now() - before) / 1ms,
             resident_kib() - resident);
}

TEST_F(PostgresFeedTest, ASlowSinkHoldsTheServerBackAndLosesNothing) {
  auto& node = start(profile(), "eu", "", [](auto& options) { options.pending_max = 500; });
  ASSERT_TRUE(turn_until([&] { return node.sink.leading; }));
  ASSERT_TRUE(catch_up(node));
  node.sink.holds = true;
  for (int i = 0; i < 40; ++i)
    sql(fmt::format("insert into profile select {} + i, repeat('x', 2000) from generate_series(1, 100) i",
                    i * 100));
  turn_until([] { return false; }, 500ms);
  EXPECT_LE(node.sink.largest, 700u);
  EXPECT_TRUE(node.sink.leading);
  while (node.sink.seen.size() < 4000) {
    ASSERT_TRUE(turn_until([&] { return static_cast<bool>(node.sink.held); }, 5s)) << node.sink.seen.size();
    std::exchange(node.sink.held, {})();
  }
  EXPECT_LE(node.sink.largest, 700u);
  EXPECT_EQ(node.sink.count, 4000u);
}

TEST_F(PostgresFeedTest, KeepsUpWithManySmallTransactions) {
  auto& node = lead();
  node.sink.keep = false;
  sql("insert into profile select i, 'body' from generate_series(1, 50000) i");
  ASSERT_TRUE(catch_up(node));
  node.sink.forget();
  // One commit for each row: what the stream looks like at its worst.
  sql("create procedure churn(n int) language plpgsql as $$ begin for i in 1..n loop "
      "update profile set body = 'b' || i where id = i; commit; end loop; end $$");
  sql("set synchronous_commit = off");
  nodes_.clear();  // let it pile up, then read it at full speed
  sql("call churn(50000)");
  sql("select pg_switch_wal()");
  const SystemClock clock;
  rusage usage_before{}, usage{};
  ::getrusage(RUSAGE_SELF, &usage_before);
  const auto before = clock.now();
  auto& reader = lead();
  reader.sink.keep = false;
  ASSERT_TRUE(turn_until([&] { return reader.sink.count >= 50'000; }, 60s));
  const auto seconds = static_cast<double>((clock.now() - before) / 1ms) / 1000;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto cpu = static_cast<double>(usage.ru_utime.tv_sec - usage_before.ru_utime.tv_sec +
                                       usage.ru_stime.tv_sec - usage_before.ru_stime.tv_sec) +
                   static_cast<double>(usage.ru_utime.tv_usec - usage_before.ru_utime.tv_usec +
                                       usage.ru_stime.tv_usec - usage_before.ru_stime.tv_usec) /
                       1e6;
  fmt::print("50,000 transactions: {:.0f} changes/s, {:.1f} us of our CPU each\n", 50'000 / seconds,
             cpu / 50'000 * 1e6);
}

}  // namespace
}  // namespace candor
