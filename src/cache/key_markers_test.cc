#include "cache/key_markers.h"

#include <gtest/gtest.h>

#include <string>

namespace candor {
namespace {

Stamp snapshot(std::uint64_t xmin, std::uint64_t xmax, std::vector<std::uint64_t> in_progress = {}) {
  return Stamp::of_snapshot(xmin, xmax, std::move(in_progress));
}

class KeyMarkersTest : public ::testing::Test {
 protected:
  KeyMarkers markers_{4, 1};
};

TEST_F(KeyMarkersTest, LoadWithoutTheChangeIsRefused) {
  markers_.add_change("f:a", ChangeId{15}, Position{});
  EXPECT_FALSE(markers_.allows("f:a", snapshot(10, 20, {15})));
  EXPECT_TRUE(markers_.allows("f:a", snapshot(16, 20, {17})));
  EXPECT_TRUE(markers_.allows("f:b", snapshot(10, 20, {15})));
}

TEST_F(KeyMarkersTest, RetiresOnlyWhenVisibleAndL2WasTold) {
  markers_.add_change("f:a", ChangeId{15}, Position{900});
  markers_.retire(ChangeId{14}, Position{1000});
  EXPECT_EQ(markers_.size(), 1u);
  markers_.retire(ChangeId{15}, Position{1000});
  EXPECT_EQ(markers_.size(), 0u);

  markers_.add_change("f:b", ChangeId{16}, Position{1001});
  markers_.retire(ChangeId{99}, Position{1000});
  EXPECT_EQ(markers_.size(), 1u);
  markers_.retire(ChangeId{99}, Position{1001});
  EXPECT_EQ(markers_.size(), 0u);
}

TEST_F(KeyMarkersTest, ReadersDoNotStepBackUntilTheNodeHasAppliedWhatTheySaw) {
  markers_.add_seen("f:a", snapshot(20, 30, {20}), MonoTime{500});
  EXPECT_FALSE(markers_.allows("f:a", snapshot(20, 28, {20})));
  EXPECT_TRUE(markers_.allows("f:a", snapshot(20, 30, {20})));
  EXPECT_TRUE(markers_.allows("f:a", snapshot(31, 31)));
  markers_.prove(MonoTime{500});  // a change at that very moment may be missing
  EXPECT_EQ(markers_.size(), 1u);
  markers_.prove(MonoTime{501});
  EXPECT_EQ(markers_.size(), 0u);
}

TEST_F(KeyMarkersTest, FullTableMarksTheFeatureInsteadOfForgetting) {
  for (int i = 0; i < 6; ++i)
    markers_.add_change("f:" + std::to_string(i), ChangeId{100u + static_cast<unsigned>(i)}, Position{});
  EXPECT_LE(markers_.size(), 5u);
  EXPECT_FALSE(markers_.allows("f:0", snapshot(99, 99)));
  EXPECT_FALSE(markers_.allows("f:other", snapshot(99, 99)));  // the price
  EXPECT_TRUE(markers_.allows("g:0", snapshot(99, 99)));
  markers_.retire(ChangeId{105}, Position{});
  EXPECT_TRUE(markers_.allows("f:other", snapshot(99, 99)));
}

TEST_F(KeyMarkersTest, OneKeyChangedForEverTakesNoMoreThanItsShare) {
  for (unsigned i = 1; i <= 1000; ++i) markers_.add_change("f:hot", ChangeId{i}, Position{});
  EXPECT_EQ(markers_.size(), 1u);
  EXPECT_FALSE(markers_.allows("f:hot", Stamp{ChangeId{999}}));
  EXPECT_TRUE(markers_.allows("f:hot", Stamp{ChangeId{1000}}));
}

TEST_F(KeyMarkersTest, FeatureChangeCoversEveryKey) {
  markers_.add_feature_change("f", ChangeId{50}, Position{});
  EXPECT_FALSE(markers_.allows("f:x", Stamp{ChangeId{49}}));
  EXPECT_TRUE(markers_.allows("f:x", Stamp{ChangeId{50}}));
}

}  // namespace
}  // namespace candor
