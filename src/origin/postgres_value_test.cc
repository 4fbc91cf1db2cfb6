#include "origin/postgres_value.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

TEST(PostgresValue, IntegersHaveOneSpellingWhenCanonical) {
  for (const char* key : {"0", "7", "-7", "1234567890"}) EXPECT_TRUE(has_one_spelling(20, key)) << key;
  for (const char* key : {"", "-", "-0", "007", "+7", " 7", "7 ", "0x7", "a"})
    EXPECT_FALSE(has_one_spelling(23, key)) << key;
}

TEST(PostgresValue, UuidsHaveOneSpellingInLowerCaseWithDashes) {
  EXPECT_TRUE(has_one_spelling(2950, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
  EXPECT_FALSE(has_one_spelling(2950, "A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11"));
  EXPECT_FALSE(has_one_spelling(2950, "a0eebc999c0b4ef8bb6d6bb9bd380a11"));
}

TEST(PostgresValue, OtherTypesAreNotTrusted) {
  EXPECT_TRUE(has_one_spelling(25, "any text"));
  EXPECT_FALSE(has_one_spelling(1042, "char(n) pads"));
  EXPECT_FALSE(has_one_spelling(1700, "1.0"));
}

TEST(PostgresValue, ArrayLiteralsQuoteEveryElement) {
  std::vector<SqlRequestPtr> requests;
  for (const char* key : {"a", "", "NULL", "q\"\\", "{,}"}) {
    requests.push_back(std::make_shared<SqlRequest>());
    requests.back()->key = key;
  }
  EXPECT_EQ(array_literal(requests), R"({"a","","NULL","q\"\\","{,}"})");
}

TEST(PostgresValue, TextAndByteaTravelAsTheyAreAndTheRestAsText) {
  auto feature = std::make_shared<SqlFeature>();
  feature->statements.feature = "f";
  SqlRequest request;
  request.feature = feature;
  request.key = "7";
  request.value = std::string("\0x", 2);
  SqlStatement statement;
  statement.parameters = {{SqlParameter::Kind::kKey, 0}, {SqlParameter::Kind::kValue, 0}};
  auto bound = bind_parameters(request, statement, {23, 17});
  ASSERT_TRUE(bound);
  EXPECT_EQ(bound->formats, (std::vector<int>{0, 1}));
  EXPECT_EQ(bound->lengths, (std::vector<int>{1, 2}));
  bound = bind_parameters(request, statement, {25, 3802});
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace candor
