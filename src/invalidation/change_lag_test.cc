#include "invalidation/change_lag.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

ChangeLag::Runs one() { return {{WallTime{1}, 1}}; }

TEST(ChangeLagTest, TellsWhenAPositionCameBy) {
  ChangeLag lag;
  lag.record(one(), WallTime{100}, Position{5});
  lag.record(one(), WallTime{200}, Position{9});
  EXPECT_EQ(lag.when(Position{5}), WallTime{100});
  EXPECT_EQ(lag.when(Position{6}), WallTime{200});
  EXPECT_EQ(lag.when(Position{9}), WallTime{200});
  EXPECT_FALSE(lag.when(Position{10}).has_value());
  // It may have come with an earlier batch that nobody remembers.
  EXPECT_FALSE(lag.when(Position{4}).has_value());
}

TEST(ChangeLagTest, AnotherHistoryBeginsAnew) {
  ChangeLag lag;
  lag.record(one(), WallTime{100}, Position{50});
  lag.record(one(), WallTime{200}, Position{3});
  EXPECT_EQ(lag.when(Position{3}), WallTime{200});
  EXPECT_FALSE(lag.when(Position{50}).has_value());
}

TEST(ChangeLagTest, RemembersABoundedNumber) {
  ChangeLag lag;
  for (std::uint64_t i = 1; i <= 3000; ++i)
    lag.record(one(), WallTime{static_cast<std::int64_t>(i)}, Position{i});
  EXPECT_FALSE(lag.when(Position{100}).has_value());
  EXPECT_EQ(lag.when(Position{2999}), WallTime{2999});
  EXPECT_EQ(lag.snapshot().count, 3000U);
}

}  // namespace
}  // namespace candor
