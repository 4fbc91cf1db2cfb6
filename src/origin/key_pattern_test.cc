#include "origin/key_pattern.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace candor {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::UnorderedElementsAre;

KeyPattern pattern(std::string_view text) { return KeyPattern::parse("f", "load", text).value(); }

TEST(KeyPatternTest, ANameLeadsBackToItsKey) {
  EXPECT_THAT(pattern("user:{key}").keys_of("user:a:b"), Optional(ElementsAre("a:b")));
  EXPECT_THAT(pattern("user:{key}:v1").keys_of("user::v1"), Optional(ElementsAre("")));
  EXPECT_THAT(pattern("{key2}/{key1}").keys_of("b:c/a"), Optional(ElementsAre("a:b:c")));
  EXPECT_THAT(pattern("{key}-{key}").keys_of("x-x"), Optional(ElementsAre("x")));
}

TEST(KeyPatternTest, NamesOfOthersLeadToNothing) {
  EXPECT_THAT(pattern("user:{key}").keys_of("item:1"), Optional(IsEmpty()));
  EXPECT_THAT(pattern("user:{key}:v1").keys_of("user:1:v2"), Optional(IsEmpty()));
  EXPECT_THAT(pattern("user:{key}:v1").keys_of("user:v1"), Optional(IsEmpty()));
  EXPECT_THAT(pattern("{key}-{key}").keys_of("x-y"), Optional(IsEmpty()));
  EXPECT_THAT(pattern("{key1}:{key2}").keys_of("a"), Optional(IsEmpty()));
}

// Both keys load this name: both have changed with it.
TEST(KeyPatternTest, ANameOfTwoKeysLeadsToBoth) {
  EXPECT_THAT(pattern("{key1}-{key2}").keys_of("a-b-c"), Optional(UnorderedElementsAre("a:b-c", "a-b:c")));
}

TEST(KeyPatternTest, TooManyKeysAreToldAsAny) {
  EXPECT_EQ(pattern("{key1}{key2}").keys_of(std::string(100, 'x')), std::nullopt);
  EXPECT_EQ(pattern("{key1}{key2}{key3}{key4}{key5}").keys_of(std::string(60, 'x') + "!"), std::nullopt);
}

TEST(KeyPatternTest, EveryKeyIsFoundUnderItsName) {
  Random random{11};
  constexpr std::string_view kLetters = "ab:-/";
  for (const char* text : {"{key}", "u:{key}", "{key}:u", "{key1}:{key2}", "{key2}-{key1}/{key2}",
                           "a{key1}b{key2}a", "{key3}{key1}-{key2}"}) {
    const KeyPattern tried = pattern(text);
    for (int i = 0; i < 2000; ++i) {
      std::string key;
      for (std::uint64_t n = random.below(9); n > 0; --n) key += kLetters[random.below(kLetters.size())];
      const auto name = tried.name_of("f", key);
      if (!name) continue;
      const auto keys = tried.keys_of(*name);
      if (!keys) continue;
      ASSERT_THAT(*keys, Contains(key)) << text;
      for (const std::string& other : *keys) ASSERT_EQ(tried.name_of("f", other).value(), *name) << text;
    }
  }
}

}  // namespace
}  // namespace candor
