#include "warm/hot_set.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace candor::warm {
namespace {

HotSet sample() {
  HotSet set{.at = WallTime{5'000'000'000}, .node = "eu-1", .features = {}};
  set.features.push_back({.name = "user",
                          .reads = 12.5,
                          .load_cost = 0.25,
                          .keys = {{"a", 4.0}, {std::string("\0:\n\xff", 4), 2.0}}});
  set.features.push_back({.name = "item", .reads = 1.0, .load_cost = 0.0, .keys = {{"", 0.5}}});
  return set;
}

TEST(HotSetTest, DecodesWhatWasEncoded) {
  const auto set = decode_hot_set(encode_hot_set(sample()));
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_EQ(set->at.ns, 5'000'000'000);
  EXPECT_EQ(set->node, "eu-1");
  ASSERT_EQ(set->features.size(), 2U);
  EXPECT_EQ(set->features[0].name, "user");
  EXPECT_EQ(set->features[0].load_cost, 0.25);
  ASSERT_EQ(set->features[0].keys.size(), 2U);
  EXPECT_EQ(set->features[0].keys[1].key, std::string("\0:\n\xff", 4));
  EXPECT_EQ(set->features[0].keys[1].reads, 2.0);
  EXPECT_EQ(set->keys(), 3U);
}

TEST(HotSetTest, WhatIsDamagedAnywhereIsRefused) {
  const std::string good = encode_hot_set(sample());
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_FALSE(decode_hot_set(std::string_view(good).substr(0, i))) << "cut at " << i;
    std::string flipped = good;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x20);
    EXPECT_FALSE(decode_hot_set(flipped)) << "a bit of byte " << i;
  }
  EXPECT_FALSE(decode_hot_set(good + "x"));
}

HotSetBuilder::Feature feature(std::string name, double reads, double cost, double tightness = 1.0) {
  return {.name = std::move(name), .reads = reads, .load_cost = cost, .tightness = tightness};
}

TEST(HotSetBuilderTest, AKeyHasItsShareOfTheFeaturesReads) {
  HotSetBuilder builder({feature("user", 100, 0.001)}, 10);
  builder.see(FeatureId{0}, "cold", 0);
  builder.see(FeatureId{0}, "hot", 3);
  const HotSet set = builder.take();
  ASSERT_EQ(set.features.size(), 1U);
  ASSERT_EQ(set.features[0].keys.size(), 2U);
  EXPECT_EQ(set.features[0].keys[0].key, "hot");
  EXPECT_NEAR(set.features[0].keys[0].reads + set.features[0].keys[1].reads, 100.0, 1e-6);
  EXPECT_NEAR(set.features[0].keys[0].reads / set.features[0].keys[1].reads, 13.0, 1e-6);
}

TEST(HotSetBuilderTest, WhatWasCountedHasItsOwnFigureAndTheOthersShareTheRest) {
  HotSetBuilder builder({feature("user", 100, 0.001)}, 10);
  builder.see(FeatureId{0}, "a", 3);
  builder.see(FeatureId{0}, "b", 3);
  builder.counted(FeatureId{0}, "a", 80.0);
  const HotSet set = builder.take();
  ASSERT_EQ(set.features[0].keys.size(), 2U);
  EXPECT_EQ(set.features[0].keys[0].key, "a");
  EXPECT_EQ(set.features[0].keys[0].reads, 80.0);
  EXPECT_GT(set.features[0].keys[1].reads, 5.0);
  EXPECT_LE(set.features[0].keys[1].reads, 20.0);
}

TEST(HotSetBuilderTest, WorthIsReadsTimesCostTimesTightness) {
  HotSetBuilder builder(
      {feature("cheap", 100, 0.001), feature("dear", 100, 0.1), feature("tight", 100, 0.001, 1000)}, 2);
  for (std::uint16_t id = 0; id < 3; ++id) builder.see(FeatureId{id}, "k", 1);
  const HotSet set = builder.take();
  ASSERT_EQ(set.keys(), 2U);
  for (const HotFeature& one : set.features) EXPECT_NE(one.name, "cheap");
}

TEST(HotSetBuilderTest, AWalkOverAnyStoreStaysInItsBoundAndKeepsWhatIsReadMost) {
  constexpr std::size_t kMost = 1000;
  HotSetBuilder builder({feature("user", 1000, 0.001)}, kMost);
  Random draw(1);
  std::size_t hot = 0;
  for (int i = 0; i < 100'000; ++i) {
    const bool is_hot = draw.below(200) == 0;
    hot += is_hot ? 1 : 0;
    builder.see(FeatureId{0}, std::to_string(i), is_hot ? 3 : 0);
    ASSERT_LE(builder.held(), 2 * kMost + 1);
  }
  ASSERT_LT(hot, kMost);
  const HotSet set = builder.take();
  ASSERT_EQ(set.keys(), kMost);
  double most_read = 0;
  for (const HotKey& key : set.features[0].keys) most_read = std::max(most_read, key.reads);
  std::size_t kept = 0;
  for (const HotKey& key : set.features[0].keys) kept += key.reads > most_read / 2 ? 1 : 0;
  EXPECT_EQ(kept, hot) << "every key that is read is there";
}

TEST(HotSetBuilderTest, AFeatureWithoutAName_IsNotOfInterest) {
  HotSetBuilder builder({feature("", 100, 0.1)}, 10);
  builder.see(FeatureId{0}, "k", 3);
  builder.see(FeatureId{7}, "k", 3);
  EXPECT_EQ(builder.take().keys(), 0U);
}

TEST(HotSetTest, ATightBudgetMakesAFeatureWorthMore) {
  EXPECT_NEAR(tightness_of(0.01), 1.0, 1e-9);
  EXPECT_NEAR(tightness_of(0.0001), 10.0, 1e-9);
  EXPECT_EQ(tightness_of(0.0), 10.0);
  EXPECT_EQ(tightness_of(1.0), 0.5);
}

}  // namespace
}  // namespace candor::warm
