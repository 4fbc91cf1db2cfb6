// SQLite's change feed against real files and writers in other processes.
#include "change/sqlite_feed.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <optional>

#include "change/sqlite_install.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/thread_pool.h"
#include "origin/sqlite_change_log.h"
#include "origin/sqlite_origin.h"
#include "tests/support/process.h"

namespace candor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct SqliteSink final : FeedSink {
  void on_changes(std::vector<Change> changes, Position up_to,
                  std::move_only_function<void()> taken) override {
    largest = std::max(largest, changes.size());
    for (Change& c : changes) {
      EXPECT_LE(c.position, up_to);
      EXPECT_TRUE(all.empty() || is_relaxed || all.back().position <= c.position);
      if (keeps) all.push_back(std::move(c));
      ++count;
    }
    reached = up_to;
    if (holds)
      held = std::move(taken);
    else
      taken();
  }
  void on_break(Incarnation incarnation, Position from, std::string reason) override {
    breaks.push_back(reason);
    last_incarnation = incarnation;
    reached = from;
  }
  void on_leading(bool is) override { leading = is; }

  // What was changed since the last call: "feature:key", or "feature:*".
  std::vector<std::string> take() {
    std::vector<std::string> out;
    for (const Change& c : all)
      out.push_back(c.feature + ":" + (c.scope == Change::Scope::kFeature ? "*" : c.key));
    all.clear();
    return out;
  }

  std::vector<Change> all;
  std::vector<std::string> breaks;
  Incarnation last_incarnation;
  Position reached;
  std::size_t count = 0, largest = 0;
  bool leading = false, keeps = true, holds = false, is_relaxed = false;
  std::move_only_function<void()> held;
};

class SqliteFeedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sql("pragma journal_mode = wal; create table user (id integer primary key, email text unique, body text);"
        "create table part (a text, b text, v, primary key (a, b)) without rowid;");
  }
  void TearDown() override {
    feeds.clear();
    loop.turn(0s);
  }

  [[nodiscard]] std::string path() const { return dir.path() + "/shop.db"; }
  // In another process.
  void sql(const std::string& text) {
    testing::Process process(
        {.arguments = {"sqlite3", path(), ".timeout 5000", text}, .output = dir.path() + "/sqlite3.out"});
    EXPECT_EQ(process.wait(30s), 0) << text;
  }
  void install() {
    const auto state = install_sqlite_feed(path(), watches);
    ASSERT_TRUE(state.has_value()) << state.error().message;
  }
  SqliteFeed& start(SqliteSink* to, const std::string& reader = "eu", std::uint64_t holder = 2) {
    SqliteLogOptions options;
    options.file = parse_sqlite_url("shop", "sqlite:" + path()).value();
    options.reader = reader;
    options.watches = watches;
    options.holder = holder << 8;
    feeds.push_back(std::make_unique<SqliteFeed>(&loop, &loop, &pool, options));
    feeds.back()->start(to);
    return *feeds.back();
  }
  // Installed, one feed, and its first break is over.
  SqliteFeed& begin() {
    install();
    SqliteFeed& feed = start(&sink);
    EXPECT_TRUE(turn_until([&] { return sink.leading && !sink.breaks.empty(); }));
    sink.breaks.clear();
    sink.take();
    return feed;
  }
  static std::vector<std::string> unheard(const SqliteFeed& feed) {
    std::vector<std::string> features;
    for (const Unheard& one : feed.status().unheard) features.push_back(one.feature);
    return features;
  }
  bool turn_until(const std::function<bool()>& done, Duration patience = 15s) {
    const SystemClock clock;
    const MonoTime deadline = clock.now() + patience;
    while (!done()) {
      if (clock.now() >= deadline) return false;
      loop.turn(5ms);
    }
    return true;
  }
  std::vector<std::string> changes_of(const std::string& text) {
    sink.take();
    sql(text + "; insert into part values ('end', hex(randomblob(8)), 0)");
    EXPECT_TRUE(turn_until([&] { return !sink.all.empty() && sink.all.back().key.starts_with("end:"); }));
    auto out = sink.take();
    if (!out.empty()) out.pop_back();
    return out;
  }

  testing::TempDir dir;
  std::vector<Watch> watches{{"user", "user", {"id"}}, {"part", "part", {"a", "b"}}};
  Loop loop;
  ThreadPool pool{2, "pool"};
  SqliteSink sink;
  std::vector<std::unique_ptr<SqliteFeed>> feeds;
};

TEST_F(SqliteFeedTest, SeesWhatOtherProcessesWrite) {
  begin();
  EXPECT_THAT(changes_of("insert into user values (1, 'a', 'x'), (2, 'b', 'y')"),
              ElementsAre("user:1", "user:2"));
  EXPECT_THAT(changes_of("update user set body = 'z' where id = 1"), ElementsAre("user:1"));
  EXPECT_THAT(changes_of("delete from user where id = 2"), ElementsAre("user:2"));
  EXPECT_THAT(changes_of("insert into part values ('x', 'y:z', 1)"), ElementsAre("part:x:y:z"));
  EXPECT_THAT(changes_of("delete from user"), ElementsAre("user:1"));
  EXPECT_THAT(sink.breaks, IsEmpty());
}

TEST_F(SqliteFeedTest, AChangeOfTheKeyIsTwoChanges) {
  begin();
  changes_of("insert into user values (1, 'a', 'x')");
  EXPECT_THAT(changes_of("update user set id = 9 where id = 1"), ElementsAre("user:1", "user:9"));
  changes_of("insert into part values ('x', 'y', 1)");
  EXPECT_THAT(changes_of("update part set b = 'w' where a = 'x'"), ElementsAre("part:x:y", "part:x:w"));
}

TEST_F(SqliteFeedTest, ReplaceThatDeletesAnotherRowLogsItsKeyToo) {
  begin();
  changes_of("insert into user values (1, 'a', 'x'), (2, 'b', 'y')");
  EXPECT_THAT(changes_of("insert or replace into user values (3, 'a', 'new')"),
              ElementsAre("user:1", "user:3"));
  EXPECT_THAT(changes_of("update or replace user set email = 'b' where id = 3"),
              ElementsAre("user:2", "user:3"));
  EXPECT_THAT(changes_of("insert or replace into user values (3, 'c', 'same key')"), ElementsAre("user:3"));
}

TEST_F(SqliteFeedTest, WhatIsRolledBackWasNoChange) {
  begin();
  EXPECT_THAT(
      changes_of("begin; insert into user values (1, 'a', 'x'); rollback; insert into user values (2, "
                 "'b', '')"),
      ElementsAre("user:2"));
}

TEST_F(SqliteFeedTest, CascadesOfForeignKeysAreSeen) {
  sql("create table child (id integer primary key, up integer references user (id) on delete cascade)");
  watches.push_back({"child", "child", {"id"}});
  begin();
  changes_of("insert into user values (1, 'a', 'x'); insert into child values (7, 1)");
  EXPECT_THAT(changes_of("pragma foreign_keys = on; delete from user where id = 1"),
              ::testing::UnorderedElementsAre("child:7", "user:1"));
}

TEST_F(SqliteFeedTest, RollbackJournalWorksAsWell) {
  sql("pragma journal_mode = delete");
  begin();
  EXPECT_THAT(changes_of("insert into user values (1, 'a', 'x')"), ElementsAre("user:1"));
}

TEST_F(SqliteFeedTest, QuotedNamesAndGeneratedColumns) {
  sql(R"(create table "a ""b"" c" ("the key" text, up as (upper("the key")) stored unique, v))");
  watches.push_back({"odd", R"(a "b" c)", {"the key"}});
  watches.push_back({"up", R"(a "b" c)", {"up"}});
  begin();
  EXPECT_THAT(changes_of(R"(insert into "a ""b"" c" ("the key", v) values ('k', 1))"),
              ::testing::UnorderedElementsAre("odd:k", "up:K"));
}

TEST_F(SqliteFeedTest, ViewsAndMissingTablesAreRefusedAndNothingIsInstalled) {
  sql("create view v as select * from user");
  watches.push_back({"v", "v", {"id"}});
  const auto view = install_sqlite_feed(path(), watches);
  ASSERT_FALSE(view.has_value());
  EXPECT_THAT(view.error().message, HasSubstr("is a view"));
  EXPECT_FALSE(sqlite_feed_state(path(), {}).value().has_log);
  watches.back() = {"n", "none", {"id"}};
  EXPECT_THAT(install_sqlite_feed(path(), watches).error().message, HasSubstr("no such table"));
  watches.back() = {"n", "user", {"nope"}};
  EXPECT_THAT(install_sqlite_feed(path(), watches).error().message, HasSubstr("no column nope"));
}

TEST_F(SqliteFeedTest, InstallingTwiceChangesNothingAndRemovingLeavesNoTrace) {
  install();
  const auto first = sqlite_feed_state(path(), watches).value();
  install();
  const auto second = sqlite_feed_state(path(), watches).value();
  EXPECT_EQ(first.position, second.position);
  EXPECT_EQ(first.incarnation, second.incarnation);
  EXPECT_TRUE(second.watches[0].installed && second.watches[1].installed);
  ASSERT_TRUE(remove_sqlite_feed(path()).has_value());
  auto db = SqliteHandle::open(path(), SqliteHandle::Mode::kReadOnly, 1s);
  EXPECT_EQ(
      db->number("select count(*) from sqlite_master where name like '%candor%' or sql like '%candor%'"), 0);
}

TEST_F(SqliteFeedTest, WithoutTriggersItSaysWhatToRun) {
  SqliteFeed& feed = start(&sink);
  ASSERT_TRUE(turn_until([&] { return feed.status().state == FeedStatus::State::kMisconfigured; }));
  EXPECT_THAT(feed.status().problem, HasSubstr("candor feed install"));
  install();
  EXPECT_TRUE(turn_until([&] { return feed.status().state == FeedStatus::State::kLeading; }));
  EXPECT_FALSE(sink.breaks.empty());
}

TEST_F(SqliteFeedTest, ATableThatWasMadeAnewIsABreak) {
  SqliteFeed& feed = begin();
  sql("drop table user; create table user (id integer primary key, email text unique, body text)");
  ASSERT_TRUE(turn_until([&] { return !sink.breaks.empty(); }));
  EXPECT_THAT(sink.breaks.back(), HasSubstr("triggers of table user are gone"));
  EXPECT_THAT(unheard(feed), ElementsAre("user"));
  EXPECT_THAT(feed.status().unheard.front().reason, HasSubstr("candor feed install"));
  sink.take();
  install();
  ASSERT_TRUE(turn_until([&] { return feed.status().unheard.empty(); }));
  EXPECT_THAT(sink.take(), ElementsAre("user:*"));
}

TEST_F(SqliteFeedTest, OneTableWithoutTriggersLeavesTheOthersHeard) {
  watches.pop_back();
  install();  // of `user` alone
  watches.push_back({"part", "part", {"a", "b"}});
  watches.push_back({"ghost", "nowhere", {"id"}});
  SqliteFeed& feed = start(&sink);
  ASSERT_TRUE(turn_until([&] { return sink.leading && !sink.breaks.empty(); }));
  EXPECT_EQ(feed.status().state, FeedStatus::State::kLeading);
  EXPECT_EQ(feed.status().problem, "");
  EXPECT_THAT(unheard(feed), ElementsAre("part", "ghost"));
  EXPECT_THAT(feed.status().unheard[0].reason, HasSubstr("no triggers log the changes of table part"));
  EXPECT_THAT(feed.status().unheard[1].reason, HasSubstr("there is no table nowhere"));
  sql("insert into user values (1, 'a', ''); insert into part values ('a', 'b', 1)");
  ASSERT_TRUE(turn_until([&] { return !sink.all.empty(); }));
  EXPECT_THAT(sink.take(), ElementsAre("user:1"));
  sql("create table nowhere (id integer primary key)");
  install();
  ASSERT_TRUE(turn_until([&] { return feed.status().unheard.empty(); }));
  EXPECT_THAT(sink.take(), ElementsAre("part:*", "ghost:*"));
  EXPECT_EQ(sink.breaks.size(), 1u) << "the first; the others' entries are as good as before";
  sql("insert into nowhere values (5)");
  ASSERT_TRUE(turn_until([&] { return !sink.all.empty(); }));
  EXPECT_THAT(sink.take(), ElementsAre("ghost:5"));
}

// Between the installation and the row that announces it lies whatever was logged before: until that row is
// handed over nothing of the feature may count as heard.
TEST_F(SqliteFeedTest, ATableIsHeardOfWithItsAnnouncementAndNotBefore) {
  watches.pop_back();
  install();
  watches.push_back({"part", "part", {"a", "b"}});
  SqliteFeed& feed = start(&sink);
  ASSERT_TRUE(turn_until([&] { return sink.leading && !sink.breaks.empty(); }));
  sink.holds = true;
  sql("insert into user values (1, 'a', '')");
  ASSERT_TRUE(turn_until([&] { return sink.held != nullptr; }));
  sql("with recursive n(i) as (select 2 union all select i + 1 from n where i < 5000) "
      "insert into user select i, 'n' || i, '' from n");
  install();
  std::size_t batches = 0;
  while (!feed.status().unheard.empty()) {
    EXPECT_FALSE(std::ranges::any_of(sink.all, [](const Change& c) { return c.feature == "part"; }));
    std::exchange(sink.held, nullptr)();
    ASSERT_TRUE(turn_until([&] { return sink.held != nullptr; }));
    ++batches;
  }
  EXPECT_GE(batches, 3u);
  EXPECT_EQ(sink.take().back(), "part:*");
}

// The next leader finds the table announced, or begins with a break.
TEST_F(SqliteFeedTest, AnAnnouncementThatNobodyConfirmedIsABreakForWhoeverLeadsNext) {
  install();
  std::uint64_t holder = 10;
  const auto leave = [&] {
    turn_until([] { return false; }, 300ms);
    feeds.back()->stop();
    ASSERT_TRUE(turn_until([&] { return feeds.back()->status().state == FeedStatus::State::kOff; }));
    feeds.clear();
  };
  for (const char* table : {"unconfirmed", "confirmed"}) {
    const bool is_confirmed = table[0] == 'c';
    sql(fmt::format("create table {} (id integer primary key)", table));
    watches.push_back({table, table, {"id"}});
    SqliteSink one, two;
    SqliteFeed& feed = start(&one, "eu", ++holder);
    ASSERT_TRUE(turn_until([&] { return one.leading && !one.breaks.empty(); }));
    EXPECT_THAT(unheard(feed), ElementsAre(table));
    sql("insert into user values (null, null, '')");
    ASSERT_TRUE(turn_until([&] { return !one.take().empty(); }));
    feed.confirm(one.reached);
    ASSERT_TRUE(turn_until([&] { return feed.status().confirmed == one.reached; }));
    install();
    ASSERT_TRUE(turn_until([&] { return unheard(feed).empty(); }));
    EXPECT_THAT(one.take(), ElementsAre(fmt::format("{}:*", table)));
    if (is_confirmed) feed.confirm(one.reached);
    leave();
    start(&two, "eu", ++holder);
    ASSERT_TRUE(turn_until([&] { return two.leading; }));
    sql("insert into user values (null, null, '')");
    ASSERT_TRUE(turn_until([&] { return !two.take().empty(); }));
    EXPECT_EQ(two.breaks.size(), is_confirmed ? 0u : 1u);
    feeds.back()->confirm(two.reached);
    leave();
  }
}

// Whoever missed the break's message knows it by its name, whoever leads meanwhile.
TEST_F(SqliteFeedTest, EachBreakHasANameThatTheNextLeaderKnows) {
  SqliteFeed& feed = begin();
  const std::uint64_t first = feed.status().break_id;
  EXPECT_NE(first, 0u);
  sql("alter table user add column more");
  ASSERT_TRUE(turn_until([&] { return !sink.breaks.empty(); }));
  const std::uint64_t second = feed.status().break_id;
  EXPECT_NE(second, first);
  sql("insert into user (id) values (1)");
  ASSERT_TRUE(turn_until([&] { return !sink.all.empty(); }));
  feed.confirm(sink.reached);
  ASSERT_TRUE(turn_until([&] { return feed.status().confirmed == sink.reached; }));
  feed.stop();
  ASSERT_TRUE(turn_until([&] { return feed.status().state == FeedStatus::State::kOff; }));
  feeds.clear();
  SqliteSink next;
  start(&next, "eu", 3);
  ASSERT_TRUE(turn_until([&] { return next.leading; }));
  sql("insert into user (id) values (2)");
  ASSERT_TRUE(turn_until([&] { return !next.all.empty(); }));
  EXPECT_THAT(next.breaks, IsEmpty());
  EXPECT_EQ(feeds.back()->status().break_id, second);
}

TEST_F(SqliteFeedTest, ARestartGoesOnFromWhatWasConfirmed) {
  begin();
  EXPECT_THAT(changes_of("insert into user values (1, 'a', '')"), ElementsAre("user:1"));
  feeds.back()->confirm(sink.reached);
  feeds.back()->stop();
  ASSERT_TRUE(turn_until([&] { return feeds.back()->status().state == FeedStatus::State::kOff; }));
  feeds.clear();
  sql("insert into user values (2, 'b', '')");
  SqliteSink second;
  start(&second);
  ASSERT_TRUE(turn_until([&] { return !second.all.empty(); }));
  EXPECT_THAT(second.take(), ElementsAre("user:2"));
  EXPECT_THAT(second.breaks, IsEmpty());
}

// The leader that noticed is gone, and nothing that it knew is left.
TEST_F(SqliteFeedTest, ABreakThatNobodyConfirmedComesAgain) {
  begin();
  changes_of("insert into user values (1, 'a', '')");
  feeds.back()->confirm(sink.reached);
  ASSERT_TRUE(turn_until([&] { return feeds.back()->status().confirmed == sink.reached; }));
  sql("alter table user add column more");
  ASSERT_TRUE(turn_until([&] { return !sink.breaks.empty(); }));
  const auto leave = [&] {
    feeds.back()->stop();
    ASSERT_TRUE(turn_until([&] { return feeds.back()->status().state == FeedStatus::State::kOff; }));
    feeds.clear();
  };
  // Of what came before the break: the region has not heard of it for that.
  feeds.back()->confirm(sink.reached);
  leave();
  SqliteSink second;
  start(&second, "eu", 3);
  ASSERT_TRUE(turn_until([&] { return second.breaks.size() == 1; }));
  EXPECT_THAT(second.breaks.back(), HasSubstr("table user was changed"));
  turn_until([] { return false; }, 600ms);
  EXPECT_EQ(second.breaks.size(), 1u);  // once in a leadership
  feeds.back()->confirm(second.reached);
  turn_until([] { return false; }, 300ms);
  leave();
  SqliteSink third;
  start(&third, "eu", 4);
  sql("insert into user values (2, 'b', '', '')");
  ASSERT_TRUE(turn_until([&] { return !third.all.empty(); }));
  EXPECT_THAT(third.breaks, IsEmpty());
}

TEST_F(SqliteFeedTest, ATableThatChangedWhileNobodyReadIsABreakForWhoeverLeadsNext) {
  begin();
  EXPECT_THAT(changes_of("insert into user values (1, 'a', '')"), ElementsAre("user:1"));
  feeds.back()->confirm(sink.reached);
  feeds.back()->stop();
  ASSERT_TRUE(turn_until([&] { return feeds.back()->status().state == FeedStatus::State::kOff; }));
  feeds.clear();
  sql("alter table user add column more");
  SqliteSink second;
  start(&second, "eu", 3);
  ASSERT_TRUE(turn_until([&] { return !second.breaks.empty(); }));
  EXPECT_THAT(second.breaks.back(), HasSubstr("while nobody read"));
}

TEST_F(SqliteFeedTest, ARestoredBackupIsANewIncarnation) {
  begin();
  changes_of("insert into user values (1, 'a', '')");
  sql(".backup '" + dir.path() + "/old.db'");
  EXPECT_THAT(changes_of("insert into user values (2, 'b', '')"), ElementsAre("user:2"));
  const Incarnation before = feeds.back()->status().incarnation;
  const Position reached = sink.reached;
  sql(".restore '" + dir.path() + "/old.db'");
  ASSERT_TRUE(turn_until([&] { return !sink.breaks.empty(); }));
  EXPECT_THAT(sink.breaks.back(), HasSubstr("restored"));
  EXPECT_NE(sink.last_incarnation, before);
  EXPECT_GT(sink.reached, reached);
  EXPECT_THAT(changes_of("insert into user values (5, 'e', '')"), ElementsAre("user:5"));
}

TEST_F(SqliteFeedTest, ARestoreThatCaughtUpWhileNobodyReadIsNoticed) {
  begin();
  sql(".backup '" + dir.path() + "/old.db'");
  EXPECT_THAT(changes_of("insert into user values (2, 'b', '')"), ElementsAre("user:2"));
  feeds.back()->confirm(sink.reached);
  feeds.back()->stop();
  ASSERT_TRUE(turn_until([&] { return feeds.back()->status().state == FeedStatus::State::kOff; }));
  feeds.clear();
  sql(".restore '" + dir.path() + "/old.db'");
  sql("insert into user values (2, 'b', ''), (3, 'c', ''), (4, 'd', ''), (5, 'e', '')");
  SqliteSink second;
  start(&second);
  ASSERT_TRUE(turn_until([&] { return !second.breaks.empty(); }));
  EXPECT_THAT(second.breaks.back(), HasSubstr("restored"));
}

TEST_F(SqliteFeedTest, ALogThatSomebodyEmptiedIsABreak) {
  begin();
  EXPECT_THAT(changes_of("insert into user values (2, 'b', '')"), ElementsAre("user:2"));
  sql("delete from candor_changes");
  ASSERT_TRUE(turn_until([&] { return !sink.breaks.empty(); }));
  EXPECT_THAT(sink.breaks.back(), HasSubstr("trimmed"));
}

TEST_F(SqliteFeedTest, ConfirmedRowsAreTrimmedUnlessAnotherReaderNeedsThem) {
  SqliteFeed& feed = begin();
  SqliteSink other;
  SqliteFeed& slow = start(&other, "us", 3);
  ASSERT_TRUE(turn_until([&] { return !other.breaks.empty(); }));
  sql("with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) insert into user "
      "select "
      "i, i, '' from n");
  ASSERT_TRUE(turn_until([&] { return sink.count >= 20000 && other.count >= 20000; }));
  feed.confirm(sink.reached);
  const auto rows = [&] { return sqlite_feed_state(path(), {}).value().log_rows; };
  EXPECT_FALSE(turn_until([&] { return rows() < 20000; }, 1s));
  slow.confirm(other.reached);
  // Some are left for proofs of stamps of before.
  EXPECT_TRUE(turn_until([&] { return rows() < kSqliteProofRows + 1000; }));
  EXPECT_FALSE(turn_until([&] { return rows() < kSqliteProofRows; }, 1s));
  EXPECT_THAT(changes_of("update user set body = 'x' where id = 1"), ElementsAre("user:1"));
  EXPECT_THAT(sink.breaks, IsEmpty());
}

TEST_F(SqliteFeedTest, OneOfARegionLeadsAndAnotherFollowsWhenItFallsSilent) {
  begin();
  SqliteSink second;
  SqliteFeed& other = start(&second, "eu", 3);
  ASSERT_TRUE(turn_until([&] { return other.status().state == FeedStatus::State::kStandby; }));
  EXPECT_THAT(changes_of("insert into user values (1, 'a', '')"), ElementsAre("user:1"));
  EXPECT_EQ(second.count, 0U);
  feeds.front()->confirm(sink.reached);
  ASSERT_TRUE(turn_until([&] { return feeds.front()->status().confirmed == sink.reached; }));
  feeds.erase(feeds.begin());  // without a word: as kill -9
  sql("insert into user values (2, 'b', '')");
  ASSERT_TRUE(turn_until([&] { return second.leading && second.count > 0; }));
  const auto seen = second.take();
  EXPECT_THAT(seen, ::testing::Contains("user:2"));
}

TEST_F(SqliteFeedTest, AWriterThatIsKilledLeavesNothingHalf) {
  begin();
  testing::Process writer({.arguments = {"python3", "-c",
                                         "import sqlite3,sys,time\nc=sqlite3.connect(sys.argv[1],timeout=5)\n"
                                         "c.execute('begin immediate')\nc.execute(\"insert into user values "
                                         "(50,'k','')\")\ntime.sleep(60)",
                                         path()}});
  loop.turn(50ms);
  EXPECT_FALSE(turn_until([&] { return sink.count > 0; }, 700ms));
  writer.kill_now();
  EXPECT_THAT(changes_of("insert into user values (51, 'l', '')"), ElementsAre("user:51"));
}

TEST_F(SqliteFeedTest, AMillionRowsInOneTransactionComeInBoundedBatches) {
  begin();
  sink.keeps = false;
  const SystemClock clock;
  sql("pragma synchronous = off; with recursive n(i) as (select 1 union all select i + 1 from n where i < "
      "1000000) insert into user select i, null, null from n");
  const MonoTime begun = clock.now();
  const std::size_t already = sink.count;
  ASSERT_TRUE(turn_until([&] { return sink.count >= 1'000'000; }, 60s));
  const double seconds = std::chrono::duration<double>(clock.now() - begun).count();
  EXPECT_LE(sink.largest, 2000U);
  const double rate = static_cast<double>(sink.count - already) / seconds;
  RecordProperty("changes_per_second", static_cast<int>(rate));
  fmt::print("feed: {:.0f} changes/s\n", rate);
  EXPECT_GT(rate, 20'000);
}

TEST_F(SqliteFeedTest, LatencyFromCommitToSink) {
  begin();
  testing::Process writer(
      {.arguments = {"python3", "-c",
                     "import sqlite3,sys,time\nc=sqlite3.connect(sys.argv[1],timeout=5,"
                     "isolation_level=None)\nfor i in range(200):\n c.execute('insert into "
                     "part values (?,?,0)',('t%d'%i,'%.6f'%time.time()))\n "
                     "c.execute('update part set v=? where a=?',(time.time(),'t%d'%i))\n "
                     "time.sleep(0.01)",
                     path()}});
  std::vector<double> ms;
  std::size_t seen = 0;
  const SystemClock clock;
  ASSERT_TRUE(turn_until(
      [&] {
        for (; seen < sink.all.size(); ++seen)
          ms.push_back(static_cast<double>(clock.wall().ns - sink.all[seen].committed.ns) / 1e6);
        return seen >= 400;
      },
      30s));
  std::ranges::sort(ms);
  fmt::print("latency from statement to sink: median {:.1f} ms, p99 {:.1f} ms\n", ms[200], ms[396]);
  EXPECT_LT(ms[200], 50);
}

// Stamps, probes and confirmations of the origin that the feed watches.
class SqliteStampTest : public SqliteFeedTest {
 protected:
  void SetUp() override {
    SqliteFeedTest::SetUp();
    sql("insert into user values (1, 'a', 'x'), (2, 'b', 'y')");
    origin = std::make_unique<SqliteOrigin>(parse_sqlite_url("shop", "sqlite:" + path()).value(),
                                            SqlDesk::Options{"shop", 4, 100}, loop, pool);
    OriginStatements statements;
    statements.feature = "user";
    statements.load = "select body from user where id = :key";
    statements.store = "update user set body = :value where id = :key";
    statements.watch_table = "user";
    statements.watch_columns = {"id"};
    feature = origin->bind(statements).value();
  }
  void TearDown() override {
    feature.reset();
    origin.reset();
    SqliteFeedTest::TearDown();
  }
  template <class T>
  T wait(Task<T> task) {
    std::optional<T> result;
    spawn(std::move(task), [&result](T value) { result.emplace(std::move(value)); });
    CANDOR_ASSERT(turn_until([&result] { return result.has_value(); }));
    return std::move(*result);
  }
  [[nodiscard]] MonoTime soon() const { return loop.now() + 5s; }
  bool confirm(const std::string& key, StampBound stamp) {
    const auto probe = wait(origin->probe(soon()));
    const HeldRow held{stamp, probe ? probe->incarnation : Incarnation{}};
    auto result = wait(feature->confirm(key, held, soon()));
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result.value_or(false);
  }

  std::unique_ptr<SqliteOrigin> origin;
  std::unique_ptr<OriginFeature> feature;
};

TEST_F(SqliteStampTest, WithoutALogLoadsWorkAndKnowNothing) {
  const auto row = wait(feature->load("1", soon()));
  ASSERT_TRUE(row.has_value()) << row.error().message;
  EXPECT_EQ(row->value, "x");
  EXPECT_FALSE(row->stamp.is_known());
  EXPECT_EQ(wait(origin->probe(soon())).error().code, ErrorCode::kOriginDown);
  install();
  EXPECT_TRUE(wait(feature->load("1", soon()))->stamp.is_known());
  EXPECT_TRUE(wait(origin->probe(soon())).has_value());
}

// Row 1 is found under other spellings too, whose changes nobody would hear of.
TEST_F(SqliteStampTest, AKeyThatIsSpelledOtherwiseThanItsRowCarriesNoStamp) {
  install();
  for (const char* key : {"01", "+1", " 1", "1.0", "1e0"}) {
    const auto row = wait(feature->load(key, soon()));
    ASSERT_TRUE(row.has_value());
    EXPECT_EQ(row->value, "x") << key;
    EXPECT_FALSE(row->stamp.is_known()) << key;
  }
  EXPECT_TRUE(wait(feature->load("1", soon()))->stamp.is_known());
  EXPECT_TRUE(wait(feature->load("3", soon()))->stamp.is_known()) << "it would be spelled so if it came";
  EXPECT_FALSE(wait(feature->load("03", soon()))->stamp.is_known());
}

TEST_F(SqliteStampTest, AStampIncludesTheWritesBeforeItAndNoneAfter) {
  install();
  const auto before = wait(feature->load("1", soon()));
  const auto write = wait(feature->store("1", "new", soon()));
  const auto after = wait(feature->load("1", soon()));
  ASSERT_TRUE(before && write && after);
  EXPECT_FALSE(before->stamp.includes(write->change));
  EXPECT_TRUE(after->stamp.includes(write->change));
  const auto probe = wait(origin->probe(soon()));
  EXPECT_EQ(probe->all_up_to, write->change);
  EXPECT_EQ(probe->next.value, write->change.value + 1);
}

TEST_F(SqliteStampTest, ConfirmsWhatDidNotChangeAndOnlyThat) {
  install();
  const StampBound stamp = wait(feature->load("1", soon()))->stamp.bound();
  EXPECT_TRUE(confirm("1", stamp));
  sql("update user set body = 'z' where id = 2");
  EXPECT_TRUE(confirm("1", stamp));
  EXPECT_FALSE(confirm("2", stamp));
  sql("delete from candor_changes where seq <= (select max(seq) from candor_changes)");
  EXPECT_FALSE(confirm("1", stamp)) << "trimmed: in doubt";
  EXPECT_FALSE(confirm("1", StampBound{}));
  EXPECT_EQ(wait(origin->probe(soon()))->all_up_to.value, stamp.up_to.value + 1) << "also of an empty log";
}

TEST_F(SqliteStampTest, NothingIsProvenWithoutTriggers) {
  install();
  EXPECT_TRUE(wait(origin->probe(soon())).has_value());
  sql("drop trigger candor_1_update");
  const auto probe = wait(origin->probe(soon()));
  ASSERT_FALSE(probe.has_value());
  EXPECT_THAT(probe.error().message, HasSubstr("candor feed install"));
}

TEST_F(SqliteStampTest, ATableThatIsKnownToBeUnheardHoldsUpNoProof) {
  OriginStatements other;
  other.feature = "part";
  other.load = "select v from part where a = :key1 and b = :key2";
  other.watch_table = "part";
  other.watch_columns = {"a", "b"};
  ASSERT_TRUE(origin->bind(other).has_value());
  watches.pop_back();
  install();
  EXPECT_FALSE(wait(origin->probe(soon())).has_value());
  origin->note_unheard({{"part", "no triggers"}});
  EXPECT_TRUE(wait(origin->probe(soon())).has_value());
  sql("drop trigger candor_1_update");
  EXPECT_FALSE(wait(origin->probe(soon())).has_value()) << "of this one nobody knows yet";
  origin->note_unheard({});
  EXPECT_FALSE(wait(origin->probe(soon())).has_value());
}

TEST_F(SqliteStampTest, NothingIsProvenByADatabaseThatWentBack) {
  install();
  sql(".backup '" + dir.path() + "/old.db'");
  sql("update user set body = 'z'");
  EXPECT_TRUE(wait(origin->probe(soon())).has_value());
  sql(".restore '" + dir.path() + "/old.db'");
  EXPECT_FALSE(wait(origin->probe(soon())).has_value());
  SqliteSink other;
  start(&other);  // gives the file its new incarnation only if it knew more; this one is new
  install();
  EXPECT_FALSE(wait(origin->probe(soon())).has_value());
}

TEST_F(SqliteStampTest, ThisProcessesOwnWritesWakeTheFeed) {
  SqliteFeed& feed = begin();
  origin->on_written([&feed] { feed.wake(); });
  ASSERT_TRUE(wait(feature->store("1", "new", soon())).has_value());
  EXPECT_TRUE(turn_until([&] { return !sink.all.empty(); }, 100ms));
  EXPECT_THAT(sink.take(), ElementsAre("user:1"));
}

}  // namespace
}  // namespace candor
