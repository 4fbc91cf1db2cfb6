#include "app/timeline.h"

#include <gtest/gtest.h>

namespace candor::app {
namespace {

NodeReport report_at(Duration at, std::uint64_t l1, std::uint64_t origin) {
  NodeReport report;
  report.at = MonoTime{} + at;
  report.uptime = at;
  FeatureReport& feature = report.features.emplace_back();
  feature.reads_l1 = l1;
  feature.reads_origin = origin;
  feature.loads_ok = origin;
  return report;
}

TEST(TimelineTest, APointIsTheDifferenceOfTwoReportsPerSecond) {
  Timeline timeline;
  EXPECT_FALSE(timeline.add(report_at(1s, 100, 10)));
  EXPECT_TRUE(timeline.add(report_at(3s, 300, 30)));
  ASSERT_EQ(timeline.points().size(), 1U);
  EXPECT_DOUBLE_EQ(timeline.points()[0].l1, 100);
  EXPECT_DOUBLE_EQ(timeline.points()[0].origin, 10);
  EXPECT_DOUBLE_EQ(timeline.points()[0].loads, 10);
}

TEST(TimelineTest, ReportsTooCloseTogetherGiveNoPoint) {
  Timeline timeline;
  (void)timeline.add(report_at(1s, 0, 0));
  EXPECT_FALSE(timeline.add(report_at(1100ms, 1000, 0)));
}

TEST(TimelineTest, ACounterThatWentBackGivesZero) {
  Timeline timeline;
  (void)timeline.add(report_at(1s, 100, 0));
  (void)timeline.add(report_at(2s, 50, 0));
  EXPECT_DOUBLE_EQ(timeline.points()[0].l1, 0);
}

TEST(TimelineTest, WithoutReadsThereAreNoPercentiles) {
  Timeline timeline;
  (void)timeline.add(report_at(1s, 0, 0));
  (void)timeline.add(report_at(2s, 0, 0));
  EXPECT_FALSE(timeline.points()[0].p50_us.has_value());
  EXPECT_FALSE(timeline.points()[0].p99_us.has_value());
}

TEST(TimelineTest, SampledHitsWeighAsManyAsTheyStandFor) {
  Timeline timeline;
  (void)timeline.add(report_at(1s, 0, 0));
  // 10 samples of 1 µs stand for 1000 hits; 5 misses of 1 ms are 0.5 % of the reads, so the 99th percentile
  // is a hit.
  NodeReport report = report_at(2s, 1000, 5);
  report.connections.hit_ns.counts[LatencyHistogram::bucket_of(1000)] = 10;
  report.connections.hit_ns.count = 10;
  report.features[0].miss_ns.counts[LatencyHistogram::bucket_of(1'000'000)] = 5;
  report.features[0].miss_ns.count = 5;
  (void)timeline.add(report);
  EXPECT_LT(*timeline.points()[0].p99_us, 2.0);
  EXPECT_LT(*timeline.points()[0].p50_us, 2.0);
}

TEST(TimelineTest, OldPointsLeave) {
  Timeline timeline;
  for (int i = 0; i < 1000; ++i) (void)timeline.add(report_at(std::chrono::seconds(i), 0, 0));
  EXPECT_EQ(timeline.points().size(), Timeline::kPointsMax);
  EXPECT_DOUBLE_EQ(timeline.points().back().at_seconds, 999);
}

}  // namespace
}  // namespace candor::app
