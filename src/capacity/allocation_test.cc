#include "capacity/allocation.h"

#include <gtest/gtest.h>

namespace candor::capacity {
namespace {

TEST(Allocation, TheHullLeavesOutWhatIsNoCorner) {
  const CostPoint points[] = {{0, 100}, {10, 95}, {20, 20}, {30, 18}, {40, 18}};
  const auto hull = lower_hull(points);
  ASSERT_EQ(hull.size(), 3U);
  EXPECT_EQ(hull[1].bytes, 20);
  EXPECT_EQ(hull[2].bytes, 30);
}

TEST(Allocation, WhoSavesMoreByAByteComesFirst) {
  const std::vector<std::vector<CostPoint>> curves = {{{0, 100}, {50, 0}}, {{0, 30}, {50, 0}}};
  const auto bytes = allocate(curves, 70);
  EXPECT_EQ(bytes[0], 50);
  EXPECT_EQ(bytes[1], 20);
}

// A loop saves nothing until all of it fits: its curve has a cliff, and its hull a straight way there.
TEST(Allocation, ALoopThatFitsIsTakenBeforeASlowGain) {
  const std::vector<std::vector<CostPoint>> curves = {{{0, 100}, {40, 100}, {50, 0}},
                                                      {{0, 50}, {50, 25}, {100, 0}}};
  const auto bytes = allocate(curves, 60);
  EXPECT_EQ(bytes[0], 50);
  EXPECT_EQ(bytes[1], 10);
}

TEST(Allocation, WhatNobodyCanUseIsGivenToNobody) {
  const std::vector<std::vector<CostPoint>> curves = {{{0, 10}, {50, 0}, {100, 0}}, {}};
  const auto bytes = allocate(curves, 1000);
  EXPECT_EQ(bytes[0], 50);
  EXPECT_EQ(bytes[1], 0);
}

}  // namespace
}  // namespace candor::capacity
