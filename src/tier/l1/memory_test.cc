#include "tier/l1/memory.h"

#include <gtest/gtest.h>

#include <cstring>

namespace candor::l1 {
namespace {

TEST(MemoryBudgetTest, RefusesWhatWouldPassTheLimitOrTheReserve) {
  MemoryBudget budget(100);
  EXPECT_TRUE(budget.try_charge(60));
  EXPECT_FALSE(budget.try_charge(41));
  EXPECT_FALSE(budget.try_charge(20, 30));
  EXPECT_TRUE(budget.try_charge(40));
  budget.release(100);
  EXPECT_EQ(budget.used(), 0);
}

TEST(SegmentArenaTest, OffsetsAndAddressesAreTheSameThing) {
  MemoryBudget budget(std::size_t{1} << 20);
  SegmentArena arena(budget, 16384);
  std::byte* at = arena.segment_at(5) + 48;
  EXPECT_EQ(arena.at(arena.offset_of(at)), at);
  EXPECT_EQ(arena.segment_of(arena.offset_of(at)), 5);
  EXPECT_NE(arena.offset_of(arena.segment_at(0)), 0) << "0 means an empty slot";
}

TEST(SegmentArenaTest, AFreeResidentSegmentStaysChargedUntilItIsTrimmed) {
  MemoryBudget budget(65536);
  SegmentArena arena(budget, 16384);
  const std::uint32_t segment = arena.take(0);
  EXPECT_EQ(budget.used(), 16384);
  std::memset(arena.segment_at(segment), 1, 16384);
  arena.give_back(segment);
  EXPECT_EQ(budget.used(), 16384);
  arena.trim(0);
  EXPECT_EQ(budget.used(), 0);
  EXPECT_EQ(arena.segment_at(segment)[0], std::byte{0}) << "the page was given back";
}

TEST(SegmentArenaTest, FreeResidentSegmentsCountTowardsTheReserve) {
  MemoryBudget budget(65536);
  SegmentArena arena(budget, 16384);
  std::uint32_t taken[4];
  for (std::uint32_t& segment : taken) segment = arena.take(0);
  EXPECT_EQ(arena.take(0), SegmentArena::kNone);
  arena.give_back(taken[0]);
  EXPECT_EQ(arena.take(16384), SegmentArena::kNone);
  arena.give_back(taken[1]);
  EXPECT_NE(arena.take(16384), SegmentArena::kNone);
}

TEST(PageHeapTest, GivesZeroedPagesAndMergesNeighbours) {
  PageHeap heap(16 * kPageBytes);
  void* a = heap.allocate(8 * kPageBytes);
  void* b = heap.allocate(8 * kPageBytes);
  ASSERT_NE(a, nullptr);
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(heap.allocate(1), nullptr);
  std::memset(a, 1, 8 * kPageBytes);
  heap.free(a, 8 * kPageBytes);
  heap.free(b, 8 * kPageBytes);
  void* whole = heap.allocate(16 * kPageBytes);
  ASSERT_NE(whole, nullptr);
  EXPECT_EQ(static_cast<unsigned char*>(whole)[100], 0);
}

}  // namespace
}  // namespace candor::l1
