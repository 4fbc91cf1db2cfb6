#include "app/budget_timeline.h"

#include <gtest/gtest.h>

#include <string>

namespace candor::app {
namespace {

ExposureReport report_at(std::int64_t seconds, std::size_t features = 1) {
  ExposureReport report;
  report.at = MonoTime{seconds * 1'000'000'000};
  report.wall = WallTime{seconds * 1'000'000'000};
  for (std::size_t i = 0; i < features; ++i)
    report.features.emplace_back().feature = "feature" + std::to_string(i);
  return report;
}

TEST(BudgetTimelineTest, WhatIsNotMeasuredIsNotZero) {
  BudgetTimeline timeline;
  ExposureReport report = report_at(5);
  report.features[0].by_origin = {.reads = 10.0, .stale_fraction = 0.0};
  ASSERT_TRUE(timeline.add(report));
  const BudgetPoint& point = timeline.of("feature0")->front();
  EXPECT_EQ(point.at_ms, 5000);
  EXPECT_FALSE(point.by_stream.has_value());
  EXPECT_FALSE(point.predicted.has_value());
  EXPECT_FALSE(point.updates_per_second.has_value());
  EXPECT_EQ(point.by_origin, 0.0F);
}

TEST(BudgetTimelineTest, AReportSeenTwiceIsOnePoint) {
  BudgetTimeline timeline;
  EXPECT_TRUE(timeline.add(report_at(5)));
  EXPECT_FALSE(timeline.add(report_at(5)));
  EXPECT_TRUE(timeline.add(report_at(10)));
  EXPECT_EQ(timeline.of("feature0")->size(), 2U);
}

TEST(BudgetTimelineTest, TheOldestPointLeaves) {
  BudgetTimeline timeline;
  for (std::size_t i = 0; i < BudgetTimeline::kPointsMax + 3; ++i)
    (void)timeline.add(report_at(static_cast<std::int64_t>(5 * (i + 1))));
  EXPECT_EQ(timeline.of("feature0")->size(), BudgetTimeline::kPointsMax);
  EXPECT_EQ(timeline.of("feature0")->front().at_ms, 20'000);
}

TEST(BudgetTimelineTest, FeaturesAreBounded) {
  BudgetTimeline timeline;
  ASSERT_TRUE(timeline.add(report_at(5, BudgetTimeline::kFeaturesMax + 1)));
  EXPECT_NE(timeline.of("feature" + std::to_string(BudgetTimeline::kFeaturesMax - 1)), nullptr);
  EXPECT_EQ(timeline.of("feature" + std::to_string(BudgetTimeline::kFeaturesMax)), nullptr);
  EXPECT_EQ(timeline.of("nobody"), nullptr);
}

}  // namespace
}  // namespace candor::app
