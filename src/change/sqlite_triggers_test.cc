#include "change/sqlite_triggers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace candor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> names(const std::vector<SqliteTrigger>& triggers) {
  std::vector<std::string> out;
  for (const SqliteTrigger& t : triggers) out.push_back(t.name);
  return out;
}

TEST(SqliteTriggersTest, ATableWithoutUniqueIndexesNeedsNoLookForCollisions) {
  EXPECT_THAT(names(sqlite_triggers(7, {"t", {}}, {"k"})),
              ElementsAre("candor_7_insert", "candor_7_update", "candor_7_delete"));
}

TEST(SqliteTriggersTest, CollisionsAreLookedUpByTheIndexesOwnCollation) {
  const auto triggers = sqlite_triggers(7, {"t", {{{"mail", "NOCASE"}}}}, {"id"});
  ASSERT_EQ(triggers.size(), 5U);
  EXPECT_THAT(triggers[3].sql, HasSubstr(R"(before insert on "t")"));
  EXPECT_THAT(triggers[3].sql, HasSubstr(R"(t."mail" = new."mail" collate "NOCASE")"));
  EXPECT_THAT(triggers[3].sql, Not(HasSubstr("old.")));
  EXPECT_THAT(triggers[4].sql, HasSubstr(R"(is not cast(old."id" as text))"));
}

TEST(SqliteTriggersTest, NamesAreQuotedAndKeysJoinedByColons) {
  const auto triggers = sqlite_triggers(1, {R"(a "b")", {}}, {"x y", "z"});
  EXPECT_THAT(triggers[0].sql, HasSubstr(R"(on "a ""b""" begin)"));
  EXPECT_THAT(triggers[0].sql, HasSubstr(R"(cast(new."x y" as text) || ':' || cast(new."z" as text))"));
}

TEST(SqliteTriggersTest, AnUpdateLogsTheNewKeyOnlyWhenItDiffers) {
  const auto triggers = sqlite_triggers(1, {"t", {}}, {"k"});
  EXPECT_THAT(triggers[1].sql, HasSubstr(R"(cast(new."k" as text) is not cast(old."k" as text))"));
}

}  // namespace
}  // namespace candor
