#include "app/capacity_history.h"

#include <gtest/gtest.h>

namespace candor::app {
namespace {

CapacityTotals totals_at(std::uint64_t minute) {
  CapacityTotals totals;
  totals.reads = 1000 * minute;
  totals.hits = 900 * minute;
  totals.evictions = 60 * minute;
  totals.bytes_used = 1e6 + 1000.0 * static_cast<double>(minute);
  return totals;
}

const CapacityTrend& of(const std::vector<CapacityTrend>& trends, const std::string& name) {
  for (const CapacityTrend& trend : trends)
    if (trend.of == name) return trend;
  ADD_FAILURE() << name;
  return trends.front();
}

TEST(CapacityHistory, RatesComeFromWhatWasCountedInBetween) {
  CapacityHistory history;
  MonoTime now{1};
  for (std::uint64_t minute = 0; minute < 60; ++minute, now = now + 1min) history.add(totals_at(minute), now);
  const auto trends = history.trends(2e6);
  EXPECT_DOUBLE_EQ(of(trends, "hit_ratio").now.value(), 0.9);
  EXPECT_DOUBLE_EQ(of(trends, "evictions_per_second").now.value(), 1.0);
  EXPECT_FALSE(of(trends, "hit_ratio").line);  // it stands still
  const CapacityTrend& bytes = of(trends, "bytes_used");
  ASSERT_TRUE(bytes.line);
  EXPECT_NEAR(bytes.seconds_to_limit.value(), 941 * 60, 60);
}

TEST(CapacityHistory, WeeksFitIntoTheSameMemory) {
  CapacityHistory history;
  MonoTime now{1};
  for (std::uint64_t minute = 0; minute < 14 * 24 * 60; ++minute, now = now + 1min)
    if (history.is_due(now)) history.add(totals_at(minute), now);
  EXPECT_LT(history.size(), CapacityHistory::kPointsMax);
  EXPECT_GT(history.size(), CapacityHistory::kPointsMax / 3);
  EXPECT_GT(history.period(), 8min);
  const auto trends = history.trends(1e9);
  const auto& points = of(trends, "bytes_used").points;
  EXPECT_LT(points.front().at_seconds, 2.0 * 3600);  // back to the start
  ASSERT_TRUE(of(trends, "bytes_used").line);
}

TEST(CapacityHistory, NothingIsKnownBeforeTheSecondLook) {
  CapacityHistory history;
  history.add(totals_at(1), MonoTime{1});
  EXPECT_FALSE(history.trends(1).front().now);
}

}  // namespace
}  // namespace candor::app
