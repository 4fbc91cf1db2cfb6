#include "sim/linearizability.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/random.h"

namespace candor::sim {
namespace {

using Kind = RegisterOperation::Kind;
using RegisterHistory = std::vector<RegisterOperation>;

RegisterOperation read(std::uint64_t value, std::int64_t from, std::int64_t to) {
  return {.kind = Kind::kRead, .value = value, .invoked = from, .responded = to};
}
RegisterOperation write(std::uint64_t value, std::int64_t from, std::int64_t to = kNever) {
  return {.kind = Kind::kWrite, .value = value, .invoked = from, .responded = to};
}
RegisterOperation erase(std::int64_t from, std::int64_t to = kNever) { return write(kAbsent, from, to); }
RegisterOperation swap(std::uint64_t expected, std::uint64_t value, bool applied, std::int64_t from,
                       std::int64_t to = kNever) {
  return {.kind = Kind::kCompareAndSet,
          .applied = applied,
          .value = value,
          .expected = expected,
          .invoked = from,
          .responded = to};
}

// Both engines where both can, so that neither hides behind the other.
Linearizable verdict(const RegisterHistory& history) {
  const auto searched = check_by_search(history, {});
  EXPECT_EQ(check_register(history), searched);
  return searched;
}

TEST(LinearizabilityTest, NothingIsLinearizable) { EXPECT_EQ(verdict({}), Linearizable::kYes); }

TEST(LinearizabilityTest, ReadOfTheOldValueAfterTheWriteAnsweredIsNot) {
  EXPECT_EQ(verdict({write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)}), Linearizable::kNo);
}

TEST(LinearizabilityTest, ReadOfTheOldValueBesideTheWriteIs) {
  EXPECT_EQ(verdict({write(1, 0, 1), write(2, 2, 6), read(1, 4, 5)}), Linearizable::kYes);
}

TEST(LinearizabilityTest, OnceTheNewValueWasSeenTheOldOneIsGone) {
  EXPECT_EQ(verdict({write(1, 0, 1), write(2, 2, 9), read(2, 3, 4), read(1, 5, 6)}), Linearizable::kNo);
}

TEST(LinearizabilityTest, ValueNobodyWroteIsNot) {
  EXPECT_EQ(verdict({write(1, 0, 1), read(7, 2, 3)}), Linearizable::kNo);
}

TEST(LinearizabilityTest, ReadThatEndedBeforeItsWriteBeganIsNot) {
  EXPECT_EQ(verdict({read(1, 0, 1), write(1, 2, 3)}), Linearizable::kNo);
}

TEST(LinearizabilityTest, InitialValueMayBeReadUntilTheFirstWriteAnswered) {
  EXPECT_EQ(verdict({read(kAbsent, 0, 1), write(1, 2, 3)}), Linearizable::kYes);
  EXPECT_EQ(verdict({write(1, 0, 1), read(kAbsent, 2, 3)}), Linearizable::kNo);
}

TEST(LinearizabilityTest, WriteOfUnknownOutcomeMayShowLateOrNever) {
  EXPECT_EQ(verdict({write(1, 0, 1), write(2, 2), read(1, 3, 4), read(1, 5, 6)}), Linearizable::kYes);
  EXPECT_EQ(verdict({write(1, 0, 1), write(2, 2), read(1, 3, 4), read(2, 5, 6)}), Linearizable::kYes);
}

TEST(LinearizabilityTest, WriteOfUnknownOutcomeShowsOnceAndThenStays) {
  EXPECT_EQ(verdict({write(1, 0, 1), write(2, 2), read(2, 3, 4), read(1, 5, 6)}), Linearizable::kNo);
}

TEST(LinearizabilityTest, EraseMakesTheValueAbsent) {
  EXPECT_EQ(verdict({write(1, 0, 1), erase(2, 3), read(kAbsent, 4, 5), write(2, 6, 7), erase(8, 9),
                     read(kAbsent, 10, 11)}),
            Linearizable::kYes);
  EXPECT_EQ(verdict({write(1, 0, 1), erase(2, 3), write(2, 4, 5), erase(6, 7), read(2, 8, 9)}),
            Linearizable::kNo);
}

TEST(LinearizabilityTest, EraseOfUnknownOutcomeMayExplainOneAbsenceOnly) {
  EXPECT_EQ(verdict({write(1, 0, 1), erase(2), read(kAbsent, 3, 4)}), Linearizable::kYes);
  EXPECT_EQ(verdict({write(1, 0, 1), erase(2), read(kAbsent, 3, 4), write(2, 5, 6), read(kAbsent, 7, 8)}),
            Linearizable::kNo);
}

TEST(LinearizabilityTest, CompareAndSetNeedsItsValue) {
  EXPECT_EQ(verdict({write(1, 0, 1), swap(1, 2, true, 2, 3), read(2, 4, 5)}), Linearizable::kYes);
  EXPECT_EQ(verdict({write(1, 0, 1), swap(3, 2, true, 2, 3)}), Linearizable::kNo);
  EXPECT_EQ(verdict({write(1, 0, 1), swap(1, 2, false, 2, 3)}), Linearizable::kNo);
}

TEST(LinearizabilityTest, OpenCompareAndSetsMayChain) {
  EXPECT_EQ(verdict({write(1, 0, 1), swap(1, 2, true, 2), swap(2, 3, true, 2), read(3, 4, 5)}),
            Linearizable::kYes);
}

TEST(LinearizabilityTest, TouchingOperationsOverlap) {
  EXPECT_EQ(verdict({write(1, 0, 1), write(2, 2, 4), read(1, 4, 5)}), Linearizable::kYes);
}

TEST(LinearizabilityTest, GivesUpAtItsLimitInsteadOfPassing) {
  RegisterHistory history;
  for (int i = 0; i < 20; ++i) history.push_back(erase(0, 100));
  for (std::uint64_t i = 0; i < 20; ++i) history.push_back(write(i + 1, 0, 100));
  history.push_back(read(99, 101, 102));
  EXPECT_EQ(check_by_search(history, {.states_max = 1000}), Linearizable::kUndecided);
}

// ---- the shortest part ----

TEST(LinearizabilityTest, ShortestPartOfALongHistoryIsItsThreeOperations) {
  RegisterHistory history;
  std::int64_t t = 0;
  for (std::uint64_t v = 1; v <= 200; ++v, t += 10) {
    history.push_back(write(v, t, t + 1));
    history.push_back(read(v, t + 2, t + 3));
    if (v == 150) history.push_back(read(140, t + 4, t + 5));
  }
  const auto part = shortest_violation(history);
  ASSERT_EQ(part.size(), 3U);  // write 140, another operation that shows a later value, read of 140
  EXPECT_EQ(history[part[0]].value, 140U);
  EXPECT_EQ(history[part[2]].value, 140U);
  EXPECT_GT(history[part[1]].value, 140U);
}

TEST(LinearizabilityTest, ShortestPartWithErasesKeepsWhatItNeeds) {
  RegisterHistory history;
  std::int64_t t = 0;
  for (std::uint64_t v = 1; v <= 50; ++v, t += 10) {
    history.push_back(write(v, t, t + 1));
    history.push_back(erase(t + 2, t + 3));
    history.push_back(read(kAbsent, t + 4, t + 5));
  }
  history.push_back(read(50, t, t + 1));
  const auto part = shortest_violation(history);
  EXPECT_LE(part.size(), 3U);
  EXPECT_EQ(history[part.back()].value, 50U);
}

TEST(LinearizabilityTest, NoPartIsShownOfAGoodHistory) {
  EXPECT_TRUE(shortest_violation(RegisterHistory{write(1, 0, 1), read(1, 2, 3)}).empty());
}

// ---- against a checker that tries every order ----

bool try_all(const RegisterHistory& history, std::vector<bool>& taken, std::uint64_t value) {
  bool open_left = false;
  std::int64_t fence = kNever;
  for (std::size_t i = 0; i < history.size(); ++i) {
    if (taken[i]) continue;
    open_left |= history[i].responded != kNever;
    fence = std::min(fence, history[i].responded);
  }
  if (!open_left) return true;
  for (std::size_t i = 0; i < history.size(); ++i) {
    const auto& op = history[i];
    if (taken[i] || op.invoked > fence) continue;
    std::uint64_t next = value;
    const bool answered = op.responded != kNever;
    if (op.kind == Kind::kRead && answered && op.value != value) continue;
    if (op.kind == Kind::kWrite) next = op.value;
    if (op.kind == Kind::kCompareAndSet) {
      if (answered && op.applied != (op.expected == value)) continue;
      if (op.expected == value) next = op.value;
    }
    taken[i] = true;
    if (try_all(history, taken, next)) return true;
    taken[i] = false;
  }
  return false;
}
bool naive(const RegisterHistory& history) {
  std::vector<bool> taken(history.size());
  return try_all(history, taken, kAbsent);
}

// `distinct`: every write another value, no erases and no compare-and-sets.
RegisterHistory random_history(Random& random, bool distinct, bool swaps) {
  RegisterHistory history;
  const std::size_t count = 1 + random.below(7);
  for (std::size_t i = 0; i < count; ++i) {
    RegisterOperation op;
    op.invoked = static_cast<std::int64_t>(random.below(16));
    op.responded = op.invoked + 1 + static_cast<std::int64_t>(random.below(8));
    const auto kind = random.below(swaps ? 3 : 2);
    op.kind = kind == 0 ? Kind::kRead : kind == 1 ? Kind::kWrite : Kind::kCompareAndSet;
    op.value = distinct && op.kind == Kind::kWrite ? i + 1 : random.below(distinct ? count + 1 : 3);
    op.expected = random.below(3);
    op.applied = random.below(2) == 0;
    if (random.below(5) == 0) op.responded = kNever;
    history.push_back(op);
  }
  return history;
}

RC_GTEST_PROP(LinearizabilityProperty, ZonesAgreeWithEveryOrderTried, (std::uint64_t seed)) {
  Random random(seed);
  const RegisterHistory history = random_history(random, true, false);
  RC_ASSERT(has_distinct_values(history, kAbsent));
  RC_ASSERT(check_by_zones(history, kAbsent) == naive(history));
}

RC_GTEST_PROP(LinearizabilityProperty, SearchAgreesWithEveryOrderTried, (std::uint64_t seed)) {
  Random random(seed);
  for (const bool swaps : {false, true}) {
    const RegisterHistory history = random_history(random, random.below(2) == 0, swaps);
    const auto expected = naive(history) ? Linearizable::kYes : Linearizable::kNo;
    RC_ASSERT(check_by_search(history, {}) == expected);
    RC_ASSERT(check_register(history) == expected);
  }
}

RC_GTEST_PROP(LinearizabilityProperty, ShortestPartFailsByItselfAndNothingCanLeaveIt, (std::uint64_t seed)) {
  Random random(seed);
  const RegisterHistory history = random_history(random, random.below(2) == 0, false);
  const auto part = shortest_violation(history);
  RC_ASSERT(part.empty() == naive(history));
  RegisterHistory operations;
  for (const auto i : part) operations.push_back(history[i]);
  RC_ASSERT(part.empty() || !naive(operations));
  for (std::size_t leave = 0; leave < operations.size(); ++leave) {
    if (operations[leave].kind != Kind::kRead) continue;
    RegisterHistory fewer = operations;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(leave));
    RC_ASSERT(naive(fewer));
  }
}

// ---- long synthetic histories of both kinds ----

// A real register driven by `clients` that overlap: linearizable by construction. Some answers get lost.
RegisterHistory simulated(Random& random, std::size_t count, std::size_t clients, bool erases) {
  RegisterHistory history;
  std::vector<std::int64_t> free_at(clients, 0);
  std::vector<std::pair<std::int64_t, std::size_t>> effects;  // time, operation
  for (std::size_t i = 0; i < count; ++i) {
    auto& free = *std::ranges::min_element(free_at);
    RegisterOperation op;
    op.invoked = free + static_cast<std::int64_t>(random.below(20));
    op.responded = op.invoked + 2 + static_cast<std::int64_t>(random.below(100));
    op.kind = random.below(10) < 7 ? Kind::kRead : Kind::kWrite;
    op.value = erases && random.below(4) == 0 ? kAbsent : i + 1;
    const auto took = static_cast<std::uint64_t>(op.responded - op.invoked);
    effects.emplace_back(op.invoked + static_cast<std::int64_t>(random.below(took)), i);
    free = op.responded + 1;
    if (random.below(20) == 0) op.responded = kNever;
    history.push_back(op);
  }
  std::ranges::sort(effects);
  std::uint64_t value = kAbsent;
  for (const auto& [time, i] : effects) {
    auto& op = history[i];
    if (op.kind == Kind::kRead) {
      op.value = value;
    } else if (op.responded != kNever || random.below(2) == 0) {
      value = op.value;
    }
  }
  return history;
}

// One read late in the history shows what was overwritten long before.
void plant_stale_read(RegisterHistory& history) {
  std::size_t old_write = 0, late_read = 0;
  for (std::size_t i = 0; i < history.size(); ++i) {
    const auto& op = history[i];
    if (op.responded == kNever) continue;
    if (op.kind == Kind::kWrite && op.value != kAbsent && i < history.size() / 2) old_write = i;
    if (op.kind == Kind::kRead) late_read = i;
  }
  history[late_read].value = history[old_write].value;
}

class LongHistory : public testing::TestWithParam<bool> {};

TEST_P(LongHistory, OfARealRegisterIsLinearizable) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    Random random(seed);
    EXPECT_EQ(check_register(simulated(random, 1000, 6, GetParam())), Linearizable::kYes) << seed;
  }
}

TEST_P(LongHistory, WithOneStaleReadIsNot) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    Random random(seed);
    RegisterHistory history = simulated(random, 1000, 6, GetParam());
    plant_stale_read(history);
    EXPECT_EQ(check_register(history), Linearizable::kNo) << seed;
  }
}

TEST_P(LongHistory, ShowsItsStaleReadInFewOperations) {
  Random random(5);
  RegisterHistory history = simulated(random, 1000, 6, GetParam());
  plant_stale_read(history);
  const auto part = shortest_violation(history);
  EXPECT_GE(part.size(), 2U);
  EXPECT_LE(part.size(), 4U);
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutErases, LongHistory, testing::Bool());

}  // namespace
}  // namespace candor::sim
