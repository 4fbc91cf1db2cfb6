#include "tier/l1/epoch.h"

#include <gtest/gtest.h>

#include <thread>

namespace candor::l1 {
namespace {

TEST(EpochDomainTest, WhatWasTaggedIsFreeWhenNobodyReads) {
  EpochDomain& epochs = EpochDomain::instance();
  const std::uint64_t tag = epochs.tag();
  EXPECT_LT(tag, epochs.advance());
}

TEST(EpochDomainTest, AReaderHoldsWhatWasTaggedSinceItBegan) {
  EpochDomain& epochs = EpochDomain::instance();
  EpochDomain::Slot* slot = epochs.enter();
  const std::uint64_t tag = epochs.tag();
  EXPECT_GE(tag, epochs.advance());
  EXPECT_GE(tag, epochs.advance());
  EpochDomain::leave(slot);
  EXPECT_LT(tag, epochs.advance());
}

TEST(EpochDomainTest, AReaderThatBeganLaterHoldsNothingOlder) {
  EpochDomain& epochs = EpochDomain::instance();
  const std::uint64_t tag = epochs.tag();
  (void)epochs.advance();
  EpochDomain::Slot* slot = epochs.enter();
  EXPECT_LT(tag, epochs.advance());
  EpochDomain::leave(slot);
}

TEST(EpochDomainTest, TheOuterGuardCounts) {
  EpochDomain& epochs = EpochDomain::instance();
  EpochDomain::Slot* outer = epochs.enter();
  const std::uint64_t tag = epochs.tag();
  EpochDomain::leave(epochs.enter());
  EXPECT_TRUE(EpochDomain::this_thread_reads());
  EXPECT_GE(tag, epochs.advance());
  EpochDomain::leave(outer);
  EXPECT_FALSE(EpochDomain::this_thread_reads());
}

TEST(EpochDomainTest, AThreadThatEndsGivesItsSlotToTheNext) {
  EpochDomain& epochs = EpochDomain::instance();
  const auto slot_of_a_thread = [&] {
    EpochDomain::Slot* slot = nullptr;
    std::thread([&] {
      slot = epochs.enter();
      EpochDomain::leave(slot);
    }).join();
    return slot;
  };
  EXPECT_EQ(slot_of_a_thread(), slot_of_a_thread());
}

}  // namespace
}  // namespace candor::l1
