#include "invalidation/region_writes.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

constexpr MonoTime kWrittenAt{1'000'000'000'000};

message::Presence from(std::string node, std::vector<FeatureWrites> writes, bool leaving = false) {
  message::Presence presence;
  presence.node = std::move(node);
  presence.leaving = leaving;
  presence.writes = std::move(writes);
  return presence;
}

TEST(RegionWritesTest, ChangesOfTheOtherNodesAddUpAndOnesOwnDoNotCount) {
  RegionWrites writes("eu-1");
  writes.hear(from("eu-1", {{"item", 7200, false, 0}}), kWrittenAt);
  EXPECT_EQ(writes.made_by_others("item", kWrittenAt), 0.0);
  writes.hear(from("eu-2", {{"item", 3600, false, 0}, {"other", 36, false, 0}}), kWrittenAt);
  writes.hear(from("eu-3", {{"item", 1800, false, 0}}), kWrittenAt);
  EXPECT_DOUBLE_EQ(writes.made_by_others("item", kWrittenAt), 1.5);
  EXPECT_EQ(writes.made_by_others("nothing", kWrittenAt), 0.0);
}

TEST(RegionWritesTest, WhatIsAskedEndsWithWhoAsked) {
  RegionWrites writes("eu-1");
  writes.hear(from("eu-2", {{"item", 0, true, 0}}), kWrittenAt);
  writes.hear(from("eu-3", {{"item", 0, false, 500}}), kWrittenAt + 1s);
  const RegionWrites::Asked both = writes.asked_by_others("item", kWrittenAt + 1s);
  EXPECT_TRUE(both.waits);
  EXPECT_EQ(both.gather, 500ms);
  const RegionWrites::Asked later = writes.asked_by_others("item", kWrittenAt + 3s);
  EXPECT_FALSE(later.waits) << "eu-2 was not heard for three beats";
  EXPECT_EQ(later.gather, 500ms);
  writes.hear(from("eu-3", {{"item", 0, false, 500}}, true), kWrittenAt + 3s);
  EXPECT_EQ(writes.asked_by_others("item", kWrittenAt + 3s), RegionWrites::Asked{}) << "it said goodbye";
  writes.hear(from("eu-2", {{"item", 0, true, 0}}), kWrittenAt + 4s);
  writes.hear(from("eu-2", {}), kWrittenAt + 5s);
  EXPECT_FALSE(writes.asked_by_others("item", kWrittenAt + 5s).waits) << "it asks no more";
}

TEST(RegionWritesTest, RoundTripIsNotKnownBeforeOneWasMadeAndThenSmoothed) {
  RegionWrites writes("eu-1");
  EXPECT_FALSE(writes.round_trip());
  writes.note_round_trip(4ms);
  EXPECT_EQ(writes.round_trip(), 4ms);
  writes.note_round_trip(8ms);
  EXPECT_EQ(writes.round_trip(), 5ms);
}

TEST(RegionWritesTest, OnlyWhatThereIsToSayIsSaidAndWhatIsAskedComesFirst) {
  RegionWrites writes("eu-1");
  writes.say({"quiet", 0, false, 0});
  EXPECT_TRUE(writes.said().empty());
  for (std::size_t i = 0; i < 2 * kFeatureWritesMax; ++i) writes.say({"f" + std::to_string(i), 10, false, 0});
  writes.say({"z", 0, true, 0});
  const auto said = writes.said();
  ASSERT_EQ(said.size(), kFeatureWritesMax);
  EXPECT_EQ(said[0].feature, "z");
  writes.say({"z", 0, false, 0});
  EXPECT_NE(writes.said()[0].feature, "z");
}

}  // namespace
}  // namespace candor
