#include "origin/postgres_history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace candor {
namespace {

using ::testing::HasSubstr;
using Kind = PostgresHistory::Verdict::Kind;

PostgresPlace at(std::uint64_t next, std::string slots = "candor_eu_shop_1_0", std::uint32_t timeline = 1) {
  return {true, timeline, next, std::move(slots)};
}

class PostgresHistoryTest : public ::testing::Test {
 protected:
  PostgresHistory::Verdict ask(const PostgresPlace& place) {
    const auto mark = history_.mark();
    return history_.compare(mark, place);
  }
  PostgresHistory history_;
};

TEST_F(PostgresHistoryTest, GoesOnWhileIdsRiseAndTheSlotStays) {
  EXPECT_EQ(ask(at(100, "")).kind, Kind::kGoesOn);  // nothing was known
  EXPECT_EQ(ask(at(100)).kind, Kind::kGoesOn);      // the slot was made
  EXPECT_EQ(ask(at(100)).kind, Kind::kGoesOn);
  EXPECT_EQ(ask(at(250)).kind, Kind::kGoesOn);
  history_.saw(Stamp::of_snapshot(290, 300, {290}));
  EXPECT_EQ(ask(at(300)).kind, Kind::kGoesOn);
}

TEST_F(PostgresHistoryTest, LowerIdsThanALoadHadSeenAreALoss) {
  EXPECT_EQ(ask(at(100)).kind, Kind::kGoesOn);
  history_.saw(Stamp::of_snapshot(110, 140, {110}));
  const auto verdict = ask(at(139));
  EXPECT_EQ(verdict.kind, Kind::kLost);
  EXPECT_THAT(verdict.reason, HasSubstr("the next is 139, and ids up to 139 were seen"));
  EXPECT_TRUE(verdict.slots_stayed);
  EXPECT_EQ(ask(at(139)).kind, Kind::kGoesOn);  // said once
}

TEST_F(PostgresHistoryTest, ASlotThatIsGoneIsALossHoweverHighTheIdsAre) {
  EXPECT_EQ(ask(at(100, "a b")).kind, Kind::kGoesOn);
  const auto verdict = ask(at(500, "a"));
  EXPECT_EQ(verdict.kind, Kind::kLost);
  EXPECT_THAT(verdict.reason, HasSubstr("slot b is gone"));
  EXPECT_FALSE(verdict.slots_stayed);
  EXPECT_EQ(ask(at(500, "a")).kind, Kind::kGoesOn);
  EXPECT_EQ(ask(at(500, "aa c")).kind, Kind::kLost);  // names are whole words
}

TEST_F(PostgresHistoryTest, ASlotThatIsBeingMadeGivesWayToItsCopy) {
  EXPECT_EQ(ask(at(100, "candor_eu_shop_1_9f3c01d20000")).kind, Kind::kGoesOn);
  EXPECT_EQ(ask(at(100, "candor_eu_shop_1_9f3c01d20000 candor_eu_shop_1_77aa01d2ab54")).kind, Kind::kGoesOn);
  EXPECT_EQ(ask(at(100, "candor_eu_shop_1_77aa01d2ab54")).kind, Kind::kGoesOn);
  EXPECT_EQ(ask(at(100, "candor_eu_shop_1_9f3c01d20000")).kind, Kind::kLost);
  EXPECT_EQ(ask(at(100, "")).kind, Kind::kLost);  // and no copy is there
}

TEST_F(PostgresHistoryTest, AnotherTimelineIsALoss) {
  EXPECT_EQ(ask(at(100)).kind, Kind::kGoesOn);
  EXPECT_EQ(ask(at(100, "candor_eu_shop_1_0", 0)).kind, Kind::kGoesOn);  // not said
  EXPECT_THAT(ask(at(200, "candor_eu_shop_1_0", 2)).reason, HasSubstr("timeline 2, and was on 1"));
}

TEST_F(PostgresHistoryTest, ACrashIsALossWhereCommitsDoNotWaitForTheDisk) {
  const auto safe_since = [](std::string when, std::uint64_t next) {
    PostgresPlace place = at(next);
    place.unsafe_since = std::move(when);
    return place;
  };
  EXPECT_EQ(ask(safe_since("", 100)).kind, Kind::kGoesOn);
  EXPECT_EQ(ask(safe_since("monday", 100)).kind, Kind::kGoesOn);  // the setting was changed
  EXPECT_EQ(ask(safe_since("monday", 101)).kind, Kind::kGoesOn);
  const auto verdict = ask(safe_since("tuesday", 102));
  EXPECT_EQ(verdict.kind, Kind::kLost);
  EXPECT_TRUE(verdict.slots_stayed);
  EXPECT_THAT(verdict.reason, HasSubstr("synchronous_commit"));
  EXPECT_EQ(ask(safe_since("tuesday", 103)).kind, Kind::kGoesOn);
  EXPECT_EQ(ask(safe_since("", 103)).kind, Kind::kGoesOn);
}

TEST_F(PostgresHistoryTest, AStandbySaysNothing) {
  EXPECT_EQ(ask(at(100)).kind, Kind::kGoesOn);
  PostgresPlace standby = at(60, "", 0);
  standby.is_primary = false;
  EXPECT_EQ(ask(standby).kind, Kind::kGoesOn);
  EXPECT_EQ(ask(at(100)).kind, Kind::kGoesOn);
}

TEST_F(PostgresHistoryTest, AnswersThatComeOutOfOrderAreNoLoss) {
  const auto early = history_.mark();
  const auto late = history_.mark();
  EXPECT_EQ(history_.compare(late, at(120)).kind, Kind::kGoesOn);
  // It had left before the slot was made, and before the id was seen.
  EXPECT_EQ(history_.compare(early, at(110, "")).kind, Kind::kGoesOn);
  EXPECT_EQ(ask(at(120, "")).kind, Kind::kLost);  // and what it said has not replaced what is known
}

TEST_F(PostgresHistoryTest, AnAnswerFromBeforeALossIsOfNeither) {
  EXPECT_EQ(ask(at(100)).kind, Kind::kGoesOn);
  const auto under_way = history_.mark();
  EXPECT_EQ(ask(at(50, "")).kind, Kind::kLost);
  EXPECT_EQ(history_.compare(under_way, at(110)).kind, Kind::kOvertaken);
  EXPECT_EQ(ask(at(50, "")).kind, Kind::kGoesOn);
}

}  // namespace
}  // namespace candor
