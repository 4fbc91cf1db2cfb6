#include "version/marker.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

Stamp snapshot(std::uint64_t xmin, std::uint64_t xmax, std::vector<std::uint64_t> in_progress = {}) {
  return Stamp::of_snapshot(xmin, xmax, std::move(in_progress));
}

TEST(StampTest, SnapshotIncludesExactlyWhatItSaw) {
  const Stamp stamp = snapshot(10, 20, {10, 15});
  EXPECT_TRUE(stamp.includes(ChangeId{9}));
  EXPECT_FALSE(stamp.includes(ChangeId{10}));
  EXPECT_TRUE(stamp.includes(ChangeId{14}));
  EXPECT_FALSE(stamp.includes(ChangeId{15}));
  EXPECT_TRUE(stamp.includes(ChangeId{19}));
  EXPECT_FALSE(stamp.includes(ChangeId{20}));
  EXPECT_EQ(stamp.bound().up_to.value, 9u);
}

TEST(StampTest, SnapshotWithNothingInProgressIsItsBound) {
  EXPECT_EQ(snapshot(20, 20), Stamp{ChangeId{19}});
  EXPECT_EQ(snapshot(12, 20), Stamp{ChangeId{19}});  // xmin may be older than any list says
}

TEST(StampTest, UnknownIncludesNothing) { EXPECT_FALSE(Stamp{}.includes(ChangeId{1})); }

TEST(MarkerTest, LaterIdMayBeIncludedWithoutAnEarlierOne) {
  Marker marker(ChangeId{15});
  marker.add(ChangeId{18});
  EXPECT_FALSE(marker.passed_by(snapshot(10, 20, {15})));
  EXPECT_TRUE(marker.passed_by(snapshot(10, 20, {12})));
}

TEST(MarkerTest, FifthChangeCollapsesToABoundThatEveryIdIsBelow) {
  Marker marker;
  for (const std::uint64_t id : {11, 13, 12, 19, 14}) marker.add(ChangeId{id});
  EXPECT_TRUE(marker.collapsed());
  EXPECT_EQ(marker.highest().value, 19u);
  EXPECT_FALSE(marker.passed_by(snapshot(10, 25, {10})));  // includes 11..19, but its bound does not say so
  EXPECT_TRUE(marker.passed_by(snapshot(20, 25, {20})));
}

TEST(MarkerTest, EmptyIsPassedByAnything) {
  EXPECT_TRUE(Marker{}.passed_by(Stamp{}));
  EXPECT_FALSE(Marker{ChangeId{3}}.passed_by(Stamp{}));
}

TEST(MarkerTest, RepeatedChangeTakesNoPlace) {
  Marker marker;
  for (int i = 0; i < 10; ++i) marker.add(ChangeId{5});
  EXPECT_EQ(marker.count(), 1u);
}

}  // namespace
}  // namespace candor
