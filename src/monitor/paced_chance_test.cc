#include "monitor/paced_chance.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

TEST(PacedChanceTest, FallsAtOnceAndRisesBySteps) {
  PacedChance chance(1.0);
  chance.pace(100'000, 200, 1.0);
  EXPECT_DOUBLE_EQ(chance.get(), 0.002);
  chance.pace(1, 200, 1.0);
  EXPECT_DOUBLE_EQ(chance.get(), 0.003);
}

TEST(PacedChanceTest, SettlesWhereAsManyAreLookedAtAsAllowed) {
  PacedChance chance(1.0);
  for (int i = 0; i < 50; ++i) chance.pace(chance.get() * 1e6, 200, 1.0);
  EXPECT_NEAR(chance.get(), 2e-4, 1e-6);
}

TEST(PacedChanceTest, NeverAboveTheMost) {
  PacedChance chance(0.5);
  for (int i = 0; i < 50; ++i) chance.pace(0, 200, 0.7);
  EXPECT_DOUBLE_EQ(chance.get(), 0.7);
}

TEST(PacedChanceTest, AChanceOfNoneBeginsAgain) {
  PacedChance chance(0.0);
  chance.pace(0, 200, 1.0);
  EXPECT_DOUBLE_EQ(chance.get(), 1.0);
}

}  // namespace
}  // namespace candor
