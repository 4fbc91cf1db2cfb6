#include "app/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

namespace candor::app {
namespace {

using testing::HasSubstr;
using testing::Not;

NodeReport busy_report() {
  NodeReport report;
  report.region = "eu";
  FeatureReport& feature = report.features.emplace_back();
  feature.name = "profile";
  feature.served_as = "session";
  feature.reads_l1 = 7;
  feature.loads_timeout = 2;
  feature.miss_ns.counts[LatencyHistogram::bucket_of(1'000'000)] = 3;
  feature.miss_ns.count = 3;
  feature.miss_ns.sum_ns = 3'000'000;
  report.origins.push_back({"shop", "sqlite shop.db", {}});
  report.l1.memory_limit = 1024;
  report.degraded = {"l2_down"};
  return report;
}

TEST(MetricsTest, TheNamesOfTheInterfaceAreThere) {
  const std::string text = metrics_text(busy_report());
  EXPECT_THAT(
      text,
      HasSubstr("candor_reads_total{feature=\"profile\",region=\"eu\",tier=\"l1\",level=\"session\"} 7"));
  EXPECT_THAT(
      text, HasSubstr("candor_origin_loads_total{feature=\"profile\",region=\"eu\",outcome=\"timeout\"} 2"));
  EXPECT_THAT(text, HasSubstr("candor_origin_in_flight{origin=\"shop\",region=\"eu\"} 0"));
  EXPECT_THAT(text, HasSubstr("candor_memory_limit_bytes{region=\"eu\",tier=\"l1\"} 1024"));
  EXPECT_THAT(text, HasSubstr("candor_evictions_total{feature=\"profile\",region=\"eu\",tier=\"l1\"} 0"));
  EXPECT_THAT(text, HasSubstr("candor_degraded{region=\"eu\",reason=\"l2_down\"} 1"));
  EXPECT_THAT(text,
              HasSubstr("candor_read_seconds_count{feature=\"profile\",region=\"eu\",path=\"miss\"} 3"));
}

TEST(MetricsTest, HistogramBucketsAreCumulativeAndExactAtTheirEdges) {
  const std::string text = metrics_text(busy_report());
  // 1 ms lies between 2^19 ns (0.524 ms) and 2^20 ns (1.049 ms).
  EXPECT_THAT(text, HasSubstr("path=\"miss\",le=\"0.000524288\"} 0"));
  EXPECT_THAT(text, HasSubstr("path=\"miss\",le=\"0.001048576\"} 3"));
  EXPECT_THAT(text, HasSubstr("path=\"miss\",le=\"+Inf\"} 3"));
}

TEST(MetricsTest, WhatIsNotMeasuredHasNoSeries) {
  const std::string text = metrics_text(busy_report());
  EXPECT_THAT(text, Not(HasSubstr("tier=\"l2\"} 0\ncandor_memory")));
  EXPECT_THAT(text, Not(HasSubstr("candor_stale_reads_total")));
  EXPECT_THAT(text, Not(HasSubstr("candor_budget")));
}

TEST(MetricsTest, JudgedReadsSayWithTheirSquaresHowManyWereSeen) {
  ExposureReport exposure;
  FeatureExposure& profile = exposure.features.emplace_back();
  profile.feature = "profile";
  profile.origin_totals.reads = 600;
  profile.origin_totals.squares = 360'000;  // one read that stands for 600
  NodeReport report = busy_report();
  report.exposure = std::make_shared<const ExposureReport>(exposure);
  const std::string text = metrics_text(report);
  EXPECT_THAT(text,
              HasSubstr("candor_checked_reads_total{feature=\"profile\",region=\"eu\",by=\"origin\"} 600\n"));
  EXPECT_THAT(
      text,
      HasSubstr(
          "candor_checked_reads_squares_total{feature=\"profile\",region=\"eu\",by=\"origin\"} 360000\n"));
}

TEST(MetricsTest, HostileNamesCannotAddLines) {
  NodeReport report = busy_report();
  report.region = "a\"} 1\nevil_metric 1\n";
  const std::string text = metrics_text(report);
  EXPECT_THAT(text, Not(HasSubstr("\nevil_metric")));
}

TEST(MetricsTest, EveryNameIsUniqueAndSaysWhatItMeans) {
  std::set<std::string_view> seen;
  for (const MetricSpec& spec : metric_specs()) {
    EXPECT_TRUE(seen.insert(spec.name).second) << spec.name;
    EXPECT_FALSE(spec.help.empty()) << spec.name;
    if (spec.kind == MetricKind::kCounter) {
      EXPECT_TRUE(spec.name.ends_with("_total")) << spec.name;
    }
  }
}

TEST(MetricsTest, TheReferenceInDocsIsWhatTheTablePrints) {
  std::ifstream file(CANDOR_SOURCE_DIR "/docs/metrics.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), metrics_reference()) << "run: candor check --print-metrics > docs/metrics.md";
}

}  // namespace
}  // namespace candor::app
