#include "cache/single_flight.h"

#include <gtest/gtest.h>

#include "cache/owed_invalidations.h"
#include "cache/unsettled_writes.h"

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

TEST(OwedInvalidationsTest, PaymentDoesNotSettleADebtThatWasRenewedMeanwhile) {
  OwedInvalidations owed(10, 1);
  owed.add("f:k");
  const auto debts = owed.some_keys(10);
  owed.add("f:k");  // another write of the key, after the payment left
  owed.settle(debts.at(0));
  EXPECT_TRUE(owed.owes("f:k"));
  owed.settle(owed.some_keys(10).at(0));
  EXPECT_TRUE(owed.empty());
}

TEST(OwedInvalidationsTest, TooManyDebtsBecomeDebtsOfTheirFeaturesAndOfNoOther) {
  OwedInvalidations owed(2, 1);
  owed.add("a:1");
  owed.add("a:2");
  EXPECT_FALSE(owed.owes("a:3"));
  owed.add("b:1");
  EXPECT_TRUE(owed.owes("a:3"));
  EXPECT_TRUE(owed.owes("b:9"));
  EXPECT_FALSE(owed.owes("carts:1"));
  EXPECT_EQ(owed.size(), 2U);
}

TEST(OwedInvalidationsTest, ClearThatBeganBeforeANewDebtDoesNotSettleIt) {
  OwedInvalidations owed(10, 1);
  owed.add_feature("f:");
  const auto debts = owed.features();
  owed.add("f:k");
  owed.settle_feature(debts.at(0));
  EXPECT_TRUE(owed.owes("f:k"));
  owed.settle_feature(owed.features().at(0));
  EXPECT_TRUE(owed.empty());
}

TEST(UnsettledWritesTest, KeyIsUnsettledUntilTheLastOfItsWritesIs) {
  UnsettledWrites writes(10, 1);
  writes.add("f:k", MonoTime{100});
  writes.add("f:k", MonoTime{200});
  EXPECT_TRUE(writes.is_unsettled("f:k", MonoTime{150}));
  EXPECT_FALSE(writes.is_unsettled("f:other", MonoTime{150}));
  EXPECT_FALSE(writes.settle("f:k", MonoTime{100}));
  EXPECT_TRUE(writes.settle("f:k", MonoTime{200}));
  EXPECT_FALSE(writes.is_unsettled("f:k", MonoTime{200}));
}

TEST(UnsettledWritesTest, TooManyKeysMakeEveryKeyUnsettled) {
  UnsettledWrites writes(1, 1);
  writes.add("f:a", MonoTime{100});
  writes.add("f:b", MonoTime{100});
  EXPECT_TRUE(writes.is_unsettled("f:anything", MonoTime{99}));
  EXPECT_FALSE(writes.is_unsettled("f:anything", MonoTime{100}));
}

}  // namespace
}  // namespace candor
