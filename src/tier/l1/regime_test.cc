#include "tier/l1/regime.h"

#include <gtest/gtest.h>

#include <array>

namespace candor::l1 {
namespace {

using Action = HeadDecision::Action;
using Levels = std::array<QueueLevel, kQueuesMax>;

Levels levels(std::size_t young, std::size_t second, std::size_t third, std::size_t main) {
  return {{{young, young}, {second, second}, {third, third}, {main, main}}};
}

constexpr const Regime& kByGenerations = kRegimes[0];
constexpr const Regime& kClock = kRegimes[1];
constexpr const Regime& kHalf = kRegimes[2];
constexpr const Regime& kLuck = kRegimes[5];

TEST(Regime, AGenerationAboveItsShareIsExaminedFirst) {
  EXPECT_EQ(queue_to_examine(kByGenerations, levels(26, 25, 25, 24)), 0U);
  EXPECT_EQ(queue_to_examine(kByGenerations, levels(25, 26, 25, 24)), 1U);
  EXPECT_EQ(queue_to_examine(kByGenerations, levels(25, 25, 25, 25)), 3U);
}

TEST(Regime, UnreadEntriesAgeByOneGenerationAndLeaveFromTheOldest) {
  for (unsigned queue = 0; queue < kMainQueue; ++queue) {
    const Verdict verdict = judge_head(kByGenerations, queue, 0);
    EXPECT_EQ(verdict.decision.action, Action::kMove);
    EXPECT_EQ(verdict.decision.queue, queue + 1);
  }
  EXPECT_EQ(judge_head(kByGenerations, kMainQueue, 0).decision.action, Action::kEvict);
}

TEST(Regime, ReadEntriesBecomeYoungAgain) {
  for (unsigned queue = 0; queue < kGenerations; ++queue) {
    const Verdict verdict = judge_head(kByGenerations, queue, 5);
    EXPECT_EQ(verdict.decision.action, Action::kMove);
    EXPECT_EQ(verdict.decision.queue, kYoungQueue);
    EXPECT_EQ(verdict.decision.accesses, 0U);
  }
}

TEST(Regime, ClockSavesUpThreeRoundsAtMost) {
  EXPECT_EQ(judge_head(kClock, kMainQueue, 7).decision.accesses, 2U);
  EXPECT_EQ(judge_head(kClock, kMainQueue, 1).decision.accesses, 0U);
  EXPECT_EQ(judge_head(kClock, kMainQueue, 0).decision.action, Action::kEvict);
}

TEST(Regime, ProbationIsExaminedWhenItHasItsShare) {
  EXPECT_EQ(queue_to_examine(kHalf, levels(50, 0, 0, 50)), kYoungQueue);
  EXPECT_EQ(queue_to_examine(kHalf, levels(49, 0, 0, 51)), kMainQueue);
}

TEST(Regime, ProbationPromotesAtTwoReadsAndRemembersTheOthers) {
  EXPECT_EQ(judge_head(kHalf, kYoungQueue, 2).decision.queue, kMainQueue);
  const Verdict verdict = judge_head(kHalf, kYoungQueue, 1);
  EXPECT_EQ(verdict.decision.action, Action::kEvict);
  EXPECT_TRUE(verdict.remember);
}

TEST(Regime, GhostAndLuckLeadToMain) {
  EXPECT_EQ(queue_for_new(kHalf, false, false), kYoungQueue);
  EXPECT_EQ(queue_for_new(kHalf, true, false), kMainQueue);
  EXPECT_EQ(queue_for_new(kLuck, false, true), kMainQueue);
}

TEST(Regime, NeverExaminesAnEmptyQueue) {
  for (const Regime& regime : kRegimes) {
    for (unsigned filled = 1; filled < 16; ++filled) {
      Levels some{};
      for (unsigned queue = 0; queue < kQueuesMax; ++queue) {
        if ((filled >> queue & 1) != 0) some[queue] = {1, 1};
      }
      EXPECT_NE(some[queue_to_examine(regime, some)].entries, 0U) << regime.name << " " << filled;
    }
  }
}

TEST(Regime, FillsMainUpToItsShare) {
  EXPECT_TRUE(fills_main(kHalf, 49, 100));
  EXPECT_FALSE(fills_main(kHalf, 50, 100));
  EXPECT_FALSE(fills_main(kByGenerations, 25, 100));
  EXPECT_TRUE(fills_main(kClock, 99, 100));
}

}  // namespace
}  // namespace candor::l1
