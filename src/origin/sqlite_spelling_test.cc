#include "origin/sqlite_spelling.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>

namespace candor {
namespace {

TEST(SqliteSpellingTest, AffinityFollowsSqlitesRules) {
  EXPECT_EQ(sqlite_affinity("integer"), SqliteAffinity::kInteger);
  EXPECT_EQ(sqlite_affinity("BIGINT"), SqliteAffinity::kInteger);
  EXPECT_EQ(sqlite_affinity("floating point"), SqliteAffinity::kInteger);  // it holds INT
  EXPECT_EQ(sqlite_affinity("varchar(20)"), SqliteAffinity::kText);
  EXPECT_EQ(sqlite_affinity(""), SqliteAffinity::kBlob);
  EXPECT_EQ(sqlite_affinity("double"), SqliteAffinity::kReal);
  EXPECT_EQ(sqlite_affinity("decimal(10,2)"), SqliteAffinity::kNumeric);
}

TEST(SqliteSpellingTest, NumbersHaveOneSpelling) {
  using enum SqliteSpelling;
  for (const char* own : {"7", "-7", "0", "9223372036854775807", "7.5", "abc", ""})
    EXPECT_EQ(sqlite_spelling(SqliteAffinity::kInteger, "BINARY", own), kOwn) << own;
  for (const char* other :
       {"007", "+7", " 7", "7 ", "7.0", "7e0", "-0", "1e3", "9223372036854775808", "7.50"})
    EXPECT_EQ(sqlite_spelling(SqliteAffinity::kNumeric, "BINARY", other), kAnothers) << other;
  EXPECT_EQ(sqlite_spelling(SqliteAffinity::kReal, "BINARY", "7.0"), kOwn);
  EXPECT_EQ(sqlite_spelling(SqliteAffinity::kReal, "BINARY", "7"), kAnothers);
  EXPECT_EQ(sqlite_spelling(SqliteAffinity::kText, "BINARY", "007"), kOwn);
}

class SqliteSpellingRowTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(sqlite3_open(":memory:", &db), SQLITE_OK); }
  void TearDown() override { sqlite3_close(db); }
  void sql(const std::string& text) {
    char* error = nullptr;
    ASSERT_EQ(sqlite3_exec(db, text.c_str(), nullptr, nullptr, &error), SQLITE_OK) << text << ": " << error;
  }
  // How the rows that `key` finds in t.c are spelled.
  std::vector<std::string> found(const std::string& key) {
    sqlite3_stmt* rows = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db, "select cast(c as text) from t where c = ?1", -1, &rows, nullptr),
              SQLITE_OK);
    sqlite3_bind_text(rows, 1, key.c_str(), static_cast<int>(key.size()), SQLITE_TRANSIENT);
    std::vector<std::string> out;
    while (sqlite3_step(rows) == SQLITE_ROW)
      out.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(rows, 0)));
    sqlite3_finalize(rows);
    return out;
  }
  bool is_spelled(const std::vector<std::string>& columns, const std::vector<std::string_view>& parts) {
    return is_spelled_as_its_row(db, "t", columns, parts);
  }
  sqlite3* db = nullptr;
};

// What a column may hold, as SQL.
constexpr std::array kValues{"'7'",
                             "7",
                             "7.0",
                             "'7.0'",
                             "'007'",
                             "'+7'",
                             "' 7'",
                             "'7 '",
                             "7.5",
                             "'7.50'",
                             "'Ada'",
                             "'ada'",
                             "'ada '",
                             "''",
                             "'1e3'",
                             "1000",
                             "'0x10'",
                             "16",
                             "0",
                             "'-0'",
                             "0.1",
                             "1e15",
                             "1e16",
                             "-7",
                             "'é'",
                             "'É'",
                             "9223372036854775807",
                             "9.2233720368547758e18",
                             "'inf'",
                             "x'37'",
                             "9007199254740993",
                             "'9007199254740993.0'"};
// And keys that find some of them.
constexpr std::array kKeys{"7",
                           "7.0",
                           "007",
                           "+7",
                           " 7",
                           "7 ",
                           "7.5",
                           "7.50",
                           "Ada",
                           "ada",
                           "ada ",
                           "",
                           "1e3",
                           "1000",
                           "1000.0",
                           "0x10",
                           "16",
                           "0",
                           "-0",
                           "0.1",
                           ".1",
                           "0.10",
                           "1000000000000000",
                           "1e15",
                           "1e+15",
                           "1.0e+15",
                           "1.0e+16",
                           "-7",
                           "é",
                           "É",
                           "9223372036854775807",
                           "9223372036854775808",
                           "9.22337203685478e+18",
                           "inf",
                           "Inf",
                           "9007199254740993",
                           "9007199254740992"};

// For every kind of column, every value in it and every key: what SQLite finds under another spelling is
// noticed, whether the row is there already or comes later.
TEST_F(SqliteSpellingRowTest, WhatSqliteFindsUnderAnotherSpellingIsNoticed) {
  int found_otherwise = 0, own = 0;
  for (const char* type : {"", "text", "integer", "real", "numeric", "blob"}) {
    for (const char* collation : {"binary", "nocase", "rtrim"}) {
      for (const char* value : kValues) {
        sql(fmt::format("drop table if exists t; create table t (c {} collate {} unique, v);", type,
                        collation));
        const auto affinity = sqlite_affinity(type);
        std::string upper(collation);
        for (char& c : upper) c = static_cast<char>(std::toupper(c));
        std::vector<bool> before;
        for (const char* key : kKeys) before.push_back(is_spelled({"c"}, {key}));
        sql(fmt::format("insert into t values ({}, 1)", value));
        for (std::size_t i = 0; i < kKeys.size(); ++i) {
          const std::string key = kKeys[i];
          for (const std::string& spelled : found(key)) {
            const std::string what = fmt::format("column {} {} holding {}: key '{}' finds '{}'", type,
                                                 collation, value, key, spelled);
            if (spelled == key) {
              ++own;
              EXPECT_TRUE(is_spelled({"c"}, {key}) ||
                          sqlite_spelling(affinity, upper, key) == SqliteSpelling::kAnothers)
                  << what;
              continue;
            }
            ++found_otherwise;
            EXPECT_FALSE(before[i]) << what << ", which came later";
            EXPECT_FALSE(is_spelled({"c"}, {key})) << what;
          }
        }
      }
    }
  }
  EXPECT_GT(found_otherwise, 100);
  EXPECT_GT(own, 100);
}

TEST_F(SqliteSpellingRowTest, ACollationWithoutAUniqueIndexLeavesDoubt) {
  sql("create table t (c text collate nocase, v); insert into t values ('ada', 1)");
  EXPECT_FALSE(is_spelled({"c"}, {"ada"}));
  sql("create unique index by_bytes on t (c collate binary)");  // 'Ada' may still come
  EXPECT_FALSE(is_spelled({"c"}, {"ada"}));
  sql("create unique index by_name on t (c)");
  EXPECT_TRUE(is_spelled({"c"}, {"ada"}));
  EXPECT_FALSE(is_spelled({"c"}, {"Ada"}));
  EXPECT_FALSE(is_spelled({"c"}, {"grace"})) << "'Grace' may come";
  EXPECT_TRUE(is_spelled({"c"}, {"42"}));
}

TEST_F(SqliteSpellingRowTest, EveryColumnOfAKeyCounts) {
  sql("create table t (a text collate nocase, b integer, v, primary key (a, b)); insert into t values ('x', "
      "7, 1)");
  EXPECT_TRUE(is_spelled({"a", "b"}, {"x", "7"}));
  EXPECT_FALSE(is_spelled({"a", "b"}, {"X", "7"}));
  EXPECT_FALSE(is_spelled({"a", "b"}, {"x", "07"}));
  EXPECT_FALSE(is_spelled({"a", "b"}, {"x"}));
}

TEST_F(SqliteSpellingRowTest, WhatCannotBeAskedIsDoubt) {
  EXPECT_FALSE(is_spelled({"c"}, {"7"}));
  sql("create table t (id integer primary key, \"odd \"\" name\" text collate nocase)");
  EXPECT_TRUE(is_spelled({"id"}, {"7"}));
  EXPECT_FALSE(is_spelled({"nothing"}, {"7"}));
  EXPECT_FALSE(is_spelled({"odd \" name"}, {"x"}));
  EXPECT_TRUE(is_spelled({"ID"}, {"7"})) << "names have no case";
  EXPECT_FALSE(is_spelled({"id"}, {std::string_view("7\0", 2)}));
}

}  // namespace
}  // namespace candor
