#include "origin/sqlite_origin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <deque>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/ids.h"
#include "origin/test_world.h"

namespace candor {
namespace {

using testing::HasSubstr;
using testing_world::World;

class SqliteOriginTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "candor-sqlite-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    dir_ = pattern;
    sql("create table t (k text primary key, v); "
        "insert into t values ('a', 'one'), ('n', null), ('i', 42), ('r', 2.5), ('b', x'00ff10'), ('e', ''); "
        "create table n (id integer primary key, v text not null check (v <> 'bad')); insert into n values "
        "(7, 'seven'); "
        "create table c (a text, b text, v text, primary key (a, b)); insert into c values ('x', 'y:z', "
        "'deep');");
  }
  void TearDown() override {
    origin_.reset();
    world_.settle();
    std::filesystem::remove_all(dir_);
  }

  [[nodiscard]] std::string path() const { return dir_ + "/t.db"; }

  // Straight to the database, as another process would.
  void sql(const std::string& text) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &db), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db, ("pragma synchronous = off; " + text).c_str(), nullptr, nullptr, &error),
              SQLITE_OK)
        << error;
    sqlite3_free(error);
    sqlite3_close(db);
  }

  void open(std::uint32_t max_concurrency = 4, std::uint32_t waiting_max = 100,
            const std::string& suffix = "", const std::string& position_query = "",
            OriginProtection protection = {.is_adaptive = false}) {
    auto file = parse_sqlite_url("shop", "sqlite:" + path() + suffix);
    ASSERT_TRUE(file) << file.error().message;
    file->position_query = position_query;
    origin_ = std::make_unique<SqliteOrigin>(
        *file, SqlDesk::Options{"shop", max_concurrency, waiting_max, protection}, world_.executor,
        world_.pool);
  }
  std::unique_ptr<OriginFeature> bind(OriginStatements statements) {
    if (statements.feature.empty()) statements.feature = "f";
    auto feature = origin_->bind(std::move(statements));
    EXPECT_TRUE(feature) << feature.error().message;
    return feature ? std::move(*feature) : nullptr;
  }
  std::unique_ptr<OriginFeature> bind_t() {
    return bind({.load = "select v from t where k = :key",
                 .store = "insert into t values (:key, :value) on conflict (k) do update set v = :value",
                 .erase = "delete from t where k = :key"});
  }
  Result<OriginRow> load(OriginFeature& f, const std::string& key) {
    return world_.run(f.load(key, world_.in(5s)));
  }
  std::string value(OriginFeature& f, const std::string& key) {
    auto row = load(f, key);
    return !row ? "error: " + row.error().message : row->value ? *row->value : "(none)";
  }
  Result<OriginWrite> store(OriginFeature& f, const std::string& key, const std::string& v) {
    return world_.run(f.store(key, v, world_.in(5s)));
  }

  World world_;
  std::string dir_;
  std::unique_ptr<SqliteOrigin> origin_;
};

TEST_F(SqliteOriginTest, EveryColumnTypeHasItsForm) {
  open();
  auto f = bind_t();
  EXPECT_EQ(value(*f, "a"), "one");
  EXPECT_EQ(value(*f, "i"), "42");
  EXPECT_EQ(value(*f, "r"), "2.5");
  EXPECT_EQ(value(*f, "b"), std::string("\x00\xff\x10", 3));
  EXPECT_EQ(value(*f, "e"), "");
}

TEST_F(SqliteOriginTest, NullAndNoRowAreNegativeResults) {
  open();
  auto f = bind_t();
  EXPECT_EQ(value(*f, "n"), "(none)");
  EXPECT_EQ(value(*f, "missing"), "(none)");
}

TEST_F(SqliteOriginTest, SeveralColumnsAreAJsonObject) {
  open();
  auto f = bind({.load = "select k, v, 1 as one, null as none, 1e999 as inf from t where k = :key"});
  EXPECT_EQ(value(*f, "a"), R"({"k":"a","v":"one","one":1,"none":null,"inf":"Inf"})");
  EXPECT_EQ(value(*f, "b"), R"({"k":"b","v":"\\x00ff10","one":1,"none":null,"inf":"Inf"})");
}

TEST_F(SqliteOriginTest, IntegerKeysAreFoundByTheirText) {
  open();
  auto f = bind({.load = "select v from n where id = :key"});
  EXPECT_EQ(value(*f, "7"), "seven");
  EXPECT_EQ(value(*f, "seven"), "(none)");
}

TEST_F(SqliteOriginTest, KeysOfSeveralColumns) {
  open();
  auto f = bind({.load = "select v from c where a = :key1 and b = :key2"});
  EXPECT_EQ(value(*f, "x:y:z"), "deep");
  auto row = load(*f, "x");
  ASSERT_FALSE(row);
  EXPECT_EQ(row.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(SqliteOriginTest, NothingInAKeyIsSql) {
  open();
  auto f = bind_t();
  const std::string evil = "' or 1=1; drop table t; --";
  ASSERT_TRUE(store(*f, evil, evil));
  EXPECT_EQ(value(*f, evil), evil);
  EXPECT_EQ(value(*f, "a"), "one");
}

TEST_F(SqliteOriginTest, StoreAndEraseSayHowManyRows) {
  open();
  auto f = bind_t();
  EXPECT_EQ(store(*f, "new", "v")->rows, 1u);
  EXPECT_EQ(value(*f, "new"), "v");
  EXPECT_EQ(world_.run(f->erase("new", world_.in(5s)))->rows, 1u);
  EXPECT_EQ(world_.run(f->erase("new", world_.in(5s)))->rows, 0u);
  EXPECT_EQ(value(*f, "new"), "(none)");
}

TEST_F(SqliteOriginTest, ValuesOfAnyBytesComeBackAsTheyWere) {
  open();
  auto f = bind_t();
  for (const std::string& v :
       {std::string(), std::string("\0a\0", 3), std::string("\xff\xfe"), std::string(3 << 20, 'x')}) {
    ASSERT_TRUE(store(*f, "bytes", v));
    auto row = load(*f, "bytes");
    ASSERT_TRUE(row && row->value);
    EXPECT_EQ(*row->value, v);
  }
}

TEST_F(SqliteOriginTest, AFeatureWithoutStoreIsReadOnly) {
  open();
  auto f = bind({.load = "select v from t where k = :key"});
  EXPECT_FALSE(f->can_store());
  EXPECT_FALSE(f->can_erase());
  EXPECT_EQ(store(*f, "a", "x").error().code, ErrorCode::kReadOnly);
}

TEST_F(SqliteOriginTest, LoadsOfOneTurnAreOneJob) {
  open(1);
  auto f = bind_t();
  std::vector<std::optional<Result<OriginRow>>> rows(50);
  for (std::size_t i = 0; i < rows.size(); ++i)
    world_.start(f->load(i % 2 ? "a" : "i", world_.in(5s)), &rows[i]);
  world_.settle();
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(*(*rows[i])->value, i % 2 ? "one" : "42");
  EXPECT_EQ(origin_->stats().loads, 50u);
  EXPECT_EQ(origin_->stats().batches, 1u);
}

TEST_F(SqliteOriginTest, WritesOfOneTurnShareATransactionAndFailAlone) {
  open();
  auto f = bind({.load = "select v from n where id = :key", .store = "insert into n values (:key, :value)"});
  std::vector<std::optional<Result<OriginWrite>>> done(3);
  const char* values[] = {"good", "bad", "fine"};
  for (std::size_t i = 0; i < 3; ++i)
    world_.start(f->store(std::to_string(i), values[i], world_.in(5s)), &done[i]);
  world_.settle();
  EXPECT_TRUE(done[0]->has_value());
  ASSERT_FALSE(done[1]->has_value());
  EXPECT_EQ(done[1]->error().code, ErrorCode::kRejected);
  EXPECT_THAT(done[1]->error().message, HasSubstr("features.f.store: CHECK constraint failed"));
  EXPECT_TRUE(done[2]->has_value());
  EXPECT_EQ(value(*f, "0"), "good");
  EXPECT_EQ(value(*f, "1"), "(none)");
  EXPECT_EQ(value(*f, "2"), "fine");
}

TEST_F(SqliteOriginTest, PlacesAndTheLineAreBounded) {
  open(2, 10);
  auto f = bind_t();
  auto g = bind({.feature = "g", .load = "select v from n where id = :key"});
  auto h = bind({.feature = "h", .load = "select v from c where a = :key"});
  std::vector<std::optional<Result<OriginRow>>> rows(10'000);
  OriginFeature* features[] = {f.get(), g.get(), h.get()};
  for (std::size_t i = 0; i < rows.size(); ++i)
    world_.start(features[i % 3]->load("a", world_.in(5s)), &rows[i]);
  world_.executor.run_ready();
  EXPECT_EQ(origin_->stats().in_flight, 2u);
  EXPECT_EQ(world_.pool.held(), 2u);
  world_.settle();
  std::size_t refused = 0;
  for (const auto& row : rows) {
    ASSERT_TRUE(row.has_value());
    if (!*row) refused += row->error().code == ErrorCode::kOverloaded;
  }
  EXPECT_EQ(refused, rows.size() - 9);  // the tenth place is kept for critical features and writes
  EXPECT_EQ(origin_->stats().in_flight_max, 2u);
  EXPECT_EQ(origin_->stats().in_flight, 0u);
  EXPECT_EQ(world_.executor.timers(), 0u);
}

// One place; what waits for it leaves by class, and a reader who joins makes a background load urgent.
TEST_F(SqliteOriginTest, LoadsLeaveByClassAndARaisedOneGoesFirst) {
  open(1);
  auto f = bind_t();
  auto g = bind({.feature = "g", .load = "select v from n where id = :key"});
  auto h = bind({.feature = "h", .load = "select v from c where a = :key"});
  std::optional<Result<OriginRow>> first, background, low, raised;
  world_.start(f->load("a", world_.in(5s)), &first);
  world_.executor.run_ready();  // holds the place
  const auto urgency = std::make_shared<LoadUrgency>(LoadClass::kBackground);
  const auto of = [](LoadClass c) { return std::make_shared<LoadUrgency>(c); };
  world_.start(f->load_urgent("n", world_.in(5s), of(LoadClass::kBackground)), &background);
  world_.start(g->load_urgent("7", world_.in(5s), of(LoadClass::kLow)), &low);
  world_.start(h->load_urgent("x", world_.in(5s), urgency), &raised);
  world_.executor.run_ready();
  urgency->raise(LoadClass::kCritical);
  const auto answer_one = [&] {
    world_.pool.run_one();
    world_.executor.run_ready();
  };
  answer_one();
  EXPECT_TRUE(first && !background && !low && !raised);
  answer_one();
  EXPECT_TRUE(raised && !low && !background);
  answer_one();
  EXPECT_TRUE(low && !background);
  answer_one();
  EXPECT_TRUE(background);
}

// Eight statements are the first limit; it has no baseline and dips to two, of which none answers for long.
TEST_F(SqliteOriginTest, WhatWaitsGoesOnWhenADipOfTheLimitEnds) {
  open(32, 1000, "", "", {});
  auto f = bind_t();
  std::deque<std::optional<Result<OriginRow>>> rows;
  const auto ask = [&] {
    world_.start(f->load("a", world_.in(1h)), &rows.emplace_back());
    world_.executor.run_ready();
  };
  for (int i = 0; i < 8; ++i) ask();  // each in a turn of its own: a statement
  ASSERT_EQ(world_.pool.held(), 8u);
  for (int i = 0; i < 60 && origin_->stats().limit == 8u; ++i) {
    ask();
    world_.executor.advance(100ms);
    ASSERT_TRUE(world_.pool.run_one());
    world_.executor.run_ready();
  }
  ASSERT_EQ(origin_->stats().limit, 2u);
  while (world_.pool.held() > 2) {
    ASSERT_TRUE(world_.pool.run_one());
    world_.executor.run_ready();
  }
  ask();
  ASSERT_EQ(world_.pool.held(), 2u);
  world_.executor.advance(ConcurrencyLimit::kDipMax);
  EXPECT_EQ(world_.pool.held(), 3u) << "all that wait are one statement";
  world_.settle();
}

TEST_F(SqliteOriginTest, WhenTheBreakerOpensWhoeverWaitsIsToldAtOnce) {
  open(1, 1000);
  auto f = bind_t();
  auto g = bind({.feature = "g", .load = "select v from n where id = :key"});
  std::optional<Result<OriginRow>> waiting;
  std::vector<std::optional<Result<OriginRow>>> silent(3);
  for (auto& row : silent) world_.start(f->load("a", world_.in(2s)), &row);
  world_.executor.run_ready();
  world_.start(g->load("7", world_.in(60s)), &waiting);
  world_.executor.advance(2s);  // the pool holds the statement: the database says nothing
  EXPECT_EQ(origin_->stats().breaker, Breaker::State::kOpen);
  ASSERT_TRUE(waiting);
  EXPECT_EQ(waiting->error().code, ErrorCode::kOriginDown);
  EXPECT_EQ(load(*g, "7").error().code, ErrorCode::kOriginDown);
  world_.executor.advance(1s);
  world_.settle();
  EXPECT_EQ(value(*g, "7"), "seven");  // a probe
}

TEST_F(SqliteOriginTest, TheDeadlineAnswersWhetherTheDatabaseDoesOrNot) {
  open(1);
  auto f = bind_t();
  auto g = bind({.feature = "g", .load = "select v from n where id = :key"});
  std::optional<Result<OriginRow>> in_flight, waiting;
  world_.start(f->load("a", world_.in(100ms)), &in_flight);
  world_.executor.run_ready();
  world_.start(g->load("7", world_.in(50ms)), &waiting);
  world_.executor.advance(60ms);
  ASSERT_TRUE(waiting.has_value());
  EXPECT_THAT(waiting->error().message, HasSubstr("nothing was sent"));
  EXPECT_FALSE(in_flight.has_value());
  world_.executor.advance(60ms);
  ASSERT_TRUE(in_flight.has_value());
  EXPECT_EQ(in_flight->error().code, ErrorCode::kTimeout);
  world_.settle();
  EXPECT_EQ(value(*f, "a"), "one");
}

TEST_F(SqliteOriginTest, ARunawayQueryIsStoppedAtItsDeadline) {
  open(1);
  auto f = bind({.load = "with recursive n(i) as (select 1 union all select i + 1 from n) "
                         "select max(i) from n where :key = :key"});
  std::optional<Result<OriginRow>> row;
  world_.start(f->load("x", world_.in(50ms)), &row);
  world_.executor.run_ready();
  std::thread pool_thread([&] { world_.pool.run_one(); });
  world_.executor.advance(60ms);
  pool_thread.join();  // hangs for ever if nothing interrupts
  world_.settle();
  EXPECT_EQ(row->error().code, ErrorCode::kTimeout);
  EXPECT_EQ(origin_->stats().in_flight, 0u);
}

TEST_F(SqliteOriginTest, PrepareNamesFeatureStatementAndReason) {
  open();
  bind({.feature = "profile", .load = "selec v from t where k = :key"});
  auto prepared = world_.run(origin_->prepare());
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, ErrorCode::kRejected);
  EXPECT_THAT(prepared.error().message, HasSubstr("features.profile.load: near \"selec\": syntax error"));
}

TEST_F(SqliteOriginTest, PrepareNamesAMissingTable) {
  open();
  bind({.load = "select v from t where k = :key", .store = "insert into nowhere values (:key, :value)"});
  auto prepared = world_.run(origin_->prepare());
  ASSERT_FALSE(prepared);
  EXPECT_THAT(prepared.error().message, HasSubstr("features.f.store: no such table: nowhere"));
}

TEST_F(SqliteOriginTest, ALoadThatWritesIsRefused) {
  open();
  auto f = bind({.load = "delete from t where k = :key returning v"});
  EXPECT_THAT(value(*f, "a"), HasSubstr("features.f.load must be a query"));
}

TEST_F(SqliteOriginTest, OneFeaturesBadStatementHurtsNoOther) {
  open();
  auto bad = bind({.feature = "bad", .load = "select v from nowhere where k = :key"});
  auto good = bind_t();
  EXPECT_EQ(load(*bad, "a").error().code, ErrorCode::kRejected);
  EXPECT_EQ(value(*good, "a"), "one");
}

TEST_F(SqliteOriginTest, AMissingFileIsNamedAndNotMade) {
  std::filesystem::remove(path());
  open();
  auto f = bind_t();
  auto prepared = world_.run(origin_->prepare());
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error().code, ErrorCode::kOriginDown);
  EXPECT_THAT(prepared.error().message, HasSubstr(path()));
  EXPECT_THAT(prepared.error().message, HasSubstr("No such file or directory"));
  EXPECT_THAT(prepared.error().message, HasSubstr("?mode=rwc"));
  EXPECT_FALSE(std::filesystem::exists(path()));
  EXPECT_FALSE(origin_->stats().connected);
  sql("create table t (k text primary key, v); insert into t values ('a', 'back')");
  EXPECT_EQ(value(*f, "a"), "back");  // the file is there again: no restart needed
}

TEST_F(SqliteOriginTest, NothingIsWrittenToAFileThatIsNoLongerThere) {
  open();
  auto f = bind_t();
  ASSERT_TRUE(store(*f, "kept", "yes"));
  ASSERT_EQ(value(*f, "kept"), "yes");
  std::filesystem::rename(path(), path() + ".old");
  auto wrote = store(*f, "lost", "acknowledged");
  ASSERT_FALSE(wrote) << "an acknowledged write to a file without a name is a lost one";
  EXPECT_EQ(wrote.error().code, ErrorCode::kOriginDown);
  EXPECT_THAT(value(*f, "kept"), HasSubstr("error"));
  // Another file takes its place: it is the one that is read and written.
  std::filesystem::remove(path() + "-wal");
  std::filesystem::remove(path() + "-shm");
  sql("create table t (k text primary key, v); insert into t values ('kept', 'another')");
  EXPECT_EQ(value(*f, "kept"), "another");
  EXPECT_TRUE(store(*f, "new", "v"));
  EXPECT_EQ(value(*f, "new"), "v");
}

TEST_F(SqliteOriginTest, ModeRwcMakesTheFile) {
  std::filesystem::remove(path());
  open(4, 100, "?mode=rwc");
  EXPECT_TRUE(world_.run(origin_->prepare()));
  EXPECT_TRUE(std::filesystem::exists(path()));
}

TEST_F(SqliteOriginTest, AFileThatIsNoDatabaseIsSaidToBeNone) {
  std::ofstream(path(), std::ios::trunc) << std::string(5000, 'x');
  open();
  auto f = bind_t();
  auto row = load(*f, "a");
  ASSERT_FALSE(row);
  EXPECT_EQ(row.error().code, ErrorCode::kOriginDown);
  EXPECT_THAT(row.error().message, HasSubstr("the file is no SQLite database"));
}

TEST_F(SqliteOriginTest, AFolderIsNoDatabase) {
  auto file = parse_sqlite_url("shop", "sqlite:" + dir_);
  ASSERT_TRUE(file);
  origin_ =
      std::make_unique<SqliteOrigin>(*file, SqlDesk::Options{"shop", 1, 10}, world_.executor, world_.pool);
  EXPECT_EQ(world_.run(origin_->prepare()).error().code, ErrorCode::kOriginDown);
}

TEST_F(SqliteOriginTest, ALockHeldByAnotherWriterIsToldAsNothingWritten) {
  open();
  auto f = bind_t();
  EXPECT_TRUE(world_.run(origin_->prepare()));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "begin immediate", nullptr, nullptr, nullptr), SQLITE_OK);
  std::optional<Result<OriginWrite>> written;
  world_.start(f->store("a", "two", world_.in(20ms)), &written);
  world_.settle();
  ASSERT_TRUE(written.has_value());
  ASSERT_FALSE(written->has_value());
  EXPECT_EQ(written->error().code, ErrorCode::kOriginDown);
  EXPECT_THAT(written->error().message, HasSubstr("another writer holds the lock"));
  EXPECT_EQ(value(*f, "a"), "one");  // readers go on meanwhile
  sqlite3_exec(other, "rollback", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  EXPECT_TRUE(store(*f, "a", "two"));
}

TEST_F(SqliteOriginTest, AFullDiskIsSaidAndNothingIsWritten) {
  // SQLite's limit of pages gives the same error as the disk's end; the pragma rides in on the position's
  // query.
  open(4, 100, "", "pragma max_page_count = 12");
  auto f = bind_t();
  EXPECT_TRUE(store(*f, "small", "v"));
  auto full = store(*f, "large", std::string(100'000, 'x'));
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::kOriginDown);
  EXPECT_THAT(full.error().message, HasSubstr("the disk is full; nothing was written"));
  EXPECT_EQ(value(*f, "large"), "(none)");
  EXPECT_TRUE(store(*f, "small", "w"));
  EXPECT_EQ(value(*f, "small"), "w");
}

TEST_F(SqliteOriginTest, ReadOnlyModeRefusesStatementsThatWrite) {
  open(4, 100, "?mode=ro");
  auto f = origin_->bind({.feature = "f",
                          .load = "select v from t where k = :key",
                          .store = "insert into t values (:key, :value)"});
  ASSERT_FALSE(f);
  EXPECT_THAT(f.error().message, HasSubstr("features.f.store: its origin is opened with mode=ro"));
  auto g = bind({.load = "select v from t where k = :key"});
  EXPECT_EQ(value(*g, "a"), "one");
}

TEST_F(SqliteOriginTest, TheWriterPutsTheFileIntoWalMode) {
  open();
  bind_t();
  EXPECT_TRUE(world_.run(origin_->prepare()));
  auto mode = bind({.feature = "m", .load = "select journal_mode from pragma_journal_mode where :key <> ''"});
  EXPECT_EQ(value(*mode, "x"), "wal");
}

TEST_F(SqliteOriginTest, LoadsAndWritesCarryThePositionOfTheirTransaction) {
  sql("create table log (seq integer primary key); insert into log values (41)");
  open(4, 100, "", "select max(seq) from log");
  auto f = bind(
      {.load = "select v from t where k = :key", .store = "insert into log values (:key + length(:value))"});
  EXPECT_EQ(load(*f, "a")->stamp.up_to.value, 41u);
  EXPECT_EQ(store(*f, "40", "xx")->change.value, 42u);
  EXPECT_EQ(load(*f, "a")->stamp.up_to.value, 42u);
}

TEST_F(SqliteOriginTest, WithoutAChangeLogTheStampIsUnknown) {
  open();
  auto f = bind_t();
  EXPECT_FALSE(load(*f, "a")->stamp.is_known());
}

TEST_F(SqliteOriginTest, ClosingAnswersEverybody) {
  open(1);
  auto f = bind_t();
  auto g = bind({.feature = "g", .load = "select v from n where id = :key"});
  std::optional<Result<OriginRow>> in_flight, waiting, after;
  world_.start(f->load("a", world_.in(5s)), &in_flight);
  world_.executor.run_ready();
  world_.start(g->load("7", world_.in(5s)), &waiting);
  world_.executor.run_ready();
  origin_.reset();
  EXPECT_TRUE(in_flight.has_value());
  EXPECT_TRUE(waiting.has_value());
  world_.start(f->load("a", world_.in(5s)), &after);
  EXPECT_EQ(after->error().code, ErrorCode::kOriginDown);
  world_.settle();
}

TEST_F(SqliteOriginTest, ASchemaChangedMeanwhileIsFollowed) {
  open();
  auto f = bind({.load = "select * from t where k = :key"});
  EXPECT_EQ(value(*f, "a"), R"({"k":"a","v":"one"})");
  sql("alter table t add column w default 3");
  EXPECT_EQ(value(*f, "a"), R"({"k":"a","v":"one","w":3})");
}

// ---- batches of write-behind ----

using BatchKind = WriteBatchOutcome::Kind;

BatchedWrite put(std::string key, std::string value) {
  return {false, std::move(key), std::make_shared<const std::string>(std::move(value))};
}

class SqliteBatchTest : public SqliteOriginTest {
 protected:
  WriteBatchOutcome apply(OriginFeature& f, std::uint64_t expected, std::uint64_t position,
                          std::vector<BatchedWrite> writes, Duration patience = 5s) {
    return world_.run(f.apply(WriteBatch{"log", expected, position, std::move(writes)}, world_.in(patience)));
  }
  Result<std::uint64_t> position(OriginFeature& f) {
    return world_.run(f.applied_position("log", world_.in(5s)));
  }
  std::unique_ptr<OriginFeature> bind_n() {
    return bind({.load = "select v from n where id = :key",
                 .store = "insert into n values (:key, :value) on conflict (id) do update set v = :value",
                 .erase = "delete from n where id = :key"});
  }
};

TEST_F(SqliteBatchTest, WritesAndThePositionAreOneTransactionAndTheTableIsMade) {
  open();
  auto f = bind_t();
  EXPECT_EQ(position(*f), 0u);
  const auto outcome = apply(*f, 0, 7, {put("a", "1"), put("z", "2"), {true, "b", nullptr}});
  EXPECT_EQ(outcome.kind, BatchKind::kApplied);
  EXPECT_EQ(outcome.changes.size(), 3u);
  EXPECT_EQ(value(*f, "a"), "1");
  EXPECT_EQ(value(*f, "z"), "2");
  EXPECT_EQ(value(*f, "b"), "(none)");
  EXPECT_EQ(position(*f), 7u);
}

TEST_F(SqliteBatchTest, FromAnotherPositionNothingIsDone) {
  open();
  auto f = bind_t();
  EXPECT_EQ(position(*f), 0u);
  ASSERT_EQ(apply(*f, 0, 7, {put("a", "1")}).kind, BatchKind::kApplied);
  EXPECT_EQ(apply(*f, 0, 7, {put("a", "2")}).kind, BatchKind::kMoved);
  EXPECT_EQ(value(*f, "a"), "1");
}

TEST_F(SqliteBatchTest, AWriteThatBreaksAConstraintIsNamedAndNothingIsDone) {
  open();
  auto f = bind_n();
  EXPECT_EQ(position(*f), 0u);
  const auto outcome = apply(*f, 0, 3, {put("7", "new"), put("8", "bad"), put("9", "new")});
  EXPECT_EQ(outcome.kind, BatchKind::kRefused);
  EXPECT_EQ(outcome.index, 1u);
  EXPECT_THAT(outcome.error.message, HasSubstr("CHECK"));
  EXPECT_EQ(value(*f, "7"), "seven");
  EXPECT_EQ(position(*f), 0u);
  EXPECT_EQ(apply(*f, 0, 3, {put("7", "new"), put("text for an integer", "x")}).index, 1u);
}

TEST_F(SqliteBatchTest, AMissingTableSaysNothingOfTheWriteAndIsTriedAgain) {
  open();
  auto f = bind_t();
  EXPECT_EQ(position(*f), 0u);
  sql("alter table t rename to away");
  EXPECT_EQ(apply(*f, 0, 1, {put("a", "1")}).kind, BatchKind::kFailed);
  sql("alter table away rename to t");
  EXPECT_EQ(apply(*f, 0, 1, {put("a", "1")}).kind, BatchKind::kApplied);
}

TEST_F(SqliteBatchTest, ALockThatDoesNotComeIsAFailureAndNothingIsDone) {
  open();
  auto f = bind_t();
  EXPECT_EQ(position(*f), 0u);
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "begin immediate", nullptr, nullptr, nullptr), SQLITE_OK);
  const auto outcome = apply(*f, 0, 1, {put("a", "1")}, 20ms);
  EXPECT_EQ(outcome.kind, BatchKind::kFailed);
  sqlite3_close(db);
  EXPECT_EQ(apply(*f, 0, 1, {put("a", "2")}).kind, BatchKind::kApplied);
}

TEST_F(SqliteBatchTest, WithoutTheRightToMakeTheTableTheSqlIsInTheError) {
  open(4, 100, "?mode=ro");
  auto f = bind({.load = "select v from t where k = :key"});
  const auto refused = position(*f);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("create table if not exists candor_write_behind"));
}

TEST_F(SqliteBatchTest, OrdinaryWritesAndLoadsGoOnBesideIt) {
  open(2);
  auto f = bind_t();
  EXPECT_EQ(position(*f), 0u);
  std::optional<WriteBatchOutcome> batch;
  std::optional<Result<OriginWrite>> written;
  world_.start(f->store("a", "through", world_.in(5s)), &written);
  world_.start(f->apply(WriteBatch{"log", 0, 1, {put("a", "behind")}}, world_.in(5s)), &batch);
  world_.settle();
  EXPECT_TRUE(written && written->has_value());
  EXPECT_TRUE(batch && batch->kind == BatchKind::kApplied);
}

TEST_F(SqliteBatchTest, ClosingAnswersABatchThatWaitsAndOneThatRuns) {
  open();
  auto f = bind_t();
  std::optional<WriteBatchOutcome> running, waiting, after;
  world_.start(f->apply(WriteBatch{"log", 0, 1, {put("a", "1")}}, world_.in(5s)), &running);
  world_.executor.run_ready();
  world_.start(f->apply(WriteBatch{"other", 0, 1, {put("a", "1")}}, world_.in(5s)), &waiting);
  world_.executor.run_ready();
  origin_.reset();
  world_.start(f->apply(WriteBatch{"log", 0, 1, {}}, world_.in(5s)), &after);
  world_.settle();
  for (const auto& one : {running, waiting, after}) EXPECT_TRUE(one && one->kind == BatchKind::kFailed);
}

TEST(SqliteUrl, FormsAreStrict) {
  EXPECT_EQ(parse_sqlite_url("o", "sqlite:var/shop.db")->path, "var/shop.db");
  EXPECT_EQ(parse_sqlite_url("o", "sqlite:/a/b.db?mode=ro")->mode, SqliteMode::kReadOnly);
  EXPECT_THAT(parse_sqlite_url("o", "sqlite:").error().message, HasSubstr("origins.o.url"));
  EXPECT_THAT(parse_sqlite_url("o", "sqlite::memory:").error().message, HasSubstr("name a file"));
  EXPECT_THAT(parse_sqlite_url("o", "sqlite:a?mode=x").error().message,
              HasSubstr("mode=ro, mode=rw or mode=rwc"));
}

}  // namespace
}  // namespace candor
