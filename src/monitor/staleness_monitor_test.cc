#include "candor/staleness_monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace candor {
namespace {

using ::testing::HasSubstr;
using std::chrono_literals::operator""h;
using std::chrono_literals::operator""s;

using Monitor = StalenessMonitor;

Monitor::Time instant(std::chrono::nanoseconds since) {
  return Monitor::Time(std::chrono::duration_cast<Monitor::Clock::duration>(100'000h + since));
}

struct Checked : ::testing::Test {
  Monitor monitor{1};
  void SetUp() override {
    ASSERT_TRUE(monitor.register_feature({.feature = "f", .max_staleness = 5s, .sample_rate = 0.1}));
  }
  Monitor::Check check(const Monitor::Cached& cached, const Monitor::Authoritative& authoritative) {
    return monitor.check("f", cached, authoritative).value();
  }
};

TEST_F(Checked, TheSameVersionIsFreshHoweverOld) {
  const auto check =
      this->check({"1", instant(0s), instant(100'000s)}, {.version = "1", .asked_at = instant(100'000s)});
  EXPECT_FALSE(check.is_stale);
  EXPECT_EQ(check.over, 0.0);
}

TEST_F(Checked, ARowUnchangedForAYearAndEditedASecondAgoIsOneSecondStale) {
  const auto now = instant(8760h);
  // Loaded two seconds ago, edited one second ago. The subtraction of versions' times says a year.
  const auto check =
      this->check({"1", now - 2s, now}, {.version = "2", .updated_at = now - 1s, .asked_at = now});
  EXPECT_EQ(check.at_least, 1s);
  EXPECT_EQ(check.at_most, 2s);
  EXPECT_EQ(check.over, 0.0);
}

TEST_F(Checked, ARowEditedAnHourAgoIsAnHourStaleHoweverCloseItsVersionsLie) {
  const auto now = instant(8760h);
  // Written, loaded, edited a second later, read an hour later. The subtraction says one second.
  const auto check =
      this->check({"1", now - 3601s, now}, {.version = "2", .updated_at = now - 3600s, .asked_at = now});
  EXPECT_EQ(check.at_least, 3600s);
  EXPECT_EQ(check.over, 1.0);
}

TEST_F(Checked, SeveralEditsSinceLeaveARange) {
  // Loaded 10 s ago, last edited just now: the first edit was anywhere in the ten seconds.
  const auto now = instant(1h);
  const auto check = this->check({"1", now - 10s, now}, {.version = "9", .updated_at = now, .asked_at = now});
  EXPECT_EQ(check.at_least, 0s);
  EXPECT_EQ(check.at_most, 10s);
  EXPECT_NEAR(check.over, 0.5, 1e-9);
  EXPECT_EQ(monitor.report("f")->undecided, 1.0);
}

TEST_F(Checked, AHistoryLeavesNothingOpen) {
  const auto now = instant(1h);
  const auto check =
      this->check({"1", now - 10s, now}, {.version = "9", .asked_at = now, .superseded_at = now - 6s});
  EXPECT_EQ(check.at_least, 6s);
  EXPECT_EQ(check.at_most, 6s);
  EXPECT_EQ(check.over, 1.0);
}

TEST_F(Checked, AnEditAfterTheReadIsNoLie) {
  const auto now = instant(1h);
  const auto check =
      this->check({"1", now - 10s, now},
                  {.version = "2", .updated_at = now + 1s, .asked_at = now + 2s, .superseded_at = now + 1s});
  EXPECT_FALSE(check.is_stale);
  EXPECT_EQ(check.over, 0.0);
}

TEST_F(Checked, TheReportSaysWhetherTheThresholdIsKept) {
  const auto now = instant(1h);
  EXPECT_FALSE(monitor.report("f")->is_kept.has_value());
  for (int i = 0; i < 100; ++i) check({"1", now, now}, {.version = "1", .asked_at = now});
  EXPECT_FALSE(monitor.report("f")->is_kept.has_value()) << "100 reads cannot show 1 in 1,000";
  for (int i = 0; i < 10'000; ++i) check({"1", now, now}, {.version = "1", .asked_at = now});
  EXPECT_EQ(monitor.report("f")->is_kept, true);
  for (int i = 0; i < 200; ++i)
    check({"1", now - 60s, now}, {.version = "2", .updated_at = now - 50s, .asked_at = now});
  const auto report = monitor.report("f").value();
  EXPECT_EQ(report.is_kept, false);
  EXPECT_EQ(report.worst, 50s);
  EXPECT_LT(report.low, report.stale_fraction);
}

TEST_F(Checked, SamplesAtItsRate) {
  int picked = 0;
  for (int i = 0; i < 20'000; ++i) picked += monitor.should_check("f") ? 1 : 0;
  EXPECT_NEAR(picked, 2000, 200);
  EXPECT_FALSE(monitor.should_check("nobody"));
}

TEST_F(Checked, WhatCannotBeIsRefused) {
  const auto now = instant(1h);
  EXPECT_THAT(monitor.check("f", {"1", now, now - 1s}, {.version = "1", .asked_at = now}).error().message,
              HasSubstr("read_at lies before loaded_at"));
  EXPECT_THAT(monitor.check("f", {"1", now, now}, {.version = "1", .asked_at = now - 1s}).error().message,
              HasSubstr("asked_at lies before read_at"));
  EXPECT_EQ(monitor.check("nobody", {}, {}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(monitor.report("nobody").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(monitor.register_feature({.feature = "f"}).error().message, HasSubstr("registered already"));
  EXPECT_FALSE(monitor.register_feature({.feature = ""}));
  EXPECT_FALSE(monitor.register_feature({.feature = "g", .sample_rate = 2.0}));
  EXPECT_FALSE(monitor.register_feature({.feature = "g", .slo_threshold = -1.0}));
  EXPECT_FALSE(monitor.register_feature({.feature = "g", .max_staleness = -1s}));
}

}  // namespace
}  // namespace candor
