// PostgreSQL as an origin, against a real server.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <functional>
#include <optional>

#include "io/clock.h"
#include "io/loop.h"
#include "io/thread_pool.h"
#include "origin/postgres_origin.h"
#include "tests/support/process.h"

namespace candor {
namespace {

using ::testing::HasSubstr;
using testing::PostgresServer;

// One server for all tests of this file: making one takes seconds.
class PostgresOriginTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!PostgresServer::is_installed()) return;
    server_ = new PostgresServer({"fsync=off", "max_connections=40"});
    ASSERT_TRUE(server_->start());
    sql("create table t (k text primary key, v text); "
        "insert into t values ('a', 'one'), ('n', null), ('q\"\\', 'quoted'); "
        "create table n (id integer primary key, v text not null check (v <> 'bad')); "
        "insert into n select i, 'row ' || i from generate_series(1, 2000) i; "
        "create table b (k text primary key, v bytea); "
        "create table c (a text, b text, v jsonb, primary key (a, b)); "
        "insert into c values ('x', 'y:z', '{\"deep\": true}'); "
        "create table parent (id integer primary key); "
        "create table d (k text primary key, p integer references parent deferrable initially deferred)");
  }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override {
    if (server_ == nullptr) GTEST_SKIP() << "PostgreSQL is not installed";
  }
  void TearDown() override {
    origin_.reset();
    loop_.turn(0s);
  }

  // Straight to the database, as another client would. The first column of the first row.
  static std::string sql(const std::string& text) { return sql(*server_, text); }
  static std::string sql(const PostgresServer& server, const std::string& text) {
    PGconn* c = PQconnectdb(server.url().c_str());
    PGresult* r = PQexec(c, text.c_str());
    const auto status = PQresultStatus(r);
    EXPECT_TRUE(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) << PQerrorMessage(c);
    std::string first = PQntuples(r) > 0 ? PQgetvalue(r, 0, 0) : "";
    PQclear(r);
    PQfinish(c);
    return first;
  }

  void open(std::uint32_t max_concurrency = 32, std::uint32_t connections_max = 4,
            std::uint32_t waiting_max = 20'000, const std::string& url = server_->url(),
            const std::string& slot_prefix = "") {
    auto target = parse_postgres_url("shop", url);
    ASSERT_TRUE(target) << target.error().message;
    target->connect_timeout = 2s;
    origin_ = std::make_unique<PostgresOrigin>(
        *target,
        PostgresOrigin::Options{
            {"shop", max_concurrency, waiting_max, protection_}, connections_max, 7, slot_prefix},
        loop_, loop_, pool_);
  }
  std::unique_ptr<OriginFeature> bind(OriginStatements statements) {
    if (statements.feature.empty()) statements.feature = "f";
    auto feature = origin_->bind(std::move(statements));
    EXPECT_TRUE(feature) << feature.error().message;
    return feature ? std::move(*feature) : nullptr;
  }
  std::unique_ptr<OriginFeature> bind_t() {
    return bind({.load = "select v from t where k = :key",
                 .store = "insert into t values (:key, :value) on conflict (k) do update set v = excluded.v",
                 .erase = "delete from t where k = :key"});
  }

  bool turn_until(const std::function<bool()>& done, Duration patience = 20s) {
    const SystemClock clock;
    const MonoTime deadline = clock.now() + patience;
    while (!done()) {
      if (clock.now() >= deadline) return false;
      loop_.turn(5ms);
    }
    return true;
  }
  template <class T>
  void start(Task<T> task, std::optional<T>* slot) {
    spawn(std::move(task), [slot](T value) { slot->emplace(std::move(value)); });
  }
  template <class T>
  T wait(Task<T> task) {
    std::optional<T> result;
    start(std::move(task), &result);
    CANDOR_ASSERT(turn_until([&result] { return result.has_value(); }));
    return std::move(*result);
  }
  [[nodiscard]] MonoTime in(Duration d) {
    loop_.turn(0s);
    return loop_.now() + d;
  }
  Result<OriginRow> load(OriginFeature& f, const std::string& key) { return wait(f.load(key, in(5s))); }
  std::string value(OriginFeature& f, const std::string& key) {
    auto row = load(f, key);
    return !row ? "error: " + row.error().message : row->value ? *row->value : "(none)";
  }
  Result<OriginWrite> store(OriginFeature& f, const std::string& key, const std::string& v) {
    return wait(f.store(key, v, in(5s)));
  }
  // All at once; the values, "(none)" or "error: …".
  std::vector<std::string> load_all(OriginFeature& f, const std::vector<std::string>& keys,
                                    Duration patience = 10s) {
    std::vector<std::optional<Result<OriginRow>>> rows(keys.size());
    const auto deadline = in(patience);
    for (std::size_t i = 0; i < keys.size(); ++i) start(f.load(keys[i], deadline), &rows[i]);
    EXPECT_TRUE(turn_until(
        [&] { return std::all_of(rows.begin(), rows.end(), [](const auto& r) { return r.has_value(); }); }));
    std::vector<std::string> values;
    for (auto& row : rows) {
      values.push_back(!*row ? "error: " + row->error().message : (*row)->value ? *(*row)->value : "(none)");
    }
    return values;
  }

  OriginProtection protection_{.is_adaptive = false};  // of what open() opens
  static PostgresServer* server_;
  Loop loop_;
  ThreadPool pool_{2, "blocking"};
  std::unique_ptr<PostgresOrigin> origin_;
};
PostgresServer* PostgresOriginTest::server_ = nullptr;

TEST_F(PostgresOriginTest, LoadsNegativesAndTextKeys) {
  open();
  auto f = bind_t();
  EXPECT_TRUE(wait(origin_->prepare()));
  EXPECT_EQ(value(*f, "a"), "one");
  EXPECT_EQ(value(*f, "n"), "(none)");
  EXPECT_EQ(value(*f, "missing"), "(none)");
  EXPECT_TRUE(origin_->stats().connected);
}

TEST_F(PostgresOriginTest, StoreAndEraseSayHowManyRows) {
  open();
  auto f = bind_t();
  EXPECT_EQ(store(*f, "new", "v")->rows, 1u);
  EXPECT_EQ(value(*f, "new"), "v");
  EXPECT_EQ(wait(f->erase("new", in(5s)))->rows, 1u);
  EXPECT_EQ(wait(f->erase("new", in(5s)))->rows, 0u);
}

TEST_F(PostgresOriginTest, NothingInAKeyOrValueIsSql) {
  open();
  auto f = bind_t();
  const std::string evil = "'; drop table t; -- \\ $1 :key";
  ASSERT_TRUE(store(*f, evil, evil));
  EXPECT_EQ(value(*f, evil), evil);
  wait(f->erase(evil, in(5s)));
}

TEST_F(PostgresOriginTest, ByteaComesBackAsItWas) {
  open();
  auto f =
      bind({.load = "select v from b where k = :key",
            .store = "insert into b values (:key, :value) on conflict (k) do update set v = excluded.v"});
  for (const std::string& v : {std::string(), std::string("\0\xff\\x\n", 5), std::string(3 << 20, '\x80')}) {
    ASSERT_TRUE(store(*f, "k", v));
    auto row = load(*f, "k");
    ASSERT_TRUE(row && row->value);
    EXPECT_TRUE(*row->value == v);
  }
}

TEST_F(PostgresOriginTest, ColumnsOfManyTypes) {
  open();
  auto number = bind({.feature = "number", .load = "select 12.50::numeric where :key <> ''"});
  EXPECT_EQ(value(*number, "x"), "12.50");
  auto yes = bind({.feature = "yes", .load = "select true where :key <> ''"});
  EXPECT_EQ(value(*yes, "x"), "t");
  auto json = bind({.feature = "json", .load = "select v from c where a = :key1 and b = :key2"});
  EXPECT_EQ(value(*json, "x:y:z"), R"({"deep": true})");
  EXPECT_EQ(load(*json, "x").error().code, ErrorCode::kInvalidArgument);
  auto row =
      bind({.feature = "row",
            .load = "select 1 as i, 2.5::numeric as n, 'NaN'::float8 as nan, false as no, null as nothing, "
                    "'t\"' as t, '\\x00ff'::bytea as b, '[1]'::json as j where :key <> ''"});
  EXPECT_EQ(value(*row, "x"),
            R"({"i":1,"n":2.5,"nan":"NaN","no":false,"nothing":null,"t":"t\"","b":"\\x00ff","j":[1]})");
}

TEST_F(PostgresOriginTest, AKeyThatDoesNotFitTheColumnIsRejectedAlone) {
  open();
  auto f = bind({.load = "select v from n where id = :key"});
  const auto values = load_all(*f, {"1", "abc", "2", "3"});
  EXPECT_EQ(values[0], "row 1");
  EXPECT_THAT(values[1], HasSubstr("features.f.load: invalid input syntax for type integer"));
  EXPECT_THAT(values[1], HasSubstr("SQLSTATE 22P02"));
  EXPECT_EQ(values[2], "row 2");
  EXPECT_EQ(values[3], "row 3");
}

TEST_F(PostgresOriginTest, AKeyWithANulByteIsRefused) {
  open();
  auto text = bind_t();
  EXPECT_EQ(load(*text, std::string("a\0b", 3)).error().code, ErrorCode::kRejected);
  auto number = bind({.feature = "g", .load = "select v from n where id = :key"});
  EXPECT_EQ(load(*number, std::string("1\0", 2)).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(origin_->stats().in_flight, 0u);
}

TEST_F(PostgresOriginTest, LoadManyIsOneStatement) {
  open();
  auto f = bind(
      {.load = "select v from n where id = :key", .load_many = "select id, v from n where id = any(:keys)"});
  EXPECT_TRUE(wait(origin_->prepare()));
  std::vector<std::string> keys;
  for (int i = 1; i <= 300; ++i) keys.push_back(std::to_string(i * 10));  // 2000 is the last that exists
  const auto values = load_all(*f, keys);
  for (int i = 1; i <= 300; ++i)
    EXPECT_EQ(values[static_cast<std::size_t>(i - 1)], i <= 200 ? fmt::format("row {}", i * 10) : "(none)");
  EXPECT_EQ(origin_->stats().statements, 1u);
  EXPECT_EQ(origin_->stats().loads, 300u);
}

TEST_F(PostgresOriginTest, LoadManyMatchesTextKeysAndQuotes) {
  open();
  auto f = bind(
      {.load = "select v from t where k = :key", .load_many = "select k, v from t where k = any(:keys)"});
  const auto values = load_all(*f, {"a", "q\"\\", "n", "{}", "NULL", "a"});
  EXPECT_EQ(values, (std::vector<std::string>{"one", "quoted", "(none)", "(none)", "(none)", "one"}));
}

TEST_F(PostgresOriginTest, AKeyInAnotherSpellingIsFoundByLoadMany) {
  open();
  auto f = bind(
      {.load = "select v from n where id = :key", .load_many = "select id, v from n where id = any(:keys)"});
  EXPECT_EQ(load_all(*f, {"007", "8", " 9"}), (std::vector<std::string>{"row 7", "row 8", "row 9"}));
}

TEST_F(PostgresOriginTest, OneBadKeySpoilsOnlyItselfInLoadMany) {
  open();
  auto f = bind(
      {.load = "select v from n where id = :key", .load_many = "select id, v from n where id = any(:keys)"});
  const auto values = load_all(*f, {"1", "abc", std::string("2\0", 2), "3"});
  EXPECT_EQ(values[0], "row 1");
  EXPECT_THAT(values[1], HasSubstr("22P02"));
  EXPECT_THAT(values[2], HasSubstr("NUL"));
  EXPECT_EQ(values[3], "row 3");
}

TEST_F(PostgresOriginTest, PrepareNamesFeatureStatementAndReason) {
  open();
  bind({.feature = "profile", .load = "selec v from t where k = :key"});
  auto prepared = wait(origin_->prepare());
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, ErrorCode::kRejected);
  EXPECT_THAT(prepared.error().message, HasSubstr("features.profile.load: syntax error"));
}

TEST_F(PostgresOriginTest, OneFeaturesBadStatementHurtsNoOtherAndIsTriedAgain) {
  open();
  auto bad = bind({.feature = "bad", .load = "select v from later where k = :key"});
  auto good = bind_t();
  EXPECT_EQ(load(*bad, "a").error().code, ErrorCode::kRejected);
  EXPECT_EQ(value(*good, "a"), "one");
  sql("create table later (k text, v text); insert into later values ('a', 'now')");
  EXPECT_EQ(value(*bad, "a"), "now");
  sql("drop table later");
}

TEST_F(PostgresOriginTest, ATableChangedMeanwhileIsFollowed) {
  sql("create table wide (k text, v text); insert into wide values ('a', 'x')");
  open();
  auto f = bind({.load = "select * from wide where k = :key"});
  EXPECT_EQ(value(*f, "a"), R"({"k":"a","v":"x"})");
  sql("alter table wide add column w int default 3");
  EXPECT_EQ(value(*f, "a"), R"({"k":"a","v":"x","w":3})");
  sql("drop table wide");
}

TEST_F(PostgresOriginTest, AConstraintThatRefusesAStoreIsSaid) {
  open();
  auto f = bind({.load = "select v from n where id = :key", .store = "insert into n values (:key, :value)"});
  auto written = store(*f, "9000", "bad");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::kRejected);
  EXPECT_THAT(written.error().message, HasSubstr("violates check constraint"));
  EXPECT_THAT(written.error().message, ::testing::Not(HasSubstr("9000")));  // details hold values
}

TEST_F(PostgresOriginTest, AConstraintCheckedAtCommitRefusesTheStore) {
  open();
  auto f =
      bind({.load = "select p::text from d where k = :key", .store = "insert into d values (:key, :value)"});
  auto written = store(*f, "k", "77");
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("violates foreign key constraint"));
  EXPECT_EQ(value(*f, "k"), "(none)");
}

TEST_F(PostgresOriginTest, WritesAndLoadsOfOneTurnAllArrive) {
  open(32, 2);
  auto f = bind_t();
  std::vector<std::optional<Result<OriginWrite>>> written(50);
  for (std::size_t i = 0; i < written.size(); ++i)
    start(f->store(fmt::format("w{}", i), "v", in(5s)), &written[i]);
  std::vector<std::string> keys(50, "a");
  for (const auto& v : load_all(*f, keys)) EXPECT_EQ(v, "one");
  ASSERT_TRUE(turn_until([&] {
    return std::all_of(written.begin(), written.end(), [](const auto& w) { return w.has_value(); });
  }));
  for (const auto& w : written) EXPECT_TRUE(w->has_value());
  EXPECT_EQ(sql("select count(*) from t where k like 'w%'"), "50");
  sql("delete from t where k like 'w%'");
}

TEST_F(PostgresOriginTest, ManyLoadsStayWithinTheirLimits) {
  open(8, 3, 20'000);
  auto f = bind({.load = "select v from n where id = :key"});
  std::vector<std::string> keys;
  for (int i = 0; i < 10'000; ++i) keys.push_back(std::to_string(i % 2000 + 1));
  const auto values = load_all(*f, keys, 20s);
  for (std::size_t i = 0; i < keys.size(); ++i) ASSERT_EQ(values[i], "row " + keys[i]);
  EXPECT_LE(origin_->stats().in_flight_max, 8u);
  EXPECT_LE(origin_->connections(), 3u);
  EXPECT_EQ(origin_->stats().in_flight, 0u);
}

TEST_F(PostgresOriginTest, TooManyWaitingIsOverloaded) {
  open(2, 1, 100);
  auto f = bind_t();
  EXPECT_TRUE(wait(origin_->prepare()));
  std::vector<std::optional<Result<OriginRow>>> rows(1000);
  const auto deadline = in(5s);
  for (auto& row : rows) start(f->load("a", deadline), &row);
  ASSERT_TRUE(turn_until(
      [&] { return std::all_of(rows.begin(), rows.end(), [](const auto& r) { return r.has_value(); }); }));
  EXPECT_EQ(std::count_if(rows.begin(), rows.end(),
                          [](const auto& r) { return !*r && r->error().code == ErrorCode::kOverloaded; }),
            910);  // a tenth of the line is kept for critical features and writes
}

TEST_F(PostgresOriginTest, AStatementPastItsDeadlineEndsAtTheServerToo) {
  open();
  auto slow = bind({.feature = "slow", .load = "select pg_sleep(30)::text where :key <> ''"});
  auto f = bind_t();
  const SystemClock clock;
  const auto before = clock.now();
  auto row = wait(slow->load("x", in(300ms)));
  EXPECT_EQ(row.error().code, ErrorCode::kTimeout);
  EXPECT_LT(clock.now() - before, 2s);
  EXPECT_EQ(value(*f, "a"), "one");
  EXPECT_EQ(origin_->stats().in_flight, 0u);
  const std::string running =
      "select count(*) from pg_stat_activity where state = 'active' and query like 'select pg_sleep(30)%'";
  EXPECT_TRUE(turn_until([&] { return sql(running) == "0"; }, 5s));
}

TEST_F(PostgresOriginTest, ALoadBehindASlowOneOnTheSameConnectionIsSentAgain) {
  open(32, 1);
  auto slow = bind({.feature = "slow", .load = "select pg_sleep(30)::text where :key <> ''"});
  auto f = bind_t();
  EXPECT_TRUE(wait(origin_->prepare()));
  std::optional<Result<OriginRow>> late, behind;
  start(slow->load("x", in(200ms)), &late);
  start(f->load("a", in(5s)), &behind);
  ASSERT_TRUE(turn_until([&] { return late.has_value() && behind.has_value(); }));
  EXPECT_EQ(late->error().code, ErrorCode::kTimeout);
  ASSERT_TRUE(behind->has_value()) << behind->error().message;
  EXPECT_EQ(*(*behind)->value, "one");
}

TEST_F(PostgresOriginTest, AKilledBackendCostsNoLoad) {
  open(32, 1);
  auto f = bind_t();
  EXPECT_EQ(value(*f, "a"), "one");
  sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'candor'");
  EXPECT_EQ(value(*f, "a"), "one");
}

TEST_F(PostgresOriginTest, ALoadThatIsLostIsRepeatedOnceOutOfItsBudget) {
  for (const double share : {0.1, 0.0}) {
    protection_.retry_share = share;
    open(32, 1);
    auto slow = bind({.load = "select pg_sleep(0.5)::text || 'here' where :key <> ''"});
    auto quick = bind_t();
    EXPECT_TRUE(wait(origin_->prepare()));
    // A server that drops a connection which never answered has not come back: that is another case.
    EXPECT_EQ(value(*quick, "a"), "one");
    std::optional<Result<OriginRow>> row;
    start(slow->load("x", in(5s)), &row);
    EXPECT_TRUE(turn_until([&] {
      return sql("select count(*) from pg_stat_activity where state = 'active' and query like 'select "
                 "pg_sleep(0.5)%'") == "1";
    }));
    sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'candor'");
    ASSERT_TRUE(turn_until([&] { return row.has_value(); }));
    EXPECT_EQ(row->has_value(), share > 0) << share << ": " << (*row ? std::string() : row->error().message);
    EXPECT_EQ(origin_->stats().retries, share > 0 ? 1U : 0U);
    if (!*row) {
      EXPECT_EQ(row->error().code, ErrorCode::kOriginDown);
    }
  }
}

TEST_F(PostgresOriginTest, IdleConnectionsThatCloseAreNoOutage) {
  open(32, 1);
  auto f = bind_t();
  EXPECT_EQ(value(*f, "a"), "one");
  ASSERT_TRUE(origin_->stats().connected);
  ASSERT_EQ(origin_->connections(), 1U);
  sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'candor'");
  bool was_lost = false;
  EXPECT_TRUE(turn_until([&] {
    EXPECT_TRUE(origin_->stats().connected);
    was_lost = was_lost || origin_->connections() == 0;
    return was_lost && origin_->connections() == 1;
  }));
  EXPECT_EQ(value(*f, "a"), "one");
}

TEST_F(PostgresOriginTest, ServerKilledAndBack) {
  open();
  auto f = bind_t();
  EXPECT_EQ(value(*f, "a"), "one");
  server_->crash();
  const SystemClock clock;
  const auto before = clock.now();
  auto row = load(*f, "a");
  ASSERT_FALSE(row);
  EXPECT_EQ(row.error().code, ErrorCode::kOriginDown);
  EXPECT_THAT(row.error().message, HasSubstr("127.0.0.1"));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(load(*f, "a").error().code, ErrorCode::kOriginDown);
  EXPECT_LT(clock.now() - before, 3s);  // at once, not at the deadline
  EXPECT_FALSE(origin_->stats().connected);
  ASSERT_TRUE(server_->start());
  EXPECT_TRUE(turn_until([&] { return origin_->stats().connected; }, 10s));  // by itself
  EXPECT_EQ(value(*f, "a"), "one");
  EXPECT_EQ(origin_->stats().in_flight, 0u);
}

TEST_F(PostgresOriginTest, LoadsUnderWayWhenTheServerDiesAreAnswered) {
  open(16, 2);
  auto f = bind({.load = "select pg_sleep(0.01)::text || v from n where id = :key"});
  EXPECT_TRUE(wait(origin_->prepare()));
  std::vector<std::optional<Result<OriginRow>>> rows(200);
  const auto deadline = in(5s);
  for (std::size_t i = 0; i < rows.size(); ++i) start(f->load(std::to_string(i + 1), deadline), &rows[i]);
  loop_.turn(20ms);
  loop_.turn(20ms);
  server_->crash();
  EXPECT_TRUE(turn_until(
      [&] { return std::all_of(rows.begin(), rows.end(), [](const auto& r) { return r.has_value(); }); },
      8s));
  for (const auto& row : rows) {
    if (!*row) {
      EXPECT_EQ(row->error().code, ErrorCode::kOriginDown) << row->error().message;
    }
  }
  EXPECT_EQ(origin_->stats().in_flight, 0u);
  ASSERT_TRUE(server_->start());
}

TEST_F(PostgresOriginTest, AServerThatIsNotThereIsSaidAtPrepare) {
  open(4, 1, 100, fmt::format("postgresql://app:secret@127.0.0.1:{}/db", testing::free_port()));
  auto prepared = wait(origin_->prepare());
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, ErrorCode::kOriginDown);
  EXPECT_THAT(prepared.error().message, HasSubstr("app@127.0.0.1"));
  EXPECT_THAT(prepared.error().message, ::testing::Not(HasSubstr("secret")));
}

TEST_F(PostgresOriginTest, AHostNameIsResolvedOffTheLoop) {
  auto url = server_->url();
  const auto at = url.find("127.0.0.1");
  ASSERT_NE(at, std::string::npos);
  open(4, 1, 100, url.replace(at, 9, "localhost"));
  auto f = bind_t();
  EXPECT_EQ(value(*f, "a"), "one");
}

TEST_F(PostgresOriginTest, ClosingAnswersEverybody) {
  open();
  auto slow = bind({.load = "select pg_sleep(30)::text where :key <> ''"});
  EXPECT_TRUE(wait(origin_->prepare()));
  std::optional<Result<OriginRow>> row;
  start(slow->load("x", in(20s)), &row);
  loop_.turn(10ms);
  origin_.reset();
  EXPECT_TRUE(row.has_value());
}

// ---- Another history than before

// A server of each test's own, with a slot as the change feed makes it.
class PostgresHistoryLost : public PostgresOriginTest {
 protected:
  void SetUp() override {
    PostgresOriginTest::SetUp();
    own_ = std::make_unique<PostgresServer>(
        std::vector<std::string>{"wal_level=logical", "max_wal_senders=4", "autovacuum=off"});
    ASSERT_TRUE(own_->start());
    on("create table t (k text primary key, v text); insert into t values ('a', 'old')");
    on("select pg_create_logical_replication_slot('candor_eu_shop_1_0123456789ab', 'pgoutput')");
    open_own();
  }
  void TearDown() override {
    feature_.reset();
    PostgresOriginTest::TearDown();
  }
  std::string on(const std::string& text) { return sql(*own_, text); }
  void open_own(std::uint32_t connections_max = 4,
                const std::string& load = "select v from t where k = :key") {
    feature_.reset();
    origin_.reset();
    open(32, connections_max, 1000, own_->url(), "candor_eu_shop");
    origin_->on_history_lost(
        [this](const PostgresHistory::Verdict& lost) { events_.push_back("lost: " + lost.reason); });
    feature_ = bind({.load = load, .watch_table = "t", .watch_columns = {"k"}});
  }
  void commit(int transactions) {
    for (int i = 0; i < transactions; ++i)
      on("insert into t values ('a', '') on conflict (k) do update set v = t.v || 'x'");
  }
  // As long as the origin is not connected, loads fail at once.
  void load_when_it_is_back() {
    for (int tries = 0; tries < 500; ++tries) {
      if (load(*feature_, "a")) return events_.emplace_back("loaded"), void();
      turn_until([] { return false; }, 20ms);
    }
    FAIL() << "the origin does not come back";
  }
  void restore() {
    own_->stop();
    own_->restore();
    ASSERT_TRUE(own_->start());
  }

  std::unique_ptr<PostgresServer> own_;
  std::unique_ptr<OriginFeature> feature_;
  std::vector<std::string> events_;  // in the order in which they were told
};

using ::testing::ElementsAre;

TEST_F(PostgresHistoryLost, AnOlderBackupIsNoticedBeforeItsFirstLoad) {
  ASSERT_TRUE(own_->back_up());
  commit(20);
  EXPECT_TRUE(load(*feature_, "a"));
  restore();
  load_when_it_is_back();
  EXPECT_THAT(events_, ElementsAre(HasSubstr("lost: transaction ids went back"), "loaded"));
  load_when_it_is_back();
  EXPECT_EQ(std::ranges::count_if(events_, [](const auto& e) { return e.starts_with("lost"); }), 1);
}

TEST_F(PostgresHistoryLost, ABackupWhoseIdsAreHigherAgainIsNoticedByItsSlots) {
  EXPECT_TRUE(load(*feature_, "a"));
  ASSERT_TRUE(own_->back_up());
  restore();
  commit(20);
  load_when_it_is_back();
  EXPECT_THAT(events_, ElementsAre(HasSubstr("lost: replication slot candor_eu_shop_1_0123456789ab is gone"),
                                   "loaded"));
}

TEST_F(PostgresHistoryLost, RestartsCrashesAndKilledConnectionsAreNoLoss) {
  commit(5);
  EXPECT_TRUE(load(*feature_, "a"));
  on("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'candor'");
  load_when_it_is_back();
  own_->stop();
  ASSERT_TRUE(own_->start());
  load_when_it_is_back();
  commit(5);
  own_->crash();
  ASSERT_TRUE(own_->start());
  load_when_it_is_back();
  EXPECT_TRUE(wait(origin_->probe(in(5s))));
  EXPECT_THAT(events_, ::testing::Each("loaded"));
  EXPECT_GE(events_.size(), 3u);
}

// Nothing is cut off: a pool in between may have gone to another server without a word.
TEST_F(PostgresHistoryLost, AProbeNoticesOnAConnectionThatStaysAndNothingMoreIsSentThere) {
  open_own(2, "select pg_backend_pid()::text || pg_sleep(length(v) / 10.0)::text from t where k = :key");
  on("insert into t values ('slow', 'xxxxx')");
  const auto before = value(*feature_, "a");
  EXPECT_TRUE(wait(origin_->probe(in(5s))));
  EXPECT_THAT(events_, ElementsAre());
  std::optional<Result<OriginRow>> slow;
  start(feature_->load("slow", in(10s)), &slow);
  loop_.turn(20ms);
  on("select pg_drop_replication_slot('candor_eu_shop_1_0123456789ab')");
  EXPECT_TRUE(wait(origin_->probe(in(5s))));
  EXPECT_THAT(events_, ElementsAre(HasSubstr("slot candor_eu_shop_1_0123456789ab is gone")));
  const auto after = value(*feature_, "a");
  EXPECT_NE(after, before);
  EXPECT_LE(std::stoi(on("select count(*) from pg_stat_activity where application_name = 'candor'")), 2);
  EXPECT_TRUE(turn_until([&] { return slow.has_value(); }));
  EXPECT_TRUE(*slow) << slow->error().message;  // it was under way, and ends well
  EXPECT_TRUE(wait(origin_->probe(in(5s))));
  EXPECT_EQ(events_.size(), 1u);
}

// ---- batches of write-behind ----

using Kind = WriteBatchOutcome::Kind;

BatchedWrite put(std::string key, std::string value) {
  return {false, std::move(key), std::make_shared<const std::string>(std::move(value))};
}

class PostgresBatchTest : public PostgresOriginTest {
 protected:
  void SetUp() override {
    PostgresOriginTest::SetUp();
    if (server_ == nullptr) return;
    sql("drop table if exists candor_write_behind; truncate t; truncate d; "
        "insert into t values ('a', 'one'), ('n', null), ('q\"\\', 'quoted')");
  }
  WriteBatchOutcome apply(OriginFeature& f, std::uint64_t expected, std::uint64_t position,
                          std::vector<BatchedWrite> writes, Duration patience = 5s) {
    return wait(f.apply(WriteBatch{"log", expected, position, std::move(writes)}, in(patience)));
  }
  Result<std::uint64_t> position(OriginFeature& f) { return wait(f.applied_position("log", in(5s))); }
  std::unique_ptr<OriginFeature> bind_n() {
    return bind(
        {.load = "select v from n where id = :key",
         .store = "insert into n values (:key, :value) on conflict (id) do update set v = excluded.v"});
  }
};

TEST_F(PostgresBatchTest, WritesAndThePositionAreOneTransactionAndTheTableIsMade) {
  open();
  auto f = bind_t();
  EXPECT_EQ(position(*f), 0u);
  EXPECT_EQ(position(*f), 0u);
  const auto before = sql("select pg_current_xact_id()::text");
  const auto outcome = apply(*f, 0, 7, {put("a", "1"), put("z", "2"), {true, "n", nullptr}});
  EXPECT_EQ(outcome.kind, Kind::kApplied) << outcome.error.message;
  ASSERT_EQ(outcome.changes.size(), 3u);
  EXPECT_GT(outcome.changes[0].value, std::stoull(before));
  EXPECT_EQ(value(*f, "a"), "1");
  EXPECT_EQ(value(*f, "z"), "2");
  EXPECT_EQ(sql("select count(*) from t where k = 'n'"), "0");
  EXPECT_EQ(sql("select count(distinct xmin::text) from t where k in ('a', 'z')"), "1");
  EXPECT_EQ(position(*f), 7u);
}

TEST_F(PostgresBatchTest, FromAnotherPositionOrWithoutItsRowNothingIsDone) {
  open();
  auto f = bind_t();
  EXPECT_EQ(position(*f), 0u);
  ASSERT_EQ(apply(*f, 0, 7, {put("a", "1")}).kind, Kind::kApplied);
  EXPECT_EQ(apply(*f, 0, 7, {put("a", "2")}).kind, Kind::kMoved);
  sql("delete from candor_write_behind");
  EXPECT_EQ(apply(*f, 7, 8, {put("a", "2")}).kind, Kind::kMoved);
  EXPECT_EQ(value(*f, "a"), "1");
}

TEST_F(PostgresBatchTest, AWriteThatTheDatabaseWillNeverTakeIsNamedAndNothingIsDone) {
  open();
  auto f = bind_n();
  EXPECT_EQ(position(*f), 0u);
  const auto constraint = apply(*f, 0, 3, {put("1", "new"), put("2", "bad"), put("3", "new")});
  EXPECT_EQ(constraint.kind, Kind::kRefused);
  EXPECT_EQ(constraint.index, 1u);
  const auto type = apply(*f, 0, 3, {put("1", "new"), put("3", "new"), put("no integer", "new")});
  EXPECT_EQ(type.kind, Kind::kRefused);
  EXPECT_EQ(type.index, 2u);
  EXPECT_EQ(value(*f, "1"), "row 1");
  EXPECT_EQ(position(*f), 0u);
}

TEST_F(PostgresBatchTest, AConstraintThatIsLookedAtAtTheCommitRefusesTheBatchWithoutAName) {
  open();
  auto f = bind(
      {.load = "select p from d where k = :key",
       .store = "insert into d values (:key, :value::integer) on conflict (k) do update set p = excluded.p"});
  EXPECT_EQ(position(*f), 0u);
  const auto outcome = apply(*f, 0, 2, {put("a", "1"), put("b", "2")});
  EXPECT_EQ(outcome.kind, Kind::kRefused) << outcome.error.message;
  EXPECT_EQ(outcome.index, WriteBatchOutcome::kUnknownIndex);
}

TEST_F(PostgresBatchTest, AMissingTableOrRightSaysNothingOfTheWrite) {
  open();
  auto f = bind_t();
  EXPECT_EQ(position(*f), 0u);
  ASSERT_EQ(apply(*f, 0, 1, {put("a", "1")}).kind, Kind::kApplied);
  sql("alter table t rename to away");
  EXPECT_EQ(apply(*f, 1, 2, {put("a", "2")}).kind, Kind::kFailed);
  sql("alter table away rename to t");
  EXPECT_EQ(apply(*f, 1, 2, {put("a", "2")}).kind, Kind::kApplied);
}

TEST_F(PostgresBatchTest, AnAttemptThatTheServerIsStillAtWorkOnComesFirstAndNeverTwice) {
  open();
  auto f = bind_t();
  EXPECT_EQ(position(*f), 0u);
  PGconn* other = PQconnectdb(server_->url().c_str());
  PQclear(PQexec(other, "begin; update t set v = 'held' where k = 'a'"));
  // Waits for the row's lock, and is given up.
  EXPECT_EQ(apply(*f, 0, 5, {put("z", "1"), put("a", "1")}, 100ms).kind, Kind::kFailed);
  std::optional<WriteBatchOutcome> second;
  start(f->apply(WriteBatch{"log", 0, 5, {put("z", "1"), put("a", "1")}}, in(10s)), &second);
  loop_.turn(50ms);
  PQclear(PQexec(other, "rollback"));
  PQfinish(other);
  ASSERT_TRUE(turn_until([&] { return second.has_value(); }));
  EXPECT_EQ(second->kind, Kind::kMoved);
  EXPECT_EQ(position(*f), 5u);
  EXPECT_EQ(value(*f, "a"), "1");
}

TEST_F(PostgresBatchTest, ALostConnectionIsAFailureAndTheNextAttemptConnectsAgain) {
  open();
  auto f = bind_t();
  EXPECT_EQ(position(*f), 0u);
  PGconn* other = PQconnectdb(server_->url().c_str());
  PQclear(PQexec(other, "begin; update t set v = 'held' where k = 'a'"));
  std::optional<WriteBatchOutcome> outcome;
  start(f->apply(WriteBatch{"log", 0, 5, {put("a", "1")}}, in(10s)), &outcome);
  loop_.turn(100ms);
  loop_.turn(100ms);
  sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'candor'");
  ASSERT_TRUE(turn_until([&] { return outcome.has_value(); }));
  EXPECT_EQ(outcome->kind, Kind::kFailed);
  PQclear(PQexec(other, "rollback"));
  PQfinish(other);
  EXPECT_TRUE(turn_until([&] {
    const auto found = position(*f);
    return found && apply(*f, *found, 9, {put("a", "2")}).kind == Kind::kApplied;
  }));
  EXPECT_EQ(value(*f, "a"), "2");
}

TEST_F(PostgresBatchTest, WithoutTheRightToMakeTheTableTheSqlIsInTheError) {
  sql("do $$ begin if not exists (select from pg_roles where rolname = 'poor') then create role poor login; "
      "end if; end $$; "
      "revoke create on schema public from public; grant select on t to poor");
  const std::string url = server_->url();
  open(32, 4, 20'000, url + (url.find('?') == std::string::npos ? "?" : "&") + "user=poor");
  auto f = bind({.load = "select v from t where k = :key"});
  const auto refused = position(*f);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("create table if not exists candor_write_behind"));
}

}  // namespace
}  // namespace candor
