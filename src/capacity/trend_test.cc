#include "capacity/trend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace candor::capacity {
namespace {

std::vector<TrendPoint> points_of(std::size_t count, double per_second, double noise) {
  Random random(1);
  std::vector<TrendPoint> points;
  for (std::size_t i = 0; i < count; ++i)
    points.push_back({60.0 * static_cast<double>(i),
                      1000 + per_second * 60.0 * static_cast<double>(i) + noise * (random.unit() - 0.5)});
  return points;
}

TEST(Trend, ALineIsFoundAndReachesItsLimit) {
  const auto line = trend_of(points_of(100, 2.0, 50));
  ASSERT_TRUE(line);
  EXPECT_NEAR(line->per_second, 2.0, 0.05);
  EXPECT_GT(line->fit, 0.99);
  const auto seconds = seconds_until(*line, line->now + 2000);
  ASSERT_TRUE(seconds);
  EXPECT_NEAR(*seconds, 1000, 30);
}

TEST(Trend, NoiseIsNoTrend) { EXPECT_FALSE(trend_of(points_of(100, 0.0, 500))); }
TEST(Trend, AStandstillIsNoTrend) { EXPECT_FALSE(trend_of(points_of(100, 0.0, 0))); }
TEST(Trend, AFewPointsAreNoTrend) { EXPECT_FALSE(trend_of(points_of(kTrendPointsMin - 1, 2.0, 0))); }

TEST(Trend, AWaveIsNoTrend) {
  std::vector<TrendPoint> points;
  for (int i = 0; i < 200; ++i) points.push_back({static_cast<double>(i), std::sin(i / 10.0)});
  EXPECT_FALSE(trend_of(points));
}

TEST(Trend, WhatFallsReachesNoLimitAboveIt) {
  const auto line = trend_of(points_of(100, -2.0, 0));
  ASSERT_TRUE(line);
  EXPECT_FALSE(seconds_until(*line, 1e9));
  EXPECT_EQ(seconds_until(*line, line->now - 1), 0.0);
}

}  // namespace
}  // namespace candor::capacity
