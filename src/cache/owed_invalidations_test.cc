#include "cache/owed_invalidations.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

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

}  // namespace
}  // namespace candor
