#include "tier/l1/frequency_sketch.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace candor::l1 {
namespace {

TEST(FrequencySketch, NeverCountsBelowTheTruthBeforeAHalving) {
  FrequencySketch sketch;
  sketch.set_entries(1000);
  for (std::uint64_t key = 0; key < 1000; ++key) {
    for (std::uint64_t i = 0; i < key % 5; ++i) sketch.add(mix64(key));
  }
  for (std::uint64_t key = 0; key < 1000; ++key) EXPECT_GE(sketch.count(mix64(key)), key % 5);
}

TEST(FrequencySketch, SeldomCountsAboveTheTruth) {
  FrequencySketch sketch;
  sketch.set_entries(10000);
  for (std::uint64_t key = 0; key < 10000; ++key) sketch.add(mix64(key));
  std::size_t above = 0;
  for (std::uint64_t key = 0; key < 10000; ++key) above += sketch.count(mix64(key)) > 1 ? 1 : 0;
  EXPECT_LT(above, 1000U);
}

TEST(FrequencySketch, CountsSaturate) {
  FrequencySketch sketch;
  sketch.set_entries(1000);
  for (int i = 0; i < 100; ++i) sketch.add(mix64(1));
  EXPECT_EQ(sketch.count(mix64(1)), FrequencySketch::kCountMax);
}

TEST(FrequencySketch, OldPopularityFades) {
  FrequencySketch sketch;
  sketch.set_entries(100);
  for (int i = 0; i < 12; ++i) sketch.add(mix64(1));
  for (std::uint64_t key = 0; key < 4000; ++key) sketch.add(mix64(1000 + key % 500));
  EXPECT_LE(sketch.count(mix64(1)), FrequencySketch::kCountMax);
  FrequencySketch idle;
  idle.set_entries(1);
  for (int i = 0; i < 9; ++i) idle.add(mix64(1));
  EXPECT_EQ(idle.count(mix64(1)), 9U);
  idle.add(mix64(1));  // the tenth for one entry: halved
  EXPECT_EQ(idle.count(mix64(1)), 5U);
}

TEST(FrequencySketch, CostsAboutFourBytesAnEntry) {
  FrequencySketch sketch;
  sketch.set_entries(100000);
  EXPECT_LT(sketch.memory_bytes(), 410000U);
}

}  // namespace
}  // namespace candor::l1
