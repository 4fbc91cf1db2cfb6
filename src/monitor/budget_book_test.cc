#include "monitor/budget_book.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "monitor/interval.h"

namespace candor {
namespace {

constexpr Duration kDay = 24h;
const Budget kBudget{.max_staleness = 5s, .stale_fraction = 0.001, .window = 30 * kDay};

class BudgetBookTest : public ::testing::Test {
 protected:
  static std::vector<BudgetBook::Feature> features() {
    return {{"plain", std::nullopt}, {"profile", kBudget}, {"price", kBudget}};
  }
  FeatureExposure fill(BudgetBook& book, std::size_t feature, MonoTime now) {
    FeatureExposure out;
    book.fill(feature, out, now);
    return out;
  }
  void pass(Duration length, JudgedBy by, double reads, double fraction, std::size_t feature = 1) {
    for (const MonoTime end = now_ + length; now_ < end; now_ = now_ + 10s)
      book_.add(feature, by, now_, Tally::plain(reads, reads * fraction));
  }
  BudgetBook book_{features()};
  MonoTime now_{5'000'000'000};
};

TEST_F(BudgetBookTest, WithoutABudgetNothingIsKept) {
  const std::size_t before = book_.bytes();
  book_.add(0, now_, 1000, 1000);
  EXPECT_EQ(book_.bytes(), before);
  const auto out = fill(book_, 0, now_);
  EXPECT_EQ(out.state, BudgetState::kUnknown);
  EXPECT_TRUE(out.burn.empty());
}

TEST_F(BudgetBookTest, NotMeasuredIsSaidAndNotZero) {
  const auto out = fill(book_, 1, now_);
  EXPECT_EQ(out.state, BudgetState::kUnknown);
  EXPECT_FALSE(out.by_stream_window.is_measured());
  EXPECT_FALSE(out.by_origin_window.is_measured());
  EXPECT_EQ(out.reads_window, 0);
  ASSERT_EQ(out.burn.size(), 6u);
  EXPECT_EQ(out.burn[0].window, 5min);
  EXPECT_EQ(out.burn[5].window, 30 * kDay);
}

TEST_F(BudgetBookTest, FillsInWhatTheWindowsHold) {
  pass(10h, JudgedBy::kStream, 1000, 0.0005);
  const auto out = fill(book_, 1, now_);
  EXPECT_EQ(out.state, BudgetState::kOk);
  EXPECT_DOUBLE_EQ(out.by_stream_window.reads, 3'600'000);
  EXPECT_NEAR(out.by_stream_window.stale_fraction, 0.0005, 1e-9);
  EXPECT_LT(out.by_stream_window.low, 0.0005);
  EXPECT_GT(out.by_stream_window.high, 0.0005);
  EXPECT_NEAR(out.budget_remaining, 0.5, 1e-6);
  for (const BurnRate& burn : out.burn) EXPECT_NEAR(burn.rate, 0.5, 1e-6);
  EXPECT_EQ(fill(book_, 2, now_).state, BudgetState::kUnknown);
}

TEST_F(BudgetBookTest, WhatTheStreamDoesNotTellTheOriginDoes) {
  for (int i = 0; i < 360; ++i, now_ = now_ + 10s) {
    book_.add(1, JudgedBy::kStream, now_, Tally::plain(1000, 0));
    book_.add(1, JudgedBy::kOrigin, now_, Tally::plain(10, 1));
  }
  const auto out = fill(book_, 1, now_);
  EXPECT_EQ(out.state, BudgetState::kPage);
  EXPECT_NEAR(out.burn[0].rate, 100, 1);
  EXPECT_NEAR(out.by_origin_window.stale_fraction, 0.1, 1e-9);
  EXPECT_EQ(out.by_stream_window.stale_fraction, 0);
}

TEST_F(BudgetBookTest, AFewSamplesOfTheOriginDecideNothing) {
  pass(1h, JudgedBy::kStream, 1000, 0.0001);
  book_.add(1, JudgedBy::kOrigin, now_, Tally::plain(3, 1));
  const auto out = fill(book_, 1, now_);
  EXPECT_EQ(out.state, BudgetState::kOk);
  EXPECT_NEAR(out.budget_remaining, 0.9, 1e-6);
}

TEST_F(BudgetBookTest, CausesOfTheWindowAreFractionsOfReads) {
  Measured span{.reads = 50, .stale_fraction = 0.2};
  span.by_cause[0] = 0.15;
  span.by_cause[1] = 0.05;
  book_.add(1, JudgedBy::kOrigin, now_, Tally::of(span, 5000));
  const auto out = fill(book_, 1, now_);
  EXPECT_NEAR(out.by_origin_window.by_cause[0], 0.15, 1e-12);
  EXPECT_NEAR(out.by_origin_window.by_cause[1], 0.05, 1e-12);
  EXPECT_NEAR(out.by_origin_window.reads, 50, 1e-9);
}

// ---- restarts ----

TEST_F(BudgetBookTest, ARestartForgetsNothingAndTimeGoesOn) {
  pass(2h, JudgedBy::kStream, 1000, 0.0);
  pass(30min, JudgedBy::kOrigin, 20, 0.5);
  ASSERT_EQ(fill(book_, 1, now_).state, BudgetState::kPage);
  const std::string bytes = book_.save(now_, WallTime{1'000'000'000'000'000'000});
  // The machine started anew, so that its monotonic clock did as well; ten minutes have passed.
  BudgetBook next(features());
  const MonoTime later{3'000'000'000};
  const auto lines =
      next.restore(bytes, later, WallTime{1'000'000'000'000'000'000 + Duration{10min}.count()});
  ASSERT_TRUE(lines) << lines.error().message;
  EXPECT_TRUE(lines->empty());
  const auto was = fill(book_, 1, now_ + 10min);
  const auto is = fill(next, 1, later);
  EXPECT_EQ(is.state, was.state);
  EXPECT_EQ(is.budget_remaining, was.budget_remaining);
  ASSERT_EQ(is.burn.size(), was.burn.size());
  for (std::size_t i = 0; i < is.burn.size(); ++i) EXPECT_EQ(is.burn[i].rate, was.burn[i].rate) << i;
  // … and the incident leaves the day that it would have left.
  EXPECT_EQ(fill(next, 1, later + 30 * kDay).by_origin_window.reads, 0);
}

TEST_F(BudgetBookTest, AClockThatWasSetBackIsSaidAndLosesNothing) {
  pass(1h, JudgedBy::kStream, 10, 0.1);
  const std::string bytes = book_.save(now_, WallTime{Duration{100h}.count()});
  BudgetBook next(features());
  const auto lines = next.restore(bytes, MonoTime{0}, WallTime{Duration{50h}.count()});
  ASSERT_TRUE(lines);
  ASSERT_EQ(lines->size(), 1u);
  EXPECT_NE(lines->front().find("set back"), std::string::npos);
  EXPECT_EQ(fill(next, 1, MonoTime{0}).by_stream_window.reads, 3600);
}

TEST_F(BudgetBookTest, AnotherBudgetBeginsAnewAndTheLogSaysSo) {
  pass(1h, JudgedBy::kStream, 10, 0.1);
  pass(1h, JudgedBy::kStream, 10, 0.1, 2);
  const std::string bytes = book_.save(now_, WallTime{0});
  auto changed = features();
  changed[1].budget->max_staleness = 7s;
  changed.erase(changed.begin() + 2);
  BudgetBook next(changed);
  const auto lines = next.restore(bytes, now_, WallTime{0});
  ASSERT_TRUE(lines);
  EXPECT_EQ(*lines,
            (std::vector<std::string>{
                "the history of feature profile's budget (max_staleness 5s, window 30d) is dropped: its "
                "budget is another one now",
                "the history of feature price's budget (max_staleness 5s, window 30d) is dropped: it has "
                "no budget now"}));
  EXPECT_EQ(fill(next, 1, now_).state, BudgetState::kUnknown);
}

TEST_F(BudgetBookTest, AnotherFractionKeepsTheHistory) {
  pass(1h, JudgedBy::kStream, 1000, 0.01);
  auto changed = features();
  changed[1].budget->stale_fraction = 0.02;
  BudgetBook next(changed);
  ASSERT_TRUE(next.restore(book_.save(now_, WallTime{0}), now_, WallTime{0}));
  EXPECT_NEAR(fill(next, 1, now_).budget_remaining, 0.5, 1e-9);
}

TEST_F(BudgetBookTest, DamageIsNoticedAndLeavesTheBookAlone) {
  pass(1h, JudgedBy::kStream, 1000, 0.01);
  const std::string good = book_.save(now_, WallTime{0});
  Random random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string bad = good;
    if (i % 3 == 0)
      bad.resize(random.below(bad.size()));
    else
      bad[random.below(bad.size())] ^= static_cast<char>(1 + random.below(255));
    BudgetBook next(features());
    const auto restored = next.restore(bad, now_, WallTime{0});
    ASSERT_FALSE(restored) << i;
    ASSERT_EQ(restored.error().code, ErrorCode::kCorrupt);
    ASSERT_EQ(fill(next, 1, now_).state, BudgetState::kUnknown);
  }
}

// The checksum is no proof against a defect of ours: what it covers is looked at as well.
TEST_F(BudgetBookTest, NumbersThatCannotBeAreRefused) {
  pass(10s, JudgedBy::kStream, 1000, 0.01);
  Tally impossible = Tally::plain(10, 20);
  book_.add(1, JudgedBy::kStream, now_ + 1h, impossible);
  BudgetBook next(features());
  const auto restored = next.restore(book_.save(now_ + 1h, WallTime{0}), now_, WallTime{0});
  ASSERT_FALSE(restored);
  EXPECT_NE(restored.error().message.find("cannot have been written"), std::string::npos);
}

TEST(WilsonTest, IsHonestWhereNothingWasSeen) {
  EXPECT_EQ(wilson_interval(0, 0).high, 1.0);
  EXPECT_NEAR(wilson_interval(0, 100).high, 0.0370, 1e-3);
  EXPECT_EQ(wilson_interval(0, 100).low, 0.0);
  EXPECT_NEAR(wilson_interval(0.5, 100).low, 0.4038, 1e-3);
  EXPECT_NEAR(wilson_interval(0.5, 100).high, 0.5962, 1e-3);
}

}  // namespace
}  // namespace candor
