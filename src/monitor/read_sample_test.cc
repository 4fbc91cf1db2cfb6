#include "monitor/read_sample.h"

#include <gtest/gtest.h>

#include <string>

#include "cache/cache.h"
#include "cache/tap_fan.h"

namespace candor {
namespace {

SampledRead read_of(FeatureId feature, std::string_view key) {
  SampledRead read;
  read.feature = feature;
  read.key = key;
  read.value = "12345";
  read.at = 1000;
  return read;
}

double weight_of(const std::vector<SightedRead>& reads, FeatureId feature) {
  double sum = 0.0;
  for (const SightedRead& one : reads) sum += one.feature == feature ? one.weight : 0.0;
  return sum;
}

TEST(ReadSampleTest, SeesEveryReadOfAQuietFeature) {
  ReadSample sample(2);
  sample.take(read_of(FeatureId{1}, "a\0b"));
  const auto reads = sample.drain(100ms);
  ASSERT_EQ(reads.size(), 1U);
  EXPECT_EQ(reads[0].weight, 1.0);
  EXPECT_EQ(reads[0].value_bytes, 5U);
  EXPECT_EQ(sample.chance(FeatureId{1}), 1.0);
}

TEST(ReadSampleTest, LooksAtABoundedNumberOfABusyOne) {
  ReadSample sample(1);
  TapFan fan(1);
  fan.add(&sample);
  ReadLanes lanes(&fan, 1, 5);
  double weight = 0.0;
  std::size_t looked = 0;
  constexpr int kRounds = 100, kReads = 100'000;
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kReads; ++i)
      if (lanes.is_due(FeatureId{0})) fan.take(read_of(FeatureId{0}, "k"));
    const auto reads = sample.drain(100ms);
    weight += weight_of(reads, FeatureId{0});
    if (round > 10) looked += reads.size();
  }
  EXPECT_NEAR(static_cast<double>(looked) / (kRounds - 11), ReadSample::kReadsPerSecond / 10, 20);
  EXPECT_NEAR(weight, 1.0 * kRounds * kReads, 0.03 * kRounds * kReads);
}

TEST(ReadSampleTest, WhatIsLeftOutIsStoodFor) {
  ReadSample sample(1);
  constexpr std::size_t kTaken = 5 * ReadSample::kWaitingMax;
  for (std::size_t i = 0; i < kTaken; ++i) sample.take(read_of(FeatureId{0}, "k"));
  const auto reads = sample.drain(100ms);
  EXPECT_EQ(reads.size(), ReadSample::kWaitingMax);
  EXPECT_NEAR(weight_of(reads, FeatureId{0}), static_cast<double>(kTaken), 1e-6);
  EXPECT_EQ(sample.left_out(), 4 * ReadSample::kWaitingMax);
}

TEST(ReadSampleTest, AFeatureThatIsNotKnownIsNobodys) {
  ReadSample sample(1);
  EXPECT_EQ(sample.chance(FeatureId{7}), 0.0);
  sample.take(read_of(FeatureId{7}, "k"));
  EXPECT_TRUE(sample.drain(100ms).empty());
}

}  // namespace
}  // namespace candor
