#include "monitor/change_checks.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

constexpr MonoTime checked_at(double seconds) { return MonoTime{static_cast<std::int64_t>(seconds * 1e9)}; }

const HeardChange kChange{ChangeId{20}, checked_at(100), checked_at(100.1)};

TierCopy copy(std::uint64_t up_to, double loaded) {
  TierCopy out;
  out.value = std::make_shared<const std::string>("v");
  out.stamp.up_to = ChangeId{up_to};
  out.loaded_at = checked_at(loaded);
  return out;
}

TEST(ChangeChecksTest, StampThatIncludesTheChangeIsNewEnough) {
  EXPECT_FALSE(lacks_change(copy(20, 90), kChange, true));
  EXPECT_FALSE(lacks_change(copy(25, 90), kChange, false));
}

TEST(ChangeChecksTest, ValueFromBeforeTheChangeIsOld) {
  EXPECT_TRUE(lacks_change(copy(19, 90), kChange, true));
  EXPECT_TRUE(lacks_change(copy(19, 90), kChange, false));
}

// A long transaction holds the bounds of all loads down.
TEST(ChangeChecksTest, BoundThatDeniesALaterLoadProvesNothing) {
  EXPECT_FALSE(lacks_change(copy(15, 101), kChange, true));
  TierCopy whole = copy(15, 101);
  whole.stamp.limit = ChangeId{30};
  whole.stamp.in_progress =
      std::make_shared<const std::vector<std::uint64_t>>(std::vector<std::uint64_t>{16});
  EXPECT_FALSE(lacks_change(whole, kChange, false));
  whole.stamp.in_progress =
      std::make_shared<const std::vector<std::uint64_t>>(std::vector<std::uint64_t>{16, 20});
  EXPECT_TRUE(lacks_change(whole, kChange, false)) << "the change was in progress when it was loaded";
}

TEST(ChangeChecksTest, LooksAfterTheUsualLagAndNotBefore) {
  ChangeChecks checks(1);
  checks.add(checked_at(100), "k", kChange, 1.0, 2s);
  EXPECT_TRUE(checks.take(checked_at(103.9), 10).empty());
  const auto due = checks.take(checked_at(104), 10);
  ASSERT_EQ(due.size(), 1u);
  EXPECT_EQ(due[0].key, "k");
  checks.add(checked_at(200), "k", kChange, 1.0, 0s);
  EXPECT_TRUE(checks.take(checked_at(200.9), 10).empty());
  EXPECT_EQ(checks.take(checked_at(201), 10).size(), 1u);
}

TEST(ChangeChecksTest, TiersThatHoldTheOldValueAreCounted) {
  ChangeChecks checks(1);
  checks.add(checked_at(100), "k", kChange, 1.0, 0s);
  const auto due = checks.take(checked_at(102), 10);
  ASSERT_EQ(due.size(), 1u);
  TierCopies held;
  checks.judge(due[0], held);
  held.l1 = copy(25, 101);
  held.l2 = copy(19, 90);
  checks.judge(due[0], held);
  held.l1 = copy(19, 90);
  checks.judge(due[0], held);
  EXPECT_EQ(checks.totals().checked, 3u);
  EXPECT_EQ(checks.totals().old_in_l1, 1u);
  EXPECT_EQ(checks.totals().old_in_l2, 2u);
}

TEST(ChangeChecksTest, TakesItsSampleAndIsBounded) {
  ChangeChecks checks(1);
  for (int i = 0; i < 10'000; ++i) checks.add(checked_at(1), "k", kChange, 0.05, 0s);
  EXPECT_NEAR(static_cast<double>(checks.waiting()), 500.0, 70.0);
  for (int i = 0; i < 10'000; ++i) checks.add(checked_at(1), "k", kChange, 1.0, 0s);
  EXPECT_EQ(checks.waiting(), ChangeChecks::kWaitingMax);
  EXPECT_EQ(checks.take(checked_at(5), 7).size(), 7u);
  EXPECT_EQ(checks.waiting(), ChangeChecks::kWaitingMax - 7);
}

}  // namespace
}  // namespace candor
