#include "capacity/memory_line.h"

#include <gtest/gtest.h>

namespace candor::capacity {
namespace {

constexpr std::size_t kL1 = 640;
constexpr std::size_t kProcess = 1000;

TEST(MemoryLine, BelowItNothingHappens) {
  MemoryLine line(kL1);
  EXPECT_EQ(line.decide({kProcess, 700}, 500, MonoTime{1}), kL1);
  EXPECT_FALSE(line.is_pressed());
  EXPECT_NEAR(line.pressure(), 700.0 / 800, 1e-9);
}

TEST(MemoryLine, WithoutALimitNothingHappens) {
  MemoryLine line(kL1);
  EXPECT_EQ(line.decide({0, 5000}, 500, MonoTime{1}), kL1);
  EXPECT_EQ(line.pressure(), 0);
}

TEST(MemoryLine, AboveItL1GivesWhatIsTooMuchAndNoMoreWhileItShrinks) {
  MemoryLine line(kL1);
  EXPECT_EQ(line.decide({kProcess, 900}, 600, MonoTime{1}), 500U);
  // It has given 40 of the 100; the rest is still wanted.
  EXPECT_EQ(line.decide({kProcess, 860}, 560, MonoTime{2}), 500U);
  EXPECT_TRUE(line.is_pressed());
}

TEST(MemoryLine, BetweenTwoDecisionsItDoesNotGrowAboveTheWatermark) {
  MemoryLine line(kL1);
  EXPECT_EQ(line.hold({kProcess, 790}, 600), kL1);
  EXPECT_EQ(line.hold({kProcess, 810}, 500), 500U + kL1 / MemoryLine::kHeldRoomPart);
  EXPECT_EQ(line.hold({kProcess, 850}, 490), 490U + kL1 / MemoryLine::kHeldRoomPart);
  EXPECT_EQ(line.hold({kProcess, 850}, 1), kL1 / MemoryLine::kLeastPart);
  EXPECT_EQ(line.hold({kProcess, 700}, 10), kL1 / MemoryLine::kLeastPart) << "decide() lets it grow again";
  EXPECT_EQ(MemoryLine(kL1).hold({0, 5000}, 10), kL1);
}

TEST(MemoryLine, ALeastPartStays) {
  MemoryLine line(kL1);
  EXPECT_EQ(line.decide({kProcess, 5000}, 600, MonoTime{1}), kL1 / MemoryLine::kLeastPart);
}

TEST(MemoryLine, GrowsBackSlowlyAndOnlyWhenItIsCalm) {
  MemoryLine line(kL1);
  MonoTime now{1};
  (void)line.decide({kProcess, 900}, 600, now);
  EXPECT_EQ(line.decide({kProcess, 780}, 500, now = now + 60s), 500U);  // between calm and the line: as it is
  EXPECT_EQ(line.decide({kProcess, 500}, 500, now = now + 1s), 520U);
  EXPECT_EQ(line.decide({kProcess, 500}, 500, now = now + 1s), 520U);
  EXPECT_EQ(line.decide({kProcess, 500}, 500, now = now + 10s), 540U);
  for (int i = 0; i < 20; ++i) (void)line.decide({kProcess, 500}, 500, now = now + 10s);
  EXPECT_EQ(line.allowed(), kL1);
  EXPECT_FALSE(line.is_pressed());
}

TEST(MemoryLine, WaitingForMemoryIsPressureBeforeTheLine) {
  MemoryLine line(kL1);
  EXPECT_EQ(line.decide({kProcess, 700, 0.3}, 600, MonoTime{1}), 580U);
  MemoryLine idle(kL1);
  EXPECT_EQ(idle.decide({kProcess, 100, 0.3}, 50, MonoTime{1}), kL1);  // somebody else's trouble
}

}  // namespace
}  // namespace candor::capacity
