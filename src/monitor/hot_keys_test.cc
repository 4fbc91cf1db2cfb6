#include "monitor/hot_keys.h"

#include <gtest/gtest.h>

#include <string>

namespace candor {
namespace {

constexpr FeatureId kFirst{0}, kSecond{1};
constexpr MonoTime kNow{10'000'000'000};

SightedRead read_of(FeatureId feature, std::string key, std::size_t bytes) {
  SightedRead read;
  read.feature = feature;
  read.key = std::move(key);
  read.value_bytes = bytes;
  return read;
}

class HotKeysTest : public ::testing::Test {
 protected:
  HotKeys hot_{2, 16, 1};
};

TEST_F(HotKeysTest, EachMeasureHasItsOwnOrder) {
  for (int i = 0; i < 10; ++i) hot_.on_read(kNow, read_of(kFirst, "small", 10));
  for (int i = 0; i < 2; ++i) hot_.on_read(kNow, read_of(kFirst, "large", 10'000));
  hot_.on_miss(kNow, {kFirst, "missed"});
  hot_.on_change(kNow, {kFirst, "changed"});
  const auto first = [&](HotBy by) { return hot_.top(kFirst, 1, by, kNow + 1s).at(0).key; };
  EXPECT_EQ(first(HotBy::kReads), "small");
  EXPECT_EQ(first(HotBy::kBytes), "large");
  EXPECT_EQ(first(HotBy::kMisses), "missed");
  EXPECT_EQ(first(HotBy::kChanges), "changed");
}

TEST_F(HotKeysTest, AKeyCarriesWhatEveryListKnowsOfIt) {
  hot_.on_read(kNow, read_of(kFirst, "k", 10));
  hot_.on_miss(kNow, {kFirst, "k"});
  const HotKey key = hot_.top(kFirst, 1, HotBy::kReads, kNow + 1s).at(0);
  EXPECT_TRUE(key.by(HotBy::kMisses).has_value());
  EXPECT_FALSE(key.by(HotBy::kChanges).has_value());
}

TEST_F(HotKeysTest, AllFeaturesTogetherAreOneOrder) {
  for (int i = 0; i < 3; ++i) hot_.on_read(kNow, read_of(kFirst, "same", 1));
  for (int i = 0; i < 5; ++i) hot_.on_read(kNow, read_of(kSecond, "same", 1));
  const auto top = hot_.top(std::nullopt, 10, HotBy::kReads, kNow + 1s);
  ASSERT_EQ(top.size(), 2U);
  EXPECT_EQ(top[0].feature, kSecond);
  EXPECT_EQ(hot_.top(kFirst, 10, HotBy::kReads, kNow + 1s).size(), 1U);
}

TEST_F(HotKeysTest, BytesOfAnyKindAreKeys) {
  const std::string hostile("\0\x1b[2J\xff\"", 7);
  hot_.on_read(kNow, read_of(kFirst, hostile, 1));
  EXPECT_EQ(hot_.top(kFirst, 1, HotBy::kReads, kNow + 1s).at(0).key, hostile);
}

TEST_F(HotKeysTest, WhatIsNotKnownIsEmpty) {
  EXPECT_TRUE(hot_.top(FeatureId{9}, 10, HotBy::kReads, kNow).empty());
  hot_.on_miss(kNow, {FeatureId{9}, "k"});
  EXPECT_EQ(hot_.total(FeatureId{9}, HotBy::kMisses, kNow).per_second, 0.0);
}

TEST(HotKeysMemoryTest, ManyFeaturesShareTheEntries) {
  EXPECT_EQ(HotKeys(10, 128, 1).keys_of_feature(), 128U);
  EXPECT_EQ(HotKeys(4096, 128, 1).keys_of_feature(), 16U);
}

TEST(HotByTest, NamesAreReadBack) {
  for (const HotBy by : kHotBys) EXPECT_EQ(hot_by_of(hot_by_name(by)), by);
  EXPECT_FALSE(hot_by_of("heat").has_value());
}

}  // namespace
}  // namespace candor
