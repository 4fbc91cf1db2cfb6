#include "base/glob.h"

#include <gtest/gtest.h>

#include <string>

namespace candor {
namespace {

TEST(GlobTest, LiteralsMatchThemselvesOnly) {
  EXPECT_TRUE(glob_match("user:1", "user:1"));
  EXPECT_FALSE(glob_match("user:1", "user:12"));
  EXPECT_FALSE(glob_match("user:12", "user:1"));
  EXPECT_TRUE(glob_match("", ""));
  EXPECT_FALSE(glob_match("", "a"));
}

TEST(GlobTest, StarMatchesAnyRun) {
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("a*c", "ac"));
  EXPECT_TRUE(glob_match("a*c", "abcbc"));
  EXPECT_FALSE(glob_match("a*c", "abcb"));
  EXPECT_TRUE(glob_match("*a*b*", "xxaxxbxx"));
  EXPECT_TRUE(glob_match("a**", "a"));
}

TEST(GlobTest, QuestionMarkMatchesOneByte) {
  EXPECT_TRUE(glob_match("h?llo", "hello"));
  EXPECT_FALSE(glob_match("h?llo", "hllo"));
}

TEST(GlobTest, SetsHaveRangesNegationAndEscapes) {
  EXPECT_TRUE(glob_match("h[ae]llo", "hallo"));
  EXPECT_FALSE(glob_match("h[ae]llo", "hillo"));
  EXPECT_TRUE(glob_match("h[^e]llo", "hallo"));
  EXPECT_FALSE(glob_match("h[^e]llo", "hello"));
  EXPECT_TRUE(glob_match("[a-c][z-x]", "by"));
  EXPECT_TRUE(glob_match("[\\]]", "]"));
  EXPECT_TRUE(glob_match("[ab", "b"));
}

TEST(GlobTest, BackslashTakesTheNextByteLiterally) {
  EXPECT_TRUE(glob_match("a\\*b", "a*b"));
  EXPECT_FALSE(glob_match("a\\*b", "axb"));
  EXPECT_TRUE(glob_match("a\\", "a\\"));
}

TEST(GlobTest, CaseIsIgnoredOnRequest) {
  EXPECT_TRUE(glob_match("MaxMem*", "maxmemory", true));
  EXPECT_FALSE(glob_match("MaxMem*", "maxmemory"));
}

TEST(GlobTest, HostilePatternOfStarsEndsSoon) {
  std::string pattern;
  for (int i = 0; i < 500; ++i) pattern += "a*";
  EXPECT_FALSE(glob_match(pattern + "b", std::string(4000, 'a')));
}

}  // namespace
}  // namespace candor
