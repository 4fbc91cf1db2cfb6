#include "cache/single_flight.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

using Flights = SingleFlight<int>;

TEST(SingleFlightTest, SecondReaderJoinsTheFirstOnesLoad) {
  Flights flights(1);
  auto [first, must_load] = flights.join(FeatureId{0}, "f:k");
  EXPECT_TRUE(must_load);
  auto [second, must_load_too] = flights.join(FeatureId{0}, "f:k");
  EXPECT_FALSE(must_load_too);
  EXPECT_EQ(first, second);
}

TEST(SingleFlightTest, ReaderAfterAnInvalidationDoesNotJoinTheOldLoad) {
  Flights flights(1);
  auto [old, _] = flights.join(FeatureId{0}, "f:k");
  EXPECT_TRUE(flights.fence("f:k"));
  EXPECT_TRUE(old->fenced);
  auto [fresh, must_load] = flights.join(FeatureId{0}, "f:k");
  EXPECT_TRUE(must_load);
  EXPECT_NE(old, fresh);
  EXPECT_FALSE(fresh->fenced);
}

TEST(SingleFlightTest, FencedLoadThatEndsLeavesTheNewOneAlone) {
  Flights flights(1);
  auto [old, _] = flights.join(FeatureId{0}, "f:k");
  (void)flights.fence("f:k");
  auto [fresh, __] = flights.join(FeatureId{0}, "f:k");
  flights.finish(old);
  auto [joined, must_load] = flights.join(FeatureId{0}, "f:k");
  EXPECT_FALSE(must_load);
  EXPECT_EQ(joined, fresh);
}

TEST(SingleFlightTest, FenceIfCatchesAWholeFeature) {
  Flights flights(1);
  auto [a, _] = flights.join(FeatureId{0}, "f:k");
  auto [b, __] = flights.join(FeatureId{1}, "g:k");
  flights.fence_if([](const Flights::Flight& flight) { return flight.feature == FeatureId{0}; });
  EXPECT_TRUE(a->fenced);
  EXPECT_FALSE(b->fenced);
  EXPECT_EQ(flights.size(), 1U);
}

}  // namespace
}  // namespace candor
