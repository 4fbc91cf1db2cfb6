#include "app/river_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/problem_log.h"

namespace candor::app {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

RiverReport good_river() {
  RiverReport river;
  river.is_built = true;
  river.stream = "memory";
  river.bus.connected = true;
  river.applier.self_heard = true;
  RiverOrigin& origin = river.origins.emplace_back();
  origin.name = "shop";
  origin.feed.state = FeedStatus::State::kLeading;
  origin.applied.settled = true;
  origin.applied.fresh_as_of = MonoTime{1'000'000'000};
  return river;
}
constexpr MonoTime kNow{1'200'000'000};

TEST(RiverReportTest, NodeThatHasCaughtUpMissesNothing) {
  EXPECT_EQ(what_is_missing(good_river()), "");
  EXPECT_THAT(river_troubles(good_river(), kNow, false), IsEmpty());
  EXPECT_EQ(what_is_missing(RiverReport{}), "");
  EXPECT_THAT(river_troubles(RiverReport{}, kNow, false), IsEmpty());
}

TEST(RiverReportTest, WhatIsMissingIsSaidInTheOrderInWhichItComes) {
  RiverReport river = good_river();
  river.origins[0].applied.fresh_as_of = MonoTime{0};
  EXPECT_THAT(what_is_missing(river), HasSubstr("origin shop: its changes are not proven"));
  river.origins[0].applied.settled = false;
  EXPECT_THAT(what_is_missing(river), HasSubstr("may not be visible yet (feed: leading)"));
  river.origins[0].feed.state = FeedStatus::State::kMisconfigured;
  river.origins[0].feed.problem = "no triggers";
  EXPECT_THAT(what_is_missing(river), HasSubstr("misconfigured: no triggers"));
  river.applier.self_heard = false;
  EXPECT_THAT(what_is_missing(river), HasSubstr("own message has not come back"));
  river.bus.connected = false;
  EXPECT_THAT(what_is_missing(river), HasSubstr("not connected (memory)"));
}

// Another node of the region may lead with a feed that works.
TEST(RiverReportTest, MisconfiguredFeedHoldsNobodyUpWhoHasAProof) {
  RiverReport river = good_river();
  river.origins[0].feed.state = FeedStatus::State::kMisconfigured;
  EXPECT_EQ(what_is_missing(river), "");
  EXPECT_THAT(river_troubles(river, kNow, false), ElementsAre("feed_misconfigured:shop"));
}

// Every node says so, not only the one whose feed leads.
TEST(RiverReportTest, UnheardFeaturesAreTroubleAndHoldNobodyUp) {
  RiverReport river = good_river();
  river.origins[0].feed.state = FeedStatus::State::kStandby;
  river.origins[0].applied.unheard = {{"price", "there is no table price"}, {"", "too many"}};
  EXPECT_EQ(what_is_missing(river), "");
  EXPECT_THAT(river_troubles(river, kNow, true), ElementsAre("unheard:price", "unheard:*"));
  std::string said;
  for (const RiverProblem& problem : river_problems(river)) said += problem.text;
  EXPECT_THAT(said, HasSubstr("feature price: there is no table price; every feature: too many; until then"));
}

TEST(RiverReportTest, EachTroubleHasItsReason) {
  RiverReport river = good_river();
  EXPECT_THAT(river_troubles(river, MonoTime{7'000'000'000}, false), ElementsAre("unproven:shop"));
  river.origins[0].publisher.problem = "stuck";
  EXPECT_THAT(river_troubles(river, kNow, false), ElementsAre("publisher:shop"));
  river.applier.problem = "two nodes are called a";
  EXPECT_THAT(river_troubles(river, kNow, false), ElementsAre("node_name_twice", "publisher:shop"));
  river.applier.self_heard = false;
  river.bus.connected = false;
  EXPECT_THAT(river_troubles(river, kNow, false),
              ElementsAre("stream", "stream_self_test", "publisher:shop"));
}

TEST(RiverReportTest, WhatEveryStartLacksIsNoTrouble) {
  RiverReport river = good_river();
  river.bus.connected = false;
  river.origins[0].applied.settled = false;
  EXPECT_THAT(river_troubles(river, kNow, true), IsEmpty());
  river.origins[0].feed.state = FeedStatus::State::kMisconfigured;
  EXPECT_THAT(river_troubles(river, kNow, true), ElementsAre("feed_misconfigured:shop"));
}

TEST(RiverReportTest, StandingByIsNoProblem) {
  RiverReport river = good_river();
  river.origins[0].feed.problem = "the slot is read by another node";
  const auto said = [&] {
    std::string all;
    for (const RiverProblem& problem : river_problems(river)) all += problem.text;
    return all;
  };
  EXPECT_EQ(said(), "the slot is read by another node");
  river.origins[0].feed.state = FeedStatus::State::kStandby;
  EXPECT_EQ(said(), "");
}

TEST(ProblemLogTest, SaysAProblemOnceAndItsEnd) {
  std::vector<std::string> lines;
  ProblemLog log(
      [&](const std::string& part, const std::string& text) { lines.push_back(part + ":" + text); });
  log.note("feed", "", kNow);
  log.note("feed", "down", kNow);
  log.note("feed", "down", kNow + 1h);
  log.note("feed", "", kNow + 2h);
  log.note("feed", "", kNow + 3h);
  EXPECT_THAT(lines, ElementsAre("feed:down", "feed:"));
}

TEST(ProblemLogTest, WordsThatChangeAreSaidNowAndThen) {
  std::vector<std::string> lines;
  ProblemLog log([&](const std::string&, const std::string& text) { lines.push_back(text); });
  for (int i = 0; i < 100; ++i) log.note("feed", std::to_string(i), kNow + i * 1s);
  EXPECT_THAT(lines, ElementsAre("0", "30", "60", "90"));
}

}  // namespace
}  // namespace candor::app
