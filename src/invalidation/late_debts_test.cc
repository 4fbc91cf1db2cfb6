#include "invalidation/late_debts.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

MonoTime at(int seconds) { return MonoTime{1'000'000'000LL * seconds}; }
ProbeAnswer answer(int asked, std::uint64_t all_up_to, std::uint64_t next) {
  return {at(asked), at(asked) + 1ms, {Incarnation{1}, Position{1}, ChangeId{all_up_to}, ChangeId{next}}};
}

TEST(LateDebtsTest, DueWhenVisibleAndEveryLeaseHasEnded) {
  LateDebts debts;
  debts.add("user", Position{10}, ChangeId{5}, at(1));
  EXPECT_EQ(debts.first_position(), Position{10});
  debts.on_probe(answer(2, 4, 6));
  EXPECT_TRUE(debts.due(at(100), 3s).empty());
  debts.on_probe(answer(3, 5, 6));
  EXPECT_TRUE(debts.due(at(8), 3s).empty());
  const auto due = debts.due(at(10), 3s);
  ASSERT_EQ(due.size(), 1u);
  debts.settle(due[0]);
  EXPECT_FALSE(debts.first_position());
}

TEST(LateDebtsTest, WhatTheFeedMissedIsBelowTheNextOfAProbeAskedAfterwards) {
  LateDebts debts;
  debts.add({}, Position{10}, std::nullopt, at(5));
  debts.on_probe(answer(4, 99, 100));  // asked before
  EXPECT_TRUE(debts.due(at(100), 3s).empty());
  debts.on_probe(answer(6, 40, 50));  // 41..49 may be what was missed
  EXPECT_TRUE(debts.due(at(100), 3s).empty());
  debts.on_probe(answer(7, 49, 60));
  EXPECT_EQ(debts.due(at(100), 3s).size(), 1u);
}

TEST(LateDebtsTest, DebtThatGrewWhileItWasPaidStays) {
  LateDebts debts;
  debts.add("user", Position{10}, ChangeId{5}, at(1));
  debts.on_probe(answer(2, 5, 6));
  const auto due = debts.due(at(20), 3s);
  debts.add("user", Position{20}, ChangeId{9}, at(20));
  debts.settle(due.at(0));
  EXPECT_EQ(debts.first_position(), Position{10});
  EXPECT_TRUE(debts.due(at(100), 3s).empty());
}

TEST(LateDebtsTest, TooManyFeaturesAreOneDebtOfEverything) {
  LateDebts debts;
  for (std::uint64_t n = 0; n < 2 * LateDebts::kDebtsMax; ++n) {
    debts.add("f" + std::to_string(n), Position{n + 1}, ChangeId{n + 1}, at(1));
  }
  EXPECT_LE(debts.size(), LateDebts::kDebtsMax);
  EXPECT_EQ(debts.first_position(), Position{1});
  debts.on_probe(answer(2, 2 * LateDebts::kDebtsMax, 1000));
  bool everything = false;
  for (const auto& debt : debts.due(at(100), 3s)) everything = everything || debt.feature.empty();
  EXPECT_TRUE(everything);
}

}  // namespace
}  // namespace candor
