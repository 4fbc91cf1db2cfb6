// Stamps, probes and confirmations of the PostgreSQL origin, against a real server.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <functional>
#include <optional>

#include "io/clock.h"
#include "io/loop.h"
#include "io/thread_pool.h"
#include "origin/postgres_identity.h"
#include "origin/postgres_origin.h"
#include "tests/support/process.h"

namespace candor {
namespace {

using ::testing::ElementsAre;
using testing::PostgresServer;

class StampClient {
 public:
  explicit StampClient(const std::string& url) : c_(PQconnectdb(url.c_str())) {}
  ~StampClient() { PQfinish(c_); }
  StampClient(const StampClient&) = delete;
  StampClient& operator=(const StampClient&) = delete;
  std::string operator()(const std::string& text) {
    PGresult* r = PQexec(c_, text.c_str());
    const auto status = PQresultStatus(r);
    EXPECT_TRUE(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) << PQerrorMessage(c_);
    std::string first = PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "";
    PQclear(r);
    return first;
  }

 private:
  PGconn* c_;
};

class PostgresStampsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!PostgresServer::is_installed()) return;
    server_ = new PostgresServer({"wal_level=logical", "max_connections=40"});
    ASSERT_TRUE(server_->start());
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override {
    if (server_ == nullptr) GTEST_SKIP() << "PostgreSQL is not installed";
    sql_ = std::make_unique<StampClient>(server_->url());
    sql("drop schema public cascade; create schema public; "
        "create table t (id integer primary key, v text, w text); "
        "insert into t select i, 'v' || i, 'w' from generate_series(1, 1000) i; "
        "create table c (a text, b text, v text, primary key (a, b)); insert into c values ('x', 'y:z', "
        "'v')");
    auto target = parse_postgres_url("shop", server_->url());
    origin_ = std::make_unique<PostgresOrigin>(
        *target, PostgresOrigin::Options{{"shop", 32, 20'000}, 4, 7, "candor_eu_shop"}, loop_, loop_, pool_);
    drop_slots();
    sql("select pg_create_logical_replication_slot('candor_eu_shop_1_0000000000a1', 'pgoutput')");
    history_ = postgres_incarnation("candor_eu_shop", "candor_eu_shop_1_0000000000a1", 1);
    ASSERT_NE(history_.value, 0u);
  }
  void TearDown() override {
    origin_.reset();
    if (sql_ != nullptr) drop_slots();
    loop_.turn(0s);
  }
  std::string sql(const std::string& text) { return (*sql_)(text); }
  void drop_slots() { sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots"); }
  std::unique_ptr<OriginFeature> bind(OriginStatements statements) {
    if (statements.feature.empty()) statements.feature = "f";
    auto feature = origin_->bind(std::move(statements));
    EXPECT_TRUE(feature) << feature.error().message;
    return std::move(*feature);
  }
  std::unique_ptr<OriginFeature> watched() {
    return bind({.load = "select v from t where id = :key",
                 .load_many = "select id, v from t where id = any(:keys)",
                 .store = "update t set v = :value where id = :key",
                 .erase = "delete from t where id = :key",
                 .watch_table = "t",
                 .watch_columns = {"id"}});
  }
  template <class T>
  T wait(Task<T> task) {
    std::optional<T> result;
    spawn(std::move(task), [&result](T value) { result.emplace(std::move(value)); });
    const SystemClock clock;
    const auto deadline = clock.now() + 20s;
    while (!result && clock.now() < deadline) loop_.turn(5ms);
    CANDOR_ASSERT(result.has_value());
    return std::move(*result);
  }
  MonoTime in(Duration d) {
    loop_.turn(0s);
    return loop_.now() + d;
  }
  OriginRow load(OriginFeature& f, const std::string& key) {
    auto row = wait(f.load(key, in(5s)));
    EXPECT_TRUE(row) << row.error().message;
    return row ? *row : OriginRow{};
  }
  // All asked in one turn.
  std::vector<bool> confirm(OriginFeature& f, const std::vector<std::string>& keys, StampBound stamp,
                            bool negative = false) {
    std::vector<std::optional<Result<bool>>> answers(keys.size());
    const Incarnation history = history_;
    const auto deadline = in(5s);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      spawn(f.confirm(keys[i], HeldRow{stamp, history, negative}, deadline),
            [&answers, i](Result<bool> a) { answers[i].emplace(std::move(a)); });
    }
    const SystemClock clock;
    const auto end = clock.now() + 10s;
    const auto all = [&] {
      return std::all_of(answers.begin(), answers.end(), [](const auto& a) { return a.has_value(); });
    };
    while (!all() && clock.now() < end) loop_.turn(5ms);
    std::vector<bool> found;
    for (auto& a : answers) {
      EXPECT_TRUE(a && *a) << (a && !*a ? a->error().message : "no answer");
      found.push_back(a && *a && **a);
    }
    return found;
  }

  static PostgresServer* server_;
  Incarnation history_;  // of the slot that stands there
  std::unique_ptr<StampClient> sql_;
  Loop loop_;
  ThreadPool pool_{2, "blocking"};
  std::unique_ptr<PostgresOrigin> origin_;
};
PostgresServer* PostgresStampsTest::server_ = nullptr;

TEST_F(PostgresStampsTest, ALoadSaysWhatItSaw) {
  auto f = watched();
  const auto xid =
      sql("with u as (update t set v = 'new' where id = 1 returning 1) select pg_current_xact_id() from u");
  const auto row = load(*f, "1");
  EXPECT_EQ(row.value, "new");
  EXPECT_TRUE(row.stamp.includes(ChangeId{std::stoull(xid)}));
  EXPECT_FALSE(row.stamp.includes(ChangeId{std::stoull(xid) + 1}));
}

TEST_F(PostgresStampsTest, ATransactionInProgressIsNotIncluded) {
  auto f = watched();
  StampClient writer(server_->url());
  writer("begin");
  const auto open = ChangeId{std::stoull(writer(
      "with u as (update t set v = 'x' where id = 1 returning 1) select pg_current_xact_id() from u"))};
  const auto later = ChangeId{std::stoull(
      sql("with u as (update t set v = 'y' where id = 2 returning 1) select pg_current_xact_id() from u"))};
  const auto row = load(*f, "2");
  EXPECT_EQ(row.value, "y");
  EXPECT_TRUE(row.stamp.includes(later));
  EXPECT_FALSE(row.stamp.includes(open));
  EXPECT_LT(row.stamp.bound().up_to, open);
  writer("commit");
  EXPECT_TRUE(load(*f, "1").stamp.includes(open));
}

TEST_F(PostgresStampsTest, NegativesBatchesAndSeveralColumnsAreStampedToo) {
  auto f = watched();
  EXPECT_TRUE(load(*f, "5000").stamp.is_known());
  EXPECT_FALSE(load(*f, "5000").value);
  sql("update t set v = null where id = 3");
  EXPECT_FALSE(load(*f, "3").value);
  std::vector<std::optional<Result<OriginRow>>> rows(50);
  const auto deadline = in(5s);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    spawn(f->load(std::to_string(980 + i), deadline),
          [&rows, i](Result<OriginRow> r) { rows[i].emplace(std::move(r)); });
  }
  const SystemClock clock;
  const auto end = clock.now() + 5s;
  while (clock.now() < end &&
         !std::all_of(rows.begin(), rows.end(), [](const auto& r) { return r.has_value(); }))
    loop_.turn(5ms);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ASSERT_TRUE(rows[i] && *rows[i]);
    EXPECT_EQ((*rows[i])->value.has_value(), 980 + i <= 1000);
    EXPECT_TRUE((*rows[i])->stamp.is_known());
  }
  auto json = bind({.feature = "json",
                    .load = "select id, v from t where id = :key -- note",
                    .watch_table = "t",
                    .watch_columns = {"id"}});
  const auto row = load(*json, "7");
  EXPECT_EQ(row.value, R"({"id":7,"v":"v7"})");
  EXPECT_TRUE(row.stamp.is_known());
}

TEST_F(PostgresStampsTest, AKeyInAnotherSpellingHasNoStamp) {
  auto f = watched();
  const auto row = load(*f, "007");
  EXPECT_EQ(row.value, "v7");
  EXPECT_FALSE(row.stamp.is_known());
}

// Types of which one value has several spellings: the load finds the row, and no change will say that key.
TEST_F(PostgresStampsTest, TypesWithSeveralSpellingsAreStampedUnderTheRowsAlone) {
  sql("create extension if not exists citext");
  struct Case {
    const char *type, *stored, *other, *own;  // own: null where the type is never stamped
  };
  int number = 0;
  for (const Case& c :
       {Case{"citext", "'Ada'", "ada", nullptr}, Case{"char(4)", "'ab'", "ab", nullptr},
        Case{"numeric", "7.0", "7", nullptr}, Case{"timestamp", "'2020-01-01 00:00'", "2020-01-01", nullptr},
        Case{"date", "'2020-01-01'", "20200101", nullptr}, Case{"float8", "7", "7.0", nullptr},
        Case{"bool", "true", "true", "t"}, Case{"bigint", "7", "+7", "7"}, Case{"smallint", "7", " 7", "7"},
        Case{"uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
             "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
        Case{"text", "'Ada'", nullptr, "Ada"}, Case{"varchar(9)", "'Ada'", nullptr, "Ada"}}) {
    const std::string table = fmt::format("s{}", number++);
    sql(fmt::format("create table {0} (k {1} primary key, v text); insert into {0} values ({2}, 'found')",
                    table, c.type, c.stored));
    auto f = bind({.feature = table,
                   .load = fmt::format("select v from {} where k = :key", table),
                   .watch_table = table,
                   .watch_columns = {"k"}});
    for (const char* key : {c.other, c.own}) {
      if (key == nullptr) continue;
      const auto row = load(*f, key);
      EXPECT_EQ(row.value, "found") << c.type << " " << key;
      EXPECT_EQ(row.stamp.is_known(), key == c.own) << c.type << " " << key;
    }
  }
}

TEST_F(PostgresStampsTest, AFeatureWithoutWatchIsLoadedAsEver) {
  auto f = bind({.load = "select v from t where id = :key"});
  const auto row = load(*f, "7");
  EXPECT_EQ(row.value, "v7");
  EXPECT_FALSE(row.stamp.is_known());
  EXPECT_FALSE(f->can_confirm());
  EXPECT_EQ(wait(f->confirm("7", HeldRow{StampBound{ChangeId{1}}, history_}, in(5s))).error().code,
            ErrorCode::kNotFound);
}

TEST_F(PostgresStampsTest, AQueryThatCannotStandInAnotherGoesWithoutStamp) {
  auto f = bind({.load = "with u as (update t set w = 'seen' where id = :key returning v) select v from u",
                 .watch_table = "t",
                 .watch_columns = {"id"}});
  const auto row = load(*f, "7");
  EXPECT_EQ(row.value, "v7");
  EXPECT_FALSE(row.stamp.is_known());
}

TEST_F(PostgresStampsTest, AMistakeInAWatchedLoadKeepsItsMessage) {
  auto f = bind({.load = "select nope from t where id = :key", .watch_table = "t", .watch_columns = {"id"}});
  auto row = wait(f->load("1", in(5s)));
  ASSERT_FALSE(row);
  EXPECT_THAT(row.error().message, ::testing::HasSubstr("column \"nope\" does not exist"));
  sql("alter table t add nope int default 4");
  EXPECT_EQ(load(*f, "1").value, "4");
  EXPECT_TRUE(load(*f, "1").stamp.is_known());
}

TEST_F(PostgresStampsTest, WritesSayTheirChange) {
  auto f = watched();
  auto written = wait(f->store("1", "new", in(5s)));
  ASSERT_TRUE(written);
  EXPECT_EQ(written->rows, 1u);
  EXPECT_EQ(std::to_string(written->change.value), sql("select xmin::text from t where id = 1"));
  EXPECT_TRUE(load(*f, "1").stamp.includes(written->change));
  auto nothing = wait(f->store("5000", "new", in(5s)));
  EXPECT_EQ(nothing->rows, 0u);
  EXPECT_EQ(nothing->change.value, 0u);
  auto erased = wait(f->erase("1", in(5s)));
  EXPECT_GT(erased->change, written->change);
}

TEST_F(PostgresStampsTest, AnUnchangedRowIsConfirmedAndAChangedOneIsNot) {
  auto f = watched();
  ASSERT_TRUE(f->can_confirm());
  const auto stamp = load(*f, "1").stamp.bound();
  sql("update t set v = 'x' where id = 2; delete from t where id = 3");
  const auto before = origin_->stats().statements;
  EXPECT_THAT(confirm(*f, {"1", "2", "3", "5000", "4"}, stamp), ElementsAre(true, false, false, false, true));
  EXPECT_EQ(origin_->stats().statements, before + 1);
  EXPECT_THAT(confirm(*f, {"1", "5000", "3"}, stamp, true), ElementsAre(false, true, true));
  EXPECT_THAT(confirm(*f, {"1"}, StampBound{}), ElementsAre(false));
}

// A promoted standby gives the ids of lost transactions out again: a stamp of before says nothing of them.
TEST_F(PostgresStampsTest, AStampOfAnotherHistoryConfirmsNothing) {
  auto f = watched();
  const auto stamp = load(*f, "1").stamp.bound();
  EXPECT_THAT(confirm(*f, {"1"}, stamp), ElementsAre(true));
  drop_slots();
  EXPECT_THAT(confirm(*f, {"1"}, stamp), ElementsAre(false)) << "nothing names the history";
  sql("select pg_create_logical_replication_slot('candor_eu_shop_1_0000000000b2', 'pgoutput')");
  EXPECT_THAT(confirm(*f, {"1"}, stamp), ElementsAre(false));
  history_ = postgres_incarnation("candor_eu_shop", "candor_eu_shop_1_0000000000b2", 1);
  EXPECT_THAT(confirm(*f, {"1"}, stamp), ElementsAre(true));
  history_ = Incarnation{};
  EXPECT_THAT(confirm(*f, {"1"}, stamp), ElementsAre(false)) << "the holder does not know its own";
}

// From the second time on it is prepared; what it means is settled anew each time.
TEST_F(PostgresStampsTest, AQuestionThatIsAskedAgainFollowsTheTable) {
  auto f = watched();
  const auto stamp = load(*f, "1").stamp.bound();
  for (int i = 0; i < 4; ++i) EXPECT_THAT(confirm(*f, {"1"}, stamp), ElementsAre(true));
  sql("alter table t rename to away");
  for (int i = 0; i < 20; ++i) EXPECT_THAT(confirm(*f, {"1"}, stamp), ElementsAre(false));
  sql("create table t (id bigint constraint only_one primary key, v text); insert into t values (1, "
      "'other')");
  for (int i = 0; i < 4; ++i) EXPECT_THAT(confirm(*f, {"1"}, stamp), ElementsAre(false));
  const auto other = load(*f, "1").stamp.bound();
  for (int i = 0; i < 4; ++i) EXPECT_THAT(confirm(*f, {"1"}, other), ElementsAre(true));
  sql("alter table t drop constraint only_one");  // of two rows with one key, one could change unseen
  for (int i = 0; i < 4; ++i) EXPECT_THAT(confirm(*f, {"1"}, other), ElementsAre(false));
  sql("drop table t; alter table away rename to t");
}

TEST_F(PostgresStampsTest, CompositeKeysAreConfirmed) {
  auto f = bind({.load = "select v from c where a = :key1 and b = :key2",
                 .watch_table = "c",
                 .watch_columns = {"a", "b"}});
  const auto row = load(*f, "x:y:z");
  EXPECT_TRUE(row.stamp.is_known());
  EXPECT_THAT(confirm(*f, {"x:y:z", "x:y"}, row.stamp.bound()), ElementsAre(true, false));
  sql("update c set v = 'w'");
  EXPECT_THAT(confirm(*f, {"x:y:z"}, row.stamp.bound()), ElementsAre(false));
}

TEST_F(PostgresStampsTest, WhatIsInDoubtIsNotConfirmed) {
  auto f = watched();
  const auto stamp = load(*f, "1").stamp.bound();
  EXPECT_THAT(confirm(*f, {"007"}, stamp), ElementsAre(false));
  EXPECT_THAT(confirm(*f, {"007"}, stamp, true), ElementsAre(false));
  EXPECT_THAT(confirm(*f, {"abc"}, stamp), ElementsAre(false));
  // Of several rows with one key one may have gone.
  auto by_w = bind({.feature = "w",
                    .load = "select count(*) from t where w = :key",
                    .watch_table = "t",
                    .watch_columns = {"w"}});
  EXPECT_THAT(confirm(*by_w, {"w"}, load(*by_w, "w").stamp.bound()), ElementsAre(false));
}

TEST_F(PostgresStampsTest, AProbeSaysWhereTheServerStands) {
  drop_slots();
  const auto first = wait(origin_->probe(in(5s)));
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->incarnation.value, 0u);  // no slot yet: no history to compare with
  StampClient open(server_->url());
  open("begin");
  const auto xid = std::stoull(
      open("with u as (update t set v = 'x' where id = 1 returning 1) select pg_current_xact_id() from u"));
  sql("update t set v = 'y' where id = 2");
  const auto second = wait(origin_->probe(in(5s)));
  EXPECT_GT(second->position, first->position);
  EXPECT_EQ(second->all_up_to.value, xid - 1);
  EXPECT_GT(second->next.value, xid);
  open("rollback");
  EXPECT_GE(wait(origin_->probe(in(5s)))->all_up_to.value, xid);
}

TEST_F(PostgresStampsTest, AnIdThatIsUnderWayAboveTheSnapshotsEndIsBelowNext) {
  StampClient open(server_->url());
  open("begin");
  const auto xid = std::stoull(
      open("with u as (update t set v = 'x' where id = 1 returning 1) select pg_current_xact_id() from u"));
  EXPECT_GT(wait(origin_->probe(in(5s)))->next.value, xid);
  open("rollback");
}

TEST_F(PostgresStampsTest, TheHistoryIsTheSlots) {
  const auto name = postgres_slot_name("candor_eu_shop", {.timeline = 1, .nonce = 42});
  sql(fmt::format("select pg_create_logical_replication_slot('{}', 'pgoutput')", name));
  const auto probe = wait(origin_->probe(in(5s)));
  ASSERT_TRUE(probe);
  EXPECT_EQ(probe->incarnation, postgres_incarnation("candor_eu_shop", name, 1));
  EXPECT_NE(probe->incarnation.value, 0u);
  sql(fmt::format("select pg_drop_replication_slot('{}')", name));
}

TEST_F(PostgresStampsTest, APlainRoleMayAskEverything) {
  sql("drop role if exists plain; create role plain login; grant usage on schema public to plain; grant "
      "select on t to plain");
  auto target =
      parse_postgres_url("shop", fmt::format("postgresql://plain@127.0.0.1:{}/postgres", server_->port()));
  origin_ = std::make_unique<PostgresOrigin>(
      *target, PostgresOrigin::Options{{"shop", 32, 20'000}, 4, 7, "candor_eu_shop"}, loop_, loop_, pool_);
  auto f = watched();
  const auto stamp = load(*f, "1").stamp.bound();
  EXPECT_TRUE(wait(origin_->probe(in(5s))));
  EXPECT_THAT(confirm(*f, {"1"}, stamp), ElementsAre(true));
}

TEST_F(PostgresStampsTest, QuestionsOfAServerThatIsGoneAreAnswered) {
  auto target = parse_postgres_url("shop", "postgresql://candor@127.0.0.1:1/postgres");
  origin_ = std::make_unique<PostgresOrigin>(*target, PostgresOrigin::Options{{"shop", 32, 20'000}, 4, 7, {}},
                                             loop_, loop_, pool_);
  EXPECT_EQ(wait(origin_->probe(in(2s))).error().code, ErrorCode::kOriginDown);
}

TEST_F(PostgresStampsTest, TheCostOfAStamp) {
  auto plain = bind({.feature = "plain", .load = "select v from t where id = :key"});
  auto stamped = watched();
  auto single = bind({.feature = "single",
                      .load = "select v from t where id = :key",
                      .watch_table = "t",
                      .watch_columns = {"id"}});
  const auto time = [&](OriginFeature& f, bool confirms) {
    const auto stamp = load(f, "1").stamp.bound();
    const SystemClock clock;
    const auto before = clock.now();
    constexpr std::size_t kRounds = 40, kWidth = 250;
    for (std::size_t round = 0; round < kRounds; ++round) {
      std::size_t left = kWidth;
      const auto deadline = in(10s);
      for (std::size_t i = 0; i < kWidth; ++i) {
        const auto key = std::to_string(i + 1);
        if (confirms) {
          spawn(f.confirm(key, HeldRow{stamp, history_}, deadline), [&left](Result<bool>) { --left; });
        } else {
          spawn(f.load(key, deadline), [&left](Result<OriginRow>) { --left; });
        }
      }
      while (left > 0) loop_.turn(5ms);
    }
    return static_cast<double>((clock.now() - before).count()) / 1000.0 / (kRounds * kWidth);
  };
  const auto bare = time(*plain, false), with = time(*single, false), many = time(*stamped, false),
             sure = time(*stamped, true);
  fmt::print(
      "per key: load {:.1f} us, with stamp {:.1f} us, load_many with stamp {:.1f} us, confirmed {:.1f} us\n",
      bare, with, many, sure);
}

}  // namespace
}  // namespace candor
