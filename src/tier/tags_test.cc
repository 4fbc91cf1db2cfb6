#include "tier/tags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace candor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

FeatureTags tags_of(const std::vector<std::string>& texts, std::uint8_t columns = 1) {
  std::vector<TagPattern> patterns;
  for (const std::string& text : texts) patterns.push_back(TagPattern::parse(text).value());
  return FeatureTags(std::move(patterns), columns);
}

TEST(TagsTest, TagOfAllKeysAndTagsMadeOfColumns) {
  const FeatureTags tags = tags_of({"catalog", "user:{1}", "{2}-of-{1}"}, 2);
  EXPECT_THAT(tags.of_key("7:pen"), ElementsAre("catalog", "user:7", "pen-of-7"));
  EXPECT_THAT(tags.keyed("7:pen"), ElementsAre("user:7", "pen-of-7"));
  EXPECT_TRUE(tags.has_keyed());
  EXPECT_FALSE(tags_of({"catalog"}).has_keyed());
}

TEST(TagsTest, LastColumnTakesTheRestAndMissingColumnsMakeNoTag) {
  const FeatureTags tags = tags_of({"user:{1}", "thing:{2}"}, 2);
  EXPECT_THAT(tags.of_key("7:a:b"), ElementsAre("user:7", "thing:a:b"));
  EXPECT_THAT(tags.of_key("7"), ElementsAre("user:7"));
  EXPECT_THAT(tags_of({"user:{1}"}).of_key("a:b"), ElementsAre("user:a:b"));
}

TEST(TagsTest, WhoMayHaveATag) {
  const FeatureTags tags = tags_of({"catalog", "user:{1}:x"});
  EXPECT_TRUE(tags.is_of_all("catalog"));
  EXPECT_FALSE(tags.is_of_all("user:1:x"));
  EXPECT_TRUE(tags.is_of_some("user:1:x"));
  EXPECT_TRUE(tags.is_of_some("user::x"));
  EXPECT_FALSE(tags.is_of_some("user:1"));
  EXPECT_FALSE(tags.is_of_some("user:x"));  // the colon is not shared by both ends
  EXPECT_FALSE(tags.is_of_some("catalog"));
}

TEST(TagsTest, EveryTagOfAKeyIsOneThatTheFeatureKnows) {
  const FeatureTags tags = tags_of({"a", "{1}", "x{1}y{2}z", "{2}{1}"}, 2);
  for (const char* key : {"1:2", "", ":", "a:b:c", "xyz:xyz", "{1}:{2}"}) {
    for (const std::string& tag : tags.of_key(key))
      EXPECT_TRUE(tags.is_of_all(tag) || tags.is_of_some(tag)) << tag;
  }
}

TEST(TagsTest, WhatIsNoPatternIsRefused) {
  for (const char* text : {"", "a b", "a\n", "{", "}", "{}", "{0}", "{10}", "{x}", "a{1", "{1}}"})
    EXPECT_FALSE(TagPattern::parse(text).has_value()) << text;
  EXPECT_FALSE(TagPattern::parse(std::string(TagPattern::kBytesMax + 1, 'a')).has_value());
  EXPECT_TRUE(TagPattern::parse(std::string(TagPattern::kBytesMax, 'a')).has_value());
}

TEST(TagsTest, RulesSpeakOfWholeNames) {
  TagRules rules(1);
  rules.add("item", tags_of({"catalog", "item:{1}"}));
  EXPECT_THAT(rules.of_name("item:7"), ElementsAre("catalog", "item:7"));
  EXPECT_THAT(rules.of_name("other:7"), IsEmpty());
  EXPECT_THAT(rules.of_name("no colon"), IsEmpty());
}

}  // namespace
}  // namespace candor
