#include "origin/statement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace candor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Parameter = SqlParameter::Kind;

Result<SqlStatement> load_pg(std::string_view sql) {
  return parse_statement("f", StatementRole::kLoad, sql, SqlDialect::kPostgres);
}
Result<SqlStatement> load_lite(std::string_view sql) {
  return parse_statement("f", StatementRole::kLoad, sql, SqlDialect::kSqlite);
}
std::string pg(std::string_view sql) {
  auto s = load_pg(sql);
  return s ? s->sql : "error: " + s.error().message;
}
std::string lite(std::string_view sql) {
  auto s = load_lite(sql);
  return s ? s->sql : "error: " + s.error().message;
}

TEST(Statement, KeyBecomesANumberedParameter) {
  EXPECT_EQ(pg("select v from t where k = :key"), "select v from t where k = $1");
  EXPECT_EQ(lite("select v from t where k = :key"), "select v from t where k = ?1");
}

TEST(Statement, ANameUsedTwiceHasOneNumber) {
  auto s = parse_statement("f", StatementRole::kStore,
                           "insert into t values (:key, :value) on conflict (k) do update set v = :value",
                           SqlDialect::kPostgres);
  ASSERT_TRUE(s) << s.error().message;
  EXPECT_EQ(s->sql, "insert into t values ($1, $2) on conflict (k) do update set v = $2");
  EXPECT_THAT(s->parameters,
              ElementsAre(SqlParameter{Parameter::kKey, 0}, SqlParameter{Parameter::kValue, 0}));
}

TEST(Statement, KeyPartsAreNumberedByFirstUse) {
  auto s = load_pg("select v from t where b = :key2 and a = :key1");
  ASSERT_TRUE(s);
  EXPECT_EQ(s->sql, "select v from t where b = $1 and a = $2");
  EXPECT_THAT(s->parameters,
              ElementsAre(SqlParameter{Parameter::kKeyPart, 2}, SqlParameter{Parameter::kKeyPart, 1}));
  EXPECT_EQ(s->key_parts, 2);
}

TEST(Statement, StringLiteralsAreLeftAlone) {
  EXPECT_EQ(pg("select ':key' from t where k=:key"), "select ':key' from t where k=$1");
  EXPECT_EQ(pg("select 'it''s :key' from t where k=:key"), "select 'it''s :key' from t where k=$1");
}

TEST(Statement, ABackslashEndsNoOrdinaryString) {
  EXPECT_EQ(pg(R"(select '\' || :key)"), R"(select '\' || $1)");
}

TEST(Statement, ABackslashEscapesInEscapeStrings) {
  EXPECT_EQ(pg(R"(select E'\' :value ', :key)"), R"(select E'\' :value ', $1)");
}

TEST(Statement, AnEscapeStringNeedsItsOwnWord) {
  EXPECT_EQ(pg(R"(select namee'\', :key)"), R"(select namee'\', $1)");
}

TEST(Statement, QuotedNamesAreLeftAlone) {
  EXPECT_EQ(pg(R"(select ":key" from "a""b:value" where k=:key)"),
            R"(select ":key" from "a""b:value" where k=$1)");
  EXPECT_EQ(lite("select `:key`, [:value] from t where k=:key"), "select `:key`, [:value] from t where k=?1");
}

TEST(Statement, BracketsArePostgresSubscripts) { EXPECT_EQ(pg("select a[:key]"), "select a[$1]"); }

TEST(Statement, LineCommentsAreLeftAlone) {
  EXPECT_EQ(pg("select v -- :value it's\n from t where k=:key"),
            "select v -- :value it's\n from t where k=$1");
}

TEST(Statement, BlockCommentsNestInPostgresOnly) {
  EXPECT_EQ(pg("select /* /* :value */ :value */ :key"), "select /* /* :value */ :value */ $1");
  EXPECT_EQ(lite("select /* /* :value */ :key"), "select /* /* :value */ ?1");
}

TEST(Statement, DollarQuotesAreLeftAlone) {
  EXPECT_EQ(pg("select $$:value$$, $a$ $$ :value $a$, :key"), "select $$:value$$, $a$ $$ :value $a$, $1");
}

TEST(Statement, ADollarInsideANameOpensNoQuote) {
  EXPECT_EQ(pg("select a$b$ from t where k = :key and c$b$"), "select a$b$ from t where k = $1 and c$b$");
}

TEST(Statement, CastsAreLeftAlone) {
  EXPECT_EQ(pg("select v::text from t where k=:key::int"), "select v::text from t where k=$1::int");
}

TEST(Statement, ArraySlicesAreLeftAlone) {
  EXPECT_EQ(pg("select a[1:2] from t where k=:key"), "select a[1:2] from t where k=$1");
}

TEST(Statement, AParameterNeverMeltsIntoTheWordBeforeIt) {
  EXPECT_EQ(pg("select v from t where k=:key limit:key"), "select v from t where k=$1 limit $1");
}

TEST(Statement, OneTrailingSemicolonIsDropped) { EXPECT_EQ(pg("select :key ; -- end"), "select $1  -- end"); }

TEST(Statement, ASecondStatementIsRefused) {
  EXPECT_THAT(pg("select :key; drop table t"), HasSubstr("features.f.load holds more than one statement"));
  EXPECT_THAT(lite("select :key; select 1"), HasSubstr("more than one statement"));
}

TEST(Statement, UnknownParametersAreNamed) {
  EXPECT_THAT(pg("select :id"), HasSubstr("features.f.load uses :id, which is not a parameter: use :key"));
  EXPECT_THAT(pg("select :key0"), HasSubstr(":key0"));
  EXPECT_THAT(pg("select :key17"), HasSubstr(":key17"));
  EXPECT_THAT(pg("select :key01"), HasSubstr(":key01"));
  EXPECT_THAT(pg("select :Key"), HasSubstr(":Key"));
}

TEST(Statement, ParametersInTheWrongStatementAreNamed) {
  EXPECT_THAT(pg("select :key, :value"), HasSubstr("uses :value, which has no meaning here"));
  EXPECT_THAT(pg("select :keys"), HasSubstr("uses :keys, which has no meaning here"));
}

TEST(Statement, ForeignPlaceholdersAreRefused) {
  EXPECT_THAT(lite("select v from t where k = ?"), HasSubstr("placeholder ?"));
  EXPECT_THAT(lite("select v from t where k = ?1"), HasSubstr("placeholder ?1"));
  EXPECT_THAT(lite("select v from t where k = @key"), HasSubstr("placeholder @k"));
  EXPECT_THAT(lite("select v from t where k = $key"), HasSubstr("placeholder $k"));
  EXPECT_THAT(pg("select v from t where k = $1"), HasSubstr("placeholder $1"));
}

TEST(Statement, QuestionMarksArePostgresOperators) {
  EXPECT_EQ(pg("select v ? 'a' from t where k=:key"), "select v ? 'a' from t where k=$1");
}

TEST(Statement, ALoadWithoutAKeyIsRefused) {
  EXPECT_THAT(pg("select v from t"), HasSubstr("features.f.load uses no key"));
}

TEST(Statement, AStoreWithoutAValueIsRefused) {
  auto s = parse_statement("f", StatementRole::kStore, "insert into t values (:key)", SqlDialect::kSqlite);
  ASSERT_FALSE(s);
  EXPECT_THAT(s.error().message, HasSubstr("features.f.store does not use :value"));
}

TEST(Statement, WhatDoesNotEndIsNamed) {
  EXPECT_THAT(pg("select ':key"), HasSubstr("a string that does not end"));
  EXPECT_THAT(pg("select \":key"), HasSubstr("a quoted name that does not end"));
  EXPECT_THAT(pg("select /* :key"), HasSubstr("a comment that does not end"));
  EXPECT_THAT(pg("select $x$ :key $y$"), HasSubstr("a dollar quote that does not end"));
}

TEST(Statement, EmptyStatementsAreRefused) {
  EXPECT_THAT(pg(""), HasSubstr("is empty"));
  EXPECT_THAT(pg(" -- nothing\n"), HasSubstr("is empty"));
  EXPECT_THAT(pg(";"), HasSubstr("is empty"));
}

TEST(Statement, StatementsOfAFeatureAgreeAboutKeyColumns) {
  OriginStatements s{.feature = "f",
                     .load = "select v from t where a=:key1 and b=:key2",
                     .erase = "delete from t where a=:key1"};
  auto parsed = parse_statements(s, SqlDialect::kSqlite);
  ASSERT_FALSE(parsed);
  EXPECT_THAT(parsed.error().message, HasSubstr("features.f.erase does not use :key2"));
  s.erase = "delete from t where a=:key1 and b=:key2";
  parsed = parse_statements(s, SqlDialect::kSqlite);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->key_parts, 2);
  EXPECT_FALSE(parsed->store.exists());
}

TEST(SplitKey, TheLastPartTakesTheRest) {
  EXPECT_THAT(*split_key("f", "a:b:c", 2), ElementsAre("a", "b:c"));
  EXPECT_THAT(*split_key("f", "a:b", 1), ElementsAre("a:b"));
  EXPECT_THAT(*split_key("f", "::", 3), ElementsAre("", "", ""));
}

TEST(SplitKey, TooFewPartsIsTheCallersMistake) {
  auto split = split_key("f", "a", 2);
  ASSERT_FALSE(split);
  EXPECT_EQ(split.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(split.error().message, HasSubstr("has 2 parts"));
}

// A statement put together from pieces whose rewriting is known: the whole is rewritten piece by piece.
TEST(StatementProperty, PiecesAreRewrittenIndependently) {
  struct Piece {
    const char* in;
    const char* out;
  };
  static const Piece kPieces[] = {{":key", "$1"},
                                  {"':key'", "':key'"},
                                  {"\":key\"", "\":key\""},
                                  {"/*:key*/", "/*:key*/"},
                                  {"--:key\n", "--:key\n"},
                                  {"$q$:key$q$", "$q$:key$q$"},
                                  {"x::key", "x::key"},
                                  {"E'\\':key'", "E'\\':key'"},
                                  {"''", "''"},
                                  {"a$q", "a$q"},
                                  {":=", ":="},
                                  {"(", "("}};
  rc::check("rewritten piece by piece", [] {
    const auto picks =
        *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, std::size(kPieces)));
    std::string in = "select :key ";
    std::string out = "select $1 ";
    for (const auto pick : picks) {
      in += std::string(kPieces[pick].in) + " ";
      out += std::string(kPieces[pick].out) + " ";
    }
    out.resize(out.find_last_not_of(" \n") + 1);
    RC_ASSERT(pg(in) == out);
  });
}

TEST(StatementProperty, SplitPartsJoinToTheKey) {
  rc::check("parts joined with colons are the key", [](const std::string& key) {
    const auto parts = *rc::gen::inRange<int>(1, kKeyPartsMax + 1);
    const auto split = split_key("f", key, static_cast<std::uint8_t>(parts));
    const auto colons = std::count(key.begin(), key.end(), ':');
    RC_ASSERT(split.has_value() == (colons >= parts - 1));
    if (!split) return;
    std::string joined;
    for (std::size_t i = 0; i < split->size(); ++i) joined += (i ? ":" : "") + std::string((*split)[i]);
    RC_ASSERT(joined == key);
  });
}

}  // namespace
}  // namespace candor
