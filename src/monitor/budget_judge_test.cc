// Transcripts over simulated time: traffic is described, and the state at each change is written down.
#include "monitor/budget_judge.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/units.h"
#include "monitor/budget_windows.h"

namespace candor {
namespace {

constexpr Duration kJudgedDay = 24h;
constexpr Duration kStep = 10s;

class BudgetJudgeTest : public ::testing::Test {
 protected:
  void use(double stale_fraction, Duration window = 30 * kJudgedDay) {
    budget_ = {.max_staleness = 5s, .stale_fraction = stale_fraction, .window = window};
    windows_ = std::make_unique<BudgetWindows>(burn_windows(budget_));
    judge_ = std::make_unique<BudgetJudge>(budget_);
  }
  // For `length`: `reads` judged in each step, `fraction` of them stale.
  void traffic(Duration length, double reads, double fraction, Duration step = kStep) {
    for (const MonoTime end = now_ + length; now_ < end;) {
      now_ = now_ + step;
      if (reads > 0) windows_->add(now_, Tally::plain(reads, reads * fraction));
      look();
    }
  }
  void look() {
    const BudgetState before = judge_->state();
    const BudgetState state =
        judge_->step(now_, [&](Duration window) { return windows_->sum(now_, window); });
    if (state == before && !transcript_.empty()) return;
    transcript_.push_back(std::string(budget_state_name(state)));
    at_.push_back(now_);
  }
  [[nodiscard]] std::string transcript() const {
    std::string out;
    for (const std::string& state : transcript_) out += (out.empty() ? "" : " ") + state;
    return out;
  }
  // How long after `since` the n-th change came.
  [[nodiscard]] double minutes(std::size_t n, MonoTime since) const {
    return to_seconds(at_.at(n) - since) / 60;
  }

  Budget budget_;
  MonoTime now_{0};
  std::unique_ptr<BudgetWindows> windows_;
  std::unique_ptr<BudgetJudge> judge_;
  std::vector<std::string> transcript_;
  std::vector<MonoTime> at_;
};

TEST_F(BudgetJudgeTest, NothingMeasuredIsUnknownAndNotOk) {
  use(0.001);
  traffic(1h, 0, 0);
  EXPECT_EQ(transcript(), "unknown");
  traffic(10s, 1, 0);
  EXPECT_EQ(transcript(), "unknown ok");
  traffic(2h, 0, 0);
  EXPECT_EQ(transcript(), "unknown ok unknown");
}

TEST_F(BudgetJudgeTest, InsideTheBudgetAllIsWell) {
  use(0.001);
  traffic(4 * kJudgedDay, 1000, 0.0009);
  EXPECT_EQ(transcript(), "ok");
}

TEST_F(BudgetJudgeTest, AFastBurnPagesWithinMinutesAndEndsSoonAfterItIsOver) {
  use(0.001);
  traffic(kJudgedDay, 1000, 0);
  const MonoTime began = now_;
  traffic(30min, 1000, 0.2);
  // 200 times the rate: the hour's window passes 14.4 after 14.4 / 200 of an hour, which is 4.3 minutes.
  ASSERT_EQ(transcript(), "ok page");
  EXPECT_NEAR(minutes(1, began), 4.3, 0.5);
  const MonoTime ended = now_;
  traffic(7 * kJudgedDay, 1000, 0);
  // The page goes when the short windows have emptied and stayed so: half an hour and the hold of 5 minutes
  // after the end, in which the slower page rule let go. What was spent is a ticket until it has left six
  // hours' window; nothing comes after it.
  ASSERT_EQ(transcript(), "ok page ticket ok");
  EXPECT_GT(minutes(2, ended), 5);
  EXPECT_LT(minutes(2, ended), 40);
  EXPECT_NEAR(minutes(3, ended), 6 * 60 + 30, 20);
}

TEST_F(BudgetJudgeTest, ASlowBurnIsATicketAndNeverAPage) {
  use(0.001);
  traffic(10 * kJudgedDay, 1000, 0.002);
  EXPECT_EQ(transcript(), "ok ticket");
}

TEST_F(BudgetJudgeTest, SixTimesTheRatePagesByTheSlowRule) {
  use(0.001);
  traffic(kJudgedDay, 1000, 0);
  const MonoTime began = now_;
  traffic(8h, 1000, 0.007);
  EXPECT_EQ(judge_->state(), BudgetState::kPage);
  const auto page = std::ranges::find(transcript_, "page") - transcript_.begin();
  EXPECT_NEAR(minutes(static_cast<std::size_t>(page), began), 6.0 / 7 * 6 * 60, 15);
}

TEST_F(BudgetJudgeTest, OneStaleReadWakesNobody) {
  use(0.001);
  // A feature that is hardly ever read: one read in five minutes, every tenth stale.
  for (int i = 0; i < 40; ++i) {
    traffic(5min, 1, i % 10 == 9 ? 1.0 : 0.0, 5min);
    ASSERT_NE(judge_->state(), BudgetState::kPage);
  }
  EXPECT_EQ(transcript(), "ok");
}

TEST_F(BudgetJudgeTest, NineStaleReadsAreTooFewAndTenAreEnough) {
  use(0.001);
  traffic(10s, 200, 9.0 / 200);
  EXPECT_EQ(transcript(), "ok");
  traffic(10s, 1, 1.0);
  EXPECT_EQ(transcript(), "ok page");
}

TEST_F(BudgetJudgeTest, ARateThatWaversAboutItsThresholdIsOneAlert) {
  use(0.001);
  traffic(2h, 1000, 0);
  // Minutes above 14.4 and minutes below it, about the hour's mean: without hysteresis each is a change.
  for (int i = 0; i < 60; ++i) traffic(2min, 1000, i % 2 == 0 ? 0.0150 : 0.0135);
  EXPECT_EQ(std::ranges::count(transcript_, "page"), 1) << transcript();
  EXPECT_EQ(judge_->state(), BudgetState::kPage);
}

TEST_F(BudgetJudgeTest, AnOutageOfAnHourThatComesBackEachHourIsOnePage) {
  use(0.001);
  traffic(2h, 1000, 0);
  for (int i = 0; i < 12; ++i) {
    traffic(4min, 1000, 0.5);
    traffic(4min, 1000, 0);
  }
  EXPECT_EQ(std::ranges::count(transcript_, "page"), 1) << transcript();
}

TEST_F(BudgetJudgeTest, WhenReadsCeaseThePageEndsAsUnknown) {
  use(0.001);
  traffic(2h, 1000, 0.5);
  traffic(12h, 0, 0);
  EXPECT_EQ(transcript_.front(), "page");
  EXPECT_EQ(transcript_.back(), "unknown");
}

TEST_F(BudgetJudgeTest, ABudgetOfNothingPagesForOneRead) {
  use(0.0);
  traffic(kJudgedDay, 1000, 0);
  EXPECT_EQ(transcript(), "ok");
  traffic(10s, 1000, 0.001);
  EXPECT_EQ(transcript(), "ok page");
  traffic(2 * kJudgedDay, 1000, 0);
  EXPECT_EQ(transcript(), "ok page ticket ok");
}

TEST_F(BudgetJudgeTest, ABudgetOfEverythingNeverAlerts) {
  use(1.0);
  traffic(4 * kJudgedDay, 1000, 1.0);
  EXPECT_EQ(transcript(), "ok");
}

TEST_F(BudgetJudgeTest, ALargeFractionCanStillPage) {
  // 14.4 times 0.2 would be more reads than there are.
  use(0.2);
  traffic(2h, 1000, 0.1);
  EXPECT_EQ(transcript(), "ok");
  traffic(2h, 1000, 0.9);
  EXPECT_EQ(judge_->state(), BudgetState::kPage);
}

TEST_F(BudgetJudgeTest, AShortWindowIsTheSameInSmall) {
  // Ten minutes stand for thirty days: a demonstration.
  use(0.01, 10min);
  traffic(10min, 100, 0, 1s);
  const MonoTime began = now_;
  traffic(2min, 100, 0.5, 1s);
  ASSERT_NE(std::ranges::find(transcript_, "page"), transcript_.end()) << transcript();
  const auto page = std::ranges::find(transcript_, "page") - transcript_.begin();
  EXPECT_LT(minutes(static_cast<std::size_t>(page), began), 0.5);
  traffic(10min, 100, 0, 1s);
  EXPECT_EQ(transcript_.back(), "ok") << transcript();
}

TEST_F(BudgetJudgeTest, WhatHeldHoldsAfterARestart) {
  use(0.001);
  traffic(2h, 1000, 0.5);
  BlobWriter out;
  judge_->save(out);
  BudgetJudge other(budget_);
  BlobReader in(out.bytes());
  other.restore(in);
  // Between letting go and taking hold: a judge without the past would say ok.
  const auto between = [&](Duration) { return Tally::plain(1'000'000, 1'000'000 * 0.006 * 0.8); };
  EXPECT_EQ(BudgetJudge(budget_).step(now_, between), BudgetState::kTicket);
  EXPECT_EQ(other.step(now_, between), BudgetState::kPage);
}

// ---- rules ----

std::string shown(const BurnRule& rule) {
  return fmt::format("{} {} {} {:.3g}", budget_state_name(rule.severity), format_duration(rule.long_window),
                     format_duration(rule.short_window), rule.rate);
}
std::vector<std::string> shown(double fraction, Duration window) {
  std::vector<std::string> out;
  for (const BurnRule& rule : burn_rules({.max_staleness = 1s, .stale_fraction = fraction, .window = window}))
    out.push_back(shown(rule));
  return out;
}
using Lines = std::vector<std::string>;

TEST(BurnRulesTest, ThirtyDaysAreTheTable) {
  EXPECT_EQ(shown(0.001, 30 * kJudgedDay), (Lines{"page 1h 5m 14.4", "page 6h 30m 6", "ticket 3d 6h 1"}));
}
TEST(BurnRulesTest, LongerBudgetsDoNotMakePeopleSlower) {
  EXPECT_EQ(shown(0.001, 90 * kJudgedDay), shown(0.001, 30 * kJudgedDay));
}
TEST(BurnRulesTest, ShorterBudgetsAreInProportion) {
  EXPECT_EQ(shown(0.001, 15 * kJudgedDay), (Lines{"page 30m 150s 14.4", "page 3h 15m 6", "ticket 36h 3h 1"}));
  EXPECT_EQ(shown(0.001, kJudgedDay), (Lines{"page 2m 10s 14.4", "page 12m 1m 6", "ticket 144m 12m 1"}));
}
TEST(BurnRulesTest, TheShortestBudgetsPageBeforeHalfIsGone) {
  EXPECT_EQ(shown(0.001, 10min), (Lines{"page 1m 10s 5", "page 1m 10s 5", "ticket 1m 10s 1"}));
  EXPECT_EQ(shown(0.001, 1min), (Lines{"page 1m 10s 1", "page 1m 10s 1", "ticket 1m 10s 1"}));
}
TEST(BurnRulesTest, NoRateIsOutOfReach) {
  for (const double fraction : {0.01, 0.05, 0.1, 0.2, 0.5, 0.9, 0.99})
    for (const BurnRule& rule :
         burn_rules({.max_staleness = 1s, .stale_fraction = fraction, .window = 30 * kJudgedDay})) {
      EXPECT_LT(rule.rate * fraction, 1.0) << fraction;
      EXPECT_GE(rule.rate, 1.0) << fraction;
    }
}
TEST(BurnRulesTest, WindowsAscendAndTheLastIsTheBudgets) {
  for (const Duration window : {Duration{1min}, Duration{17min}, Duration{5h}, Duration{3 * kJudgedDay},
                                Duration{30 * kJudgedDay}, Duration{365 * kJudgedDay}}) {
    const auto windows = burn_windows({.max_staleness = 1s, .stale_fraction = 0.1, .window = window});
    EXPECT_EQ(windows.back(), window);
    EXPECT_TRUE(std::ranges::is_sorted(windows));
  }
}

TEST(BurnTest, IsTheFractionOverTheFractionAllowed) {
  const Budget budget{.max_staleness = 1s, .stale_fraction = 0.01, .window = 30 * kJudgedDay};
  EXPECT_DOUBLE_EQ(burn(Tally::plain(1000, 20), budget, 1h), 2.0);
  EXPECT_DOUBLE_EQ(burn(Tally{}, budget, 1h), 0.0);
  EXPECT_DOUBLE_EQ(budget_left(Tally::plain(1000, 20), budget), -1.0);
  EXPECT_DOUBLE_EQ(budget_left(Tally::plain(1000, 0), budget), 1.0);
}
TEST(BurnTest, WhereNothingIsAllowedOneStaleReadSpendsAll) {
  const Budget budget{.max_staleness = 1s, .stale_fraction = 0.0, .window = 30 * kJudgedDay};
  EXPECT_DOUBLE_EQ(burn(Tally::plain(1000, 1), budget, 1h), 720.0);
  EXPECT_DOUBLE_EQ(budget_left(Tally::plain(1'000'000, 1), budget), 0.0);
  EXPECT_DOUBLE_EQ(budget_left(Tally::plain(1000, 3), budget), -2.0);
  EXPECT_DOUBLE_EQ(burn(Tally::plain(1e9, 1e9), budget, 1h), kBurnMost);
}

}  // namespace
}  // namespace candor
