// Warming against an origin that is made of numbers: what is loaded in which order, how fast, and what one
// bad key, one bad origin, or a full store do to the rest.
#include "warm/warmer.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "base/virtual_executor.h"

namespace candor::warm {
namespace {

constexpr FeatureId kUser{0}, kItem{1}, kOther{2};

// Features 0 and 1 live in one origin, 2 in another. A statement takes `took`; with `places`, more statements
// at once share them.
struct World {
  VirtualExecutor home;
  std::vector<std::string> loaded;  // in the order in which they were asked for
  std::map<std::string, CacheCore::Warmed> held;
  std::map<std::string, Error> bad;
  std::array<Duration, 2> took{10ms, 10ms};
  std::array<double, 2> slows{0, 0};  // more for each statement under way
  std::array<Warmer::Health, 2> health{Warmer::Health::kWell, Warmer::Health::kWell};
  std::array<unsigned, 2> under_way{0, 0}, most{0, 0};
  std::size_t batch = 1;
  bool is_full = false;
  int ended = 0;
  std::unique_ptr<Warmer> warmer;

  explicit World(unsigned statements_max = 4, std::size_t of_batch = 1) : batch(of_batch) {
    Warmer::World world;
    world.home = &home;
    world.features = 3;
    world.lanes = {{"shop", statements_max}, {"other", statements_max}};
    world.lane_of = [](FeatureId id) { return id == kOther ? 1U : 0U; };
    world.batch_of = [this](FeatureId) { return batch; };
    world.load = [this](FeatureId id, std::string key, CacheCore::WarmDone done) {
      load(id, std::move(key), std::move(done));
    };
    world.health = [this](std::size_t lane) { return health[lane]; };
    world.is_full = [this] { return is_full; };
    world.ended = [this] { ++ended; };
    warmer = std::make_unique<Warmer>(std::move(world));
  }

  void load(FeatureId id, std::string key, CacheCore::WarmDone done) {
    loaded.push_back(key);
    if (held.contains(key)) return done(held[key], nullptr);
    const std::size_t lane = id == kOther ? 1 : 0;
    most[lane] = std::max(most[lane], ++under_way[lane]);
    const auto slower = std::chrono::duration_cast<Duration>(took[lane] * (slows[lane] * under_way[lane]));
    home.schedule(home.now() + took[lane] + slower,
                  [this, lane, key, done = std::make_shared<CacheCore::WarmDone>(std::move(done))] {
                    --under_way[lane];
                    const auto error = bad.find(key);
                    if (error == bad.end()) return (*done)(CacheCore::Warmed::kStored, nullptr);
                    (*done)(CacheCore::Warmed::kFailed, &error->second);
                  });
  }

  static std::vector<WarmItem> items(FeatureId id, const std::vector<std::string>& keys, double worth = 1.0) {
    std::vector<WarmItem> out;
    for (const std::string& key : keys)
      out.push_back({.feature = id, .key = key, .worth = worth, .reads = 1.0});
    return out;
  }
  void name(WarmClass of, FeatureId id, const std::vector<std::string>& keys, double worth = 1.0) {
    const std::size_t source = warmer->open_source("test", of);
    warmer->add(source, items(id, keys, worth));
    warmer->close_source(source);
  }
  static std::vector<std::string> numbered(const std::string& prefix, int count) {
    std::vector<std::string> keys;
    for (int i = 0; i < count; ++i) keys.push_back(prefix + std::to_string(i));
    return keys;
  }
  [[nodiscard]] std::uint64_t keys(WarmState state) const { return warmer->progress().all.of(state); }
};

TEST(WarmerTest, CriticalKeysGoBeforeHotOnesAndTheseBeforeTheRest) {
  World world(1);
  world.name(WarmClass::kRest, kUser, {"r"});
  world.name(WarmClass::kHot, kUser, {"h"});
  world.name(WarmClass::kCritical, kUser, {"c"});
  world.home.advance(1s);
  EXPECT_EQ(world.loaded, (std::vector<std::string>{"c", "h", "r"}));
  EXPECT_EQ(world.ended, 1);
}

TEST(WarmerTest, OfTwoFeaturesTheOneWhoseNextKeyIsWorthMoreIsNext) {
  World world(1);
  world.name(WarmClass::kHot, kUser, {"u"}, 1.0);
  world.name(WarmClass::kHot, kItem, {"i"}, 2.0);
  world.home.advance(1s);
  EXPECT_EQ(world.loaded, (std::vector<std::string>{"i", "u"}));
}

TEST(WarmerTest, AKeyThatIsNamedTwiceIsLoadedOnce) {
  World world;
  world.name(WarmClass::kHot, kUser, {"a", "b", "a"});
  world.name(WarmClass::kRest, kUser, {"b"});
  world.home.advance(1s);
  EXPECT_EQ(world.loaded, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(world.keys(WarmState::kLoaded), 2U);
}

TEST(WarmerTest, AKeyOfTheHotSetThatIsNamedAsCriticalIsCritical) {
  World world(1);
  world.is_full = false;
  world.name(WarmClass::kHot, kUser, World::numbered("k", 100), 5.0);
  world.name(WarmClass::kCritical, kUser, {"k70", "k80"});
  EXPECT_FALSE(world.warmer->is_critical_done());
  world.home.advance(35ms);
  EXPECT_TRUE(world.warmer->is_critical_done());
  EXPECT_EQ(std::ranges::count(world.loaded, "k70") + std::ranges::count(world.loaded, "k80"), 2);
  world.is_full = true;  // the hot ones are given up
  world.home.advance(1s);
  EXPECT_EQ(world.warmer->tally(WarmClass::kCritical).of(WarmState::kLoaded), 2U);
  EXPECT_FALSE(world.warmer->is_running());
}

TEST(WarmerTest, AKeyThatIsDoneMayBeNamedAgainInTheSameRun) {
  World world;
  world.health[1] = Warmer::Health::kAway;  // keeps the run open
  world.name(WarmClass::kHot, kOther, {"x"});
  world.bad["x"] = Error{ErrorCode::kOriginDown, "gone"};
  world.warmer->expect(kUser, 2.0);
  world.name(WarmClass::kHot, kUser, {"a"});
  world.home.advance(1s);
  EXPECT_TRUE(world.warmer->is_running());
  EXPECT_FALSE(world.warmer->is_busy()) << "nothing can be done now";
  world.name(WarmClass::kHot, kUser, {"a"});  // it was flushed, say
  EXPECT_TRUE(world.warmer->is_busy());
  world.home.advance(1s);
  EXPECT_EQ(std::ranges::count(world.loaded, "a"), 2);
  EXPECT_EQ(world.warmer->predicted_hit_rate(), 0.5) << "its reads count once";
}

TEST(WarmerTest, TimeThatWentByBehindReadersIsNotTheKeysFault) {
  World world(4);
  world.health[0] = Warmer::Health::kBusy;
  world.bad["a"] = Error{ErrorCode::kTimeout, "nothing was sent"};
  world.name(WarmClass::kHot, kUser, {"a"});
  world.home.advance(120s);
  EXPECT_GT(world.loaded.size(), Warmer::kAttemptsMax);
  EXPECT_EQ(world.keys(WarmState::kFailed), 0U);
  world.bad.clear();
  world.health[0] = Warmer::Health::kWell;
  world.home.advance(10s);
  EXPECT_EQ(world.keys(WarmState::kLoaded), 1U);
}

TEST(WarmerTest, WhatAllRunsDidIsCounted) {
  World world;
  for (int run = 0; run < 3; ++run) {
    world.name(WarmClass::kHot, kUser, {"a", "b"});
    world.home.advance(1s);
  }
  EXPECT_EQ(world.warmer->progress().runs, 3U);
  EXPECT_EQ(world.warmer->progress().all.total(), 2U);
  EXPECT_EQ(world.warmer->progress().ever.of(WarmState::kLoaded), 6U);
  EXPECT_EQ(world.warmer->progress().ever.total(), 6U);
}

TEST(WarmerTest, NeverMoreStatementsThanTheOriginsShare) {
  World world(4);
  world.name(WarmClass::kHot, kUser, World::numbered("k", 200));
  world.home.advance(10s);
  EXPECT_EQ(world.keys(WarmState::kLoaded), 200U);
  EXPECT_EQ(world.most[0], 4U) << "and as many, where the origin does not mind";
  EXPECT_EQ(world.warmer->progress().origins[0].most, 4U);
}

TEST(WarmerTest, KeysOfOneFeatureLeaveTogetherAndCountAsOneStatement) {
  World world(2, 64);
  world.name(WarmClass::kHot, kUser, World::numbered("k", 1000));
  world.home.advance(1s);
  EXPECT_EQ(world.keys(WarmState::kLoaded), 1000U);
  EXPECT_LE(world.most[0], 2U * 64U);
  EXPECT_GT(world.most[0], 64U);
}

TEST(WarmerTest, AnOriginThatAnswersSlowerWhenItHasMoreToDoIsNotPushed) {
  World world(32);
  world.slows[0] = 0.5;  // two under way take twice as long as none
  world.name(WarmClass::kHot, kUser, World::numbered("k", 2000));
  world.home.advance(5s);
  double sum = 0;
  for (int i = 0; i < 100; ++i) {
    world.home.advance(20ms);
    sum += world.under_way[0];
  }
  EXPECT_LT(sum / 100, 6.0) << "of 32";
  EXPECT_GT(world.keys(WarmState::kLoaded), 100U);
}

TEST(WarmerTest, AnOriginThatHasBecomeSlowerForGoodIsMeasuredAnew) {
  World world(8);
  world.name(WarmClass::kHot, kUser, World::numbered("k", 3000));
  world.home.advance(200ms);
  world.took[0] = 50ms;  // five times as long, however little is asked
  world.home.advance(2s);
  unsigned most = 0;
  for (int i = 0; i < 50; ++i) {
    world.home.advance(20ms);
    most = std::max(most, world.under_way[0]);
  }
  EXPECT_EQ(most, 8U);
}

TEST(WarmerTest, WhileReadersWaitForTheOriginWarmingGoesOnOneStatementAtATime) {
  World world(32);
  world.health[0] = Warmer::Health::kBusy;
  world.name(WarmClass::kHot, kUser, World::numbered("k", 20));
  world.home.advance(10s);
  EXPECT_EQ(world.most[0], 1U);
  EXPECT_EQ(world.keys(WarmState::kLoaded), 20U) << "it does come to its end";
}

TEST(WarmerTest, OneBadKeyIsToldAndSpoilsOnlyItself) {
  World world;
  world.bad["b"] = Error{ErrorCode::kRejected, "no number"};
  world.name(WarmClass::kCritical, kUser, {"a", "b", "c"});
  world.home.advance(1s);
  EXPECT_EQ(world.keys(WarmState::kLoaded), 2U);
  EXPECT_EQ(world.keys(WarmState::kFailed), 1U);
  EXPECT_EQ(world.warmer->progress().features.at(0).problem, "no number");
  EXPECT_EQ(std::ranges::count(world.loaded, "b"), 1) << "it would be refused again";
  EXPECT_TRUE(world.warmer->is_critical_done());
}

TEST(WarmerTest, AKeyThatTimesOutIsTriedAgainBehindTheOthersAndThenGivenUp) {
  World world(1);
  world.bad["slow"] = Error{ErrorCode::kTimeout, "no answer"};
  world.name(WarmClass::kHot, kUser, {"slow", "a", "b"});
  world.home.advance(10s);
  EXPECT_EQ(std::ranges::count(world.loaded, "slow"), static_cast<int>(Warmer::kAttemptsMax));
  EXPECT_EQ(world.loaded.back(), "slow");
  EXPECT_EQ(world.keys(WarmState::kLoaded), 2U);
  EXPECT_EQ(world.keys(WarmState::kFailed), 1U);
}

TEST(WarmerTest, AnOriginThatIsAwayIsAskedOnceInAWhileAndWarmedWhenItIsBack) {
  World world(8, 64);
  for (const std::string& key : World::numbered("k", 100))
    world.bad[key] = Error{ErrorCode::kOriginDown, "gone"};
  world.health[0] = Warmer::Health::kAway;
  world.name(WarmClass::kHot, kUser, World::numbered("k", 100));
  world.name(WarmClass::kHot, kOther, {"x"});
  world.home.advance(60s);
  EXPECT_LE(world.loaded.size(), 65U);
  EXPECT_EQ(world.keys(WarmState::kLoaded), 1U) << "the other origin's";
  EXPECT_EQ(world.keys(WarmState::kFailed), 0U) << "no key is to blame";
  world.bad.clear();
  world.health[0] = Warmer::Health::kWell;
  world.home.advance(10s);
  EXPECT_EQ(world.keys(WarmState::kLoaded), 101U);
  EXPECT_FALSE(world.warmer->is_running());
}

TEST(WarmerTest, AFullStoreEndsWhatIsNotCritical) {
  World world;
  world.is_full = true;
  world.name(WarmClass::kCritical, kUser, {"c"});
  world.name(WarmClass::kHot, kUser, {"h"});
  world.name(WarmClass::kRest, kItem, {"r"});
  world.home.advance(1s);
  EXPECT_EQ(world.loaded, std::vector<std::string>{"c"});
  EXPECT_EQ(world.keys(WarmState::kSkipped), 2U);
}

TEST(WarmerTest, CriticalIsNotDoneWhileASourceMayStillNameKeys) {
  World world;
  EXPECT_TRUE(world.warmer->is_critical_done());
  const std::size_t query = world.warmer->open_source("query", WarmClass::kCritical);
  world.home.advance(1s);
  EXPECT_FALSE(world.warmer->is_critical_done());
  world.warmer->add(query, World::items(kUser, {"a"}));
  world.warmer->close_source(query, "cut short");
  EXPECT_FALSE(world.warmer->is_critical_done());
  world.home.advance(1s);
  EXPECT_TRUE(world.warmer->is_critical_done());
  EXPECT_EQ(world.warmer->progress().sources.at(0).problem, "cut short");
}

TEST(WarmerTest, ThePredictionCountsReadsNotKeys) {
  World world(1);
  EXPECT_EQ(world.warmer->predicted_hit_rate(), std::nullopt);
  const std::size_t source = world.warmer->open_source("hot set", WarmClass::kHot);
  world.warmer->expect(kUser, 100.0);
  auto items = World::items(kUser, {"a", "b", "c"});
  items[0].reads = 70, items[1].reads = 20, items[2].reads = 5;
  world.warmer->add(source, items);
  world.held["a"] = CacheCore::Warmed::kHeld;
  world.bad["b"] = Error{ErrorCode::kRejected, "no"};
  world.warmer->close_source(source);
  world.home.advance(1s);
  EXPECT_NEAR(*world.warmer->predicted_hit_rate(), 0.75, 1e-9);
}

TEST(WarmerTest, EveryKeyEndsInOneStateAndTheCountsAddUp) {
  World world(3, 8);
  world.held["k1"] = CacheCore::Warmed::kHeld;
  world.held["k2"] = CacheCore::Warmed::kAbsent;
  world.held["k3"] = CacheCore::Warmed::kDropped;
  world.bad["k4"] = Error{ErrorCode::kTimeout, "slow"};
  world.name(WarmClass::kRest, kUser, World::numbered("k", 50));
  world.name(WarmClass::kRest, kUser, {std::string(kKeyBytesMax + 1, 'x')});
  world.home.advance(30s);
  const WarmProgress progress = world.warmer->progress();
  EXPECT_FALSE(progress.is_running);
  EXPECT_EQ(progress.all.total(), 51U);
  EXPECT_EQ(progress.all.of(WarmState::kWaiting), 0U);
  for (const WarmState state :
       {WarmState::kHeld, WarmState::kAbsent, WarmState::kDropped, WarmState::kFailed, WarmState::kSkipped})
    EXPECT_EQ(progress.all.of(state), 1U) << kWarmStateNames[static_cast<std::size_t>(state)];
  EXPECT_EQ(progress.all.of(WarmState::kLoaded), 46U);
}

TEST(WarmerTest, AThousandKeysThatAreHeldDoNotHoldUpTheLoop) {
  World world(4, 64);
  for (const std::string& key : World::numbered("k", 3000)) world.held[key] = CacheCore::Warmed::kHeld;
  world.name(WarmClass::kHot, kUser, World::numbered("k", 3000));
  std::size_t most = 0, before = 0;
  std::function<void()> other = [&] {  // has its turn as often as the Warmer has
    most = std::max(most, world.loaded.size() - before);
    before = world.loaded.size();
    if (world.warmer->is_running()) world.home.post(other);
  };
  world.home.post(other);
  world.home.advance(1s);
  EXPECT_EQ(world.loaded.size(), 3000U);
  EXPECT_LE(most, Warmer::kKeysPerTurn + 64);
}

TEST(WarmerTest, AnotherRunBeginsAnew) {
  World world;
  world.name(WarmClass::kHot, kUser, {"a"});
  world.home.advance(1s);
  world.name(WarmClass::kHot, kUser, {"a", "b"});
  world.home.advance(1s);
  EXPECT_EQ(world.loaded, (std::vector<std::string>{"a", "a", "b"}));
  EXPECT_EQ(world.warmer->progress().runs, 2U);
  EXPECT_EQ(world.keys(WarmState::kLoaded), 2U);
}

TEST(WarmerTest, NothingIsAskedForAfterItsEnd) {
  World world(1);
  world.name(WarmClass::kHot, kUser, World::numbered("k", 10));
  world.home.advance(15ms);
  world.warmer->halt();
  const std::size_t before = world.loaded.size();
  world.home.advance(10s);
  EXPECT_EQ(world.loaded.size(), before);
}

}  // namespace
}  // namespace candor::warm
