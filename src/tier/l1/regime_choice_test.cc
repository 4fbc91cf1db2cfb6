#include "tier/l1/regime_choice.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace candor::l1 {
namespace {

constexpr Rehearsal::Misses kAllMissed = (Rehearsal::Misses{1} << Rehearsal::kCaches) - 1;

Rehearsal::Misses all_but(unsigned which) { return kAllMissed & ~(Rehearsal::Misses{1} << which); }

TEST(RegimeChoice, StaysWhereItIsWhileAllAreEqual) {
  RegimeChoice choice(1000, 3);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_FALSE(choice.record(kAllMissed));
    EXPECT_FALSE(choice.record(0));
  }
  EXPECT_EQ(choice.current(), 3U);
}

TEST(RegimeChoice, FollowsTheOneThatMissesLess) {
  RegimeChoice choice(1000, 3);
  for (int i = 0; i < 10; ++i) (void)choice.record(all_but(5));
  EXPECT_EQ(choice.current(), 5U);
}

TEST(RegimeChoice, OneLuckyRequestIsNotEnough) {
  RegimeChoice choice(1000, 3);
  EXPECT_FALSE(choice.record(all_but(5)));
}

TEST(RegimeChoice, ComesBackWhenTheLoadChanges) {
  RegimeChoice choice(200, 3);
  for (int i = 0; i < 2000; ++i) (void)choice.record(all_but(5));
  EXPECT_EQ(choice.current(), 5U);
  int needed = 0;
  while (choice.current() != 0 && needed < 2000) {
    (void)choice.record(all_but(0));
    ++needed;
  }
  EXPECT_LT(needed, 400);  // two windows
}

TEST(RegimeChoice, NoiseAloneSeldomChangesIt) {
  // Every request, each regime hits or misses by the toss of a coin.
  RegimeChoice choice(5000, 0);
  Random random(1);
  int changes = 0;
  for (int i = 0; i < 100000; ++i) {
    if (choice.record(static_cast<Rehearsal::Misses>(random()) & kAllMissed)) ++changes;
  }
  EXPECT_LT(changes, 300);
}

}  // namespace
}  // namespace candor::l1
