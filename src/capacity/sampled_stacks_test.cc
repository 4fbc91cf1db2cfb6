#include "capacity/sampled_stacks.h"

#include <gtest/gtest.h>

#include <list>

#include "base/random.h"
#include "tier/l1/access_log.h"

namespace candor::capacity {
namespace {

constexpr FeatureId kOneFeature{0}, kOtherFeature{1};

// The obvious way: a list, searched from its front.
struct NaiveStack {
  struct Entry {
    std::uint64_t key;
    FeatureId feature;
    double bytes;
  };
  std::list<Entry> entries;

  void touch(std::uint64_t key) {
    for (auto it = entries.begin(); it != entries.end(); ++it) {
      if (it->key != key) continue;
      entries.splice(entries.begin(), entries, it);
      return;
    }
  }
  [[nodiscard]] SampledStacks::Distance distance_of(std::uint64_t key) const {
    SampledStacks::Distance distance;
    FeatureId feature;
    for (const Entry& entry : entries)
      if (entry.key == key) feature = entry.feature;
    for (const Entry& entry : entries) {
      distance.all.bytes += entry.bytes;
      distance.all.objects += 1;
      if (entry.feature == feature) {
        distance.feature.bytes += entry.bytes;
        distance.feature.objects += 1;
      }
      if (entry.key == key) break;
    }
    return distance;
  }
};

TEST(SampledStacks, DistancesAreThoseOfTheObviousStack) {
  SampledStacks stacks({.keys_max = 400, .features = 2, .depth_bytes = 1e12});
  NaiveStack naive;
  Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t number = random.below(300);
    const std::uint64_t hash = mix64(number);
    const FeatureId feature{static_cast<std::uint16_t>(number % 2)};
    SampledStacks::Key* key = stacks.find(hash);
    if (key == nullptr) {
      const auto bytes = static_cast<std::uint32_t>(1 + random.below(500));
      stacks.insert(hash, feature, bytes);
      naive.entries.push_front({hash, feature, static_cast<double>(bytes)});
      continue;
    }
    if (random.below(40) == 0) {
      stacks.erase(*key);
      naive.entries.remove_if([&](const auto& entry) { return entry.key == hash; });
      continue;
    }
    if (random.below(10) == 0) {
      const auto bytes = static_cast<std::uint32_t>(1 + random.below(500));
      stacks.resize(*key, bytes);
      for (auto& entry : naive.entries)
        if (entry.key == hash) entry.bytes = bytes;
    }
    const SampledStacks::Distance wanted = naive.distance_of(hash);
    const SampledStacks::Distance got = stacks.touch(*key);
    naive.touch(hash);
    ASSERT_DOUBLE_EQ(got.feature.bytes, wanted.feature.bytes);
    ASSERT_DOUBLE_EQ(got.feature.objects, wanted.feature.objects);
    ASSERT_DOUBLE_EQ(got.all.bytes, wanted.all.bytes);
    ASSERT_DOUBLE_EQ(got.all.objects, wanted.all.objects);
    if (i % 1000 == 0) stacks.check_invariants();
  }
  stacks.check_invariants();
}

TEST(SampledStacks, ALowerRateDropsKeysAndEachThatStaysStandsForMore) {
  SampledStacks stacks({.keys_max = 2000, .features = 2, .depth_bytes = 1e12});
  for (std::uint64_t i = 0; i < 1000; ++i)
    stacks.insert(mix64(i), i % 2 == 0 ? kOneFeature : kOtherFeature, 100);
  stacks.set_rate(kOneFeature, 0.25);
  stacks.check_invariants();
  EXPECT_NEAR(static_cast<double>(stacks.size(kOneFeature)), 125, 30);
  EXPECT_EQ(stacks.size(kOtherFeature), 500U);
  // The oldest key of the second feature: under it lies what 1000 keys weigh, about.
  SampledStacks::Key* key = stacks.find(mix64(1));
  ASSERT_NE(key, nullptr);
  const SampledStacks::Distance distance = stacks.touch(*key);
  EXPECT_DOUBLE_EQ(distance.feature.objects, 500);
  EXPECT_NEAR(distance.all.objects, 1000, 120);
}

TEST(SampledStacks, WhatLiesTooDeepIsForgotten) {
  SampledStacks stacks({.keys_max = 100, .features = 1, .depth_bytes = 1000});
  for (std::uint64_t i = 0; i < 50; ++i) stacks.insert(mix64(i), kOneFeature, 100);
  EXPECT_TRUE(stacks.trim());
  EXPECT_EQ(stacks.size(), 10U);
  EXPECT_EQ(stacks.find(mix64(39)), nullptr);
  EXPECT_NE(stacks.find(mix64(40)), nullptr);
  EXPECT_FALSE(stacks.trim());
  stacks.check_invariants();
}

TEST(SampledStacks, AKeyCostsNoMoreThanIsReckonedFor) {
  SampledStacks stacks({.keys_max = 10'000, .features = 1, .depth_bytes = 1e12});
  for (std::uint64_t i = 0; i < 10'000; ++i) stacks.insert(mix64(i), kOneFeature, 100);
  EXPECT_LE(stacks.memory_bytes(), 10'000 * SampledStacks::kBytesPerKey + 1000);
}

}  // namespace
}  // namespace candor::capacity
