#include "sim/spread.h"

#include <gmock/gmock.h>

namespace candor::sim {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class SpreadTest : public testing::Test {
 protected:
  void commit(const char* key, std::int64_t at, bool by_restore = false) {
    history_.commits.push_back({history_.keys.number(key), ++version_, at, by_restore});
  }
  History history_;
  Spread spread_{2};
  std::uint64_t version_ = 0;
};

TEST_F(SpreadTest, TheLastNodeCounts) {
  commit("f:k", 100);
  spread_.note(0, "f:k", {110});
  spread_.note(0, "f:k", {120});
  spread_.note(1, "f:k", {170});
  EXPECT_THAT(spread_.lags(history_, Duration{50}), ElementsAre(70));
}
TEST_F(SpreadTest, WhatANodeNeverAppliedIsLeftOut) {
  commit("f:k", 100);
  spread_.note(0, "f:k", {110});
  spread_.note(1, "f:k", {90});
  spread_.note(1, "f:other", {120});
  EXPECT_THAT(spread_.lags(history_, Duration{50}), IsEmpty());
}
TEST_F(SpreadTest, CommitsOfOneKeyMustBeApart) {
  for (const std::int64_t at : {100, 130, 200}) {
    commit("f:k", at);
    spread_.note(0, "f:k", {at + 5});
    spread_.note(1, "f:k", {at + 7});
  }
  EXPECT_THAT(spread_.lags(history_, Duration{50}), ElementsAre(7, 7));
}
TEST_F(SpreadTest, WhatAFailoverPutBackIsNoCommitOfAnybody) {
  commit("f:k", 100, true);
  spread_.note(0, "f:k", {110});
  spread_.note(1, "f:k", {110});
  EXPECT_THAT(spread_.lags(history_, Duration{50}), IsEmpty());
}

TEST(QuantileTest, OfTenAndOfNone) {
  EXPECT_EQ(quantile({10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, 0.5), 6);
  EXPECT_EQ(quantile({10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, 0.99), 10);
  EXPECT_EQ(quantile({}, 0.5), 0);
}

}  // namespace
}  // namespace candor::sim
