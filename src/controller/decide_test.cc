#include "controller/decide.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/random.h"
#include "controller/weigh.h"
#include "monitor/interval.h"

namespace candor {
namespace {

constexpr MonoTime kStart{1'000'000'000'000};

Measured measured(double fraction, double reads) {
  Measured out;
  out.reads = reads;
  out.stale_fraction = fraction;
  const Interval interval = wilson_interval(fraction, reads);
  out.low = interval.low;
  out.high = interval.high;
  out.by_cause[static_cast<std::size_t>(StaleCause::kTtlOnly)] = fraction;
  return out;
}

// One feature, changes of its keys every 2000 s, ttl 60 s, limit 5 s, nobody listens.
FeatureExposure quiet_feature(const std::string& name = "profile") {
  FeatureExposure e;
  e.feature = name;
  e.has_budget = e.may_steer = true;
  e.budget = {.max_staleness = 5s, .stale_fraction = 0.02, .window = 1h, .sample = 0.1};
  e.workload = {.reads_per_second = 200, .updates_per_second = 0.05, .classes = {{1.0, 2.0, 5e-4}}};
  e.delivery.ttl_seconds = 60;
  e.by_origin = measured(0.012, 3000);
  e.load_seconds_mean = 0.001;
  return e;
}
SteeredFeature facts(const std::string& name = "profile") {
  SteeredFeature feature;
  feature.name = name;
  feature.ttl_seconds = 60;
  return feature;
}
ExposureReport report_of(MonoTime at, std::vector<FeatureExposure> features) {
  ExposureReport report;
  report.at = at;
  report.features = std::move(features);
  return report;
}
FeatureExposure outside(double updates = 0.01) {
  FeatureExposure e = quiet_feature();
  e.workload.classes[0].updates_per_second = updates;
  e.workload.updates_per_second = 100 * updates;
  e.by_origin = measured(predict(e.workload, e.delivery, e.budget.max_staleness).over_limit, 3000);
  return e;
}

double number(const Action& action, std::string_view name) {
  for (const auto& [key, value] : action.numbers)
    if (key == name) return value;
  ADD_FAILURE() << "no number " << name;
  return 0.0;
}

// "pull ttl 0 -> 12"
std::string said(const Decision& decision) {
  std::string text;
  for (const Action& one : decision.actions)
    text += fmt::format("{}{} {} {:.3g} -> {:.3g}", text.empty() ? "" : ", ", action_kind_name(one.kind),
                        lever_name(one.lever), one.from.value, one.to.value);
  return text;
}

// Decides again and again, and applies.
struct Loop {
  ControlLimits limits{.added_load_max = 1000, .outside_for = 0s};
  std::vector<SteeredFeature> features{facts()};
  ControlMemory memory;
  MonoTime now = kStart;
  std::string evaluate(FeatureExposure e) {
    const FeatureMemory* known = memory.find(e.feature);
    if (known != nullptr && known->positions.ttl_seconds > 0)
      e.delivery.ttl_seconds = known->positions.ttl_seconds;
    const Decision decision = decide(report_of(now, {std::move(e)}), features, memory, limits);
    memory = decision.memory;
    for (const Action& action : decision.actions) note_done(memory, action, true, now, limits);
    now = now + 5s;
    return said(decision);
  }
  // The first thing that is said within `most`.
  std::string wait(const FeatureExposure& e, Duration most) {
    for (const MonoTime end = now + most; now < end;)
      if (std::string text = evaluate(e); !text.empty()) return text;
    return "";
  }
};

// The lever hides what it was pulled for: of many writes of a key one change is heard.
TEST(WeighTest, WritesThatAreGatheredAreCountedApart) {
  FeatureModel model = model_of(quiet_feature(), facts());
  model.facts.through_share = 0.75;
  model.delivery.own_share = 0.25;
  model.workload.classes = {{1.0, 2.0, 0.5}};
  model.workload.updates_per_second = 50;
  // Half of the changes go through other nodes: 0.25 a second of a key are heard, in windows of 2 s.
  const FeatureModel apart = with_writes_apart(model, 2.0);
  const double written = apart.workload.classes[0].updates_per_second - 0.25;
  EXPECT_NEAR(written, 0.5, 1e-12);
  EXPECT_NEAR(written / (1 + written * 2), 0.25, 1e-12) << "that is what a window makes of them";
  EXPECT_NEAR(apart.workload.updates_per_second, 75, 1e-9);
  EXPECT_EQ(with_writes_apart(model, 0.0).workload.classes[0].updates_per_second, 0.5);
  EXPECT_LT(with_writes_apart(model, 1000.0).workload.classes[0].updates_per_second, 5.0) << "within a bound";
}

TEST(DecideTest, InsideNothingIsDone) {
  Loop loop;
  EXPECT_EQ(loop.wait(quiet_feature(), 1h), "");
}

TEST(DecideTest, OutsideTheTtlIsShortenedUntilTheModelKeepsTheBudget) {
  Loop loop;
  const FeatureExposure e = outside();
  const Decision decision = decide(report_of(kStart, {e}), loop.features, {}, loop.limits);
  ASSERT_EQ(decision.actions.size(), 1U);
  const Action& action = decision.actions[0];
  EXPECT_EQ(action.lever, Lever::kTtl);
  EXPECT_EQ(action.kind, ActionKind::kPull);
  EXPECT_TRUE(action.is_auto);
  FeatureModel model = model_of(e, facts());
  model.delivery.ttl_seconds = action.to.value;
  const double after = predict(model.workload, model.delivery, 5s).over_limit;
  EXPECT_LE(after, 0.55 * 0.02);
  EXPECT_GE(after, 0.5 * 0.55 * 0.02) << "not shorter than needed";
  EXPECT_NEAR(number(action, "predicted_after"), after, 1e-12);
  // The reason names the numbers that caused it.
  EXPECT_NE(action.reason.find("3000 judged by the origin"), std::string::npos) << action.reason;
  EXPECT_NE(action.reason.find("2 % are allowed"), std::string::npos) << action.reason;
}

TEST(DecideTest, NotMeasuredIsNoReason) {
  Loop loop;
  FeatureExposure e = outside();
  e.by_origin = {};
  EXPECT_EQ(loop.wait(e, 10min), "");
}

TEST(DecideTest, AnUnknownWorkloadIsNoReason) {
  Loop loop;
  FeatureExposure e = outside();
  e.workload = {};
  EXPECT_EQ(loop.wait(e, 10min), "");
}

TEST(DecideTest, AnIntervalThatReachesInsideIsNoReason) {
  Loop loop;
  FeatureExposure e = outside();
  e.by_origin = measured(0.03, 50);  // 0.9 % to 10 %
  EXPECT_EQ(loop.evaluate(e), "");
  e.by_origin = measured(0.06, 5000);
  EXPECT_NE(loop.evaluate(e), "");
}

TEST(DecideTest, OneMinuteOutsideForAMomentIsNoReason) {
  Loop loop;
  loop.limits.outside_for = 15s;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(loop.evaluate(outside()), "");
    EXPECT_EQ(loop.evaluate(outside()), "");
    EXPECT_EQ(loop.evaluate(quiet_feature()), "");
  }
  EXPECT_NE(loop.wait(outside(), 20s), "");
}

TEST(DecideTest, HotKeysStaleTogetherAreNoTrend) {
  Loop loop;
  FeatureExposure e = quiet_feature();
  e.by_origin = {};
  e.by_stream = measured(0.05, 12'000);      // every read of a minute …
  e.workload.classes = {{1.0, 40.0, 5e-4}};  // … of five keys
  EXPECT_EQ(loop.evaluate(e), "");
  e.workload.classes = {{1.0, 0.02, 5e-4}};  // of ten thousand
  EXPECT_NE(loop.evaluate(e), "");
}

TEST(DecideTest, AFiringBurnRateIsAReasonBeforeTheIntervalIsNarrow) {
  Loop loop;
  FeatureExposure e = outside();
  e.by_origin = measured(0.03, 200);
  e.state = BudgetState::kPage;
  e.burn = {{.window = 1min, .rate = 3.0, .reads = 500}};
  EXPECT_NE(loop.evaluate(e), "");
  // What fired yesterday and is inside now is no reason.
  Loop later;
  e.by_origin = measured(0.001, 200);
  EXPECT_EQ(later.evaluate(e), "");
}

TEST(DecideTest, StaleBecauseTheOriginFailedIsNoReasonToAskItMore) {
  Loop loop;
  FeatureExposure e = outside();
  e.by_origin.by_cause = {};
  e.by_origin.by_cause[static_cast<std::size_t>(StaleCause::kServeStale)] = e.by_origin.stale_fraction;
  EXPECT_EQ(loop.wait(e, 10min), "");
  FeatureExposure suffering = outside();
  suffering.checks_paused = true;
  EXPECT_EQ(loop.wait(suffering, 10min), "");
}

TEST(DecideTest, ModelIsScaledUntilItExplainsWhatIsMeasured) {
  Loop loop;
  FeatureExposure e = outside();
  e.workload.classes[0].updates_per_second /= 20;  // the estimate lags after a step
  e.workload.updates_per_second /= 20;
  const Decision decision = decide(report_of(kStart, {e}), loop.features, {}, loop.limits);
  ASSERT_EQ(decision.actions.size(), 1U);
  EXPECT_NEAR(number(decision.actions[0], "changes_factor"), 20.0, 2.0);
  Loop exact;
  const Decision same = decide(report_of(kStart, {outside()}), exact.features, {}, exact.limits);
  EXPECT_NEAR(decision.actions[0].to.value, same.actions[0].to.value, 1.0);
}

TEST(DecideTest, AfterAnActionItWaitsForReadsOfAfterIt) {
  Loop loop;
  EXPECT_NE(loop.evaluate(outside()), "");
  const MonoTime pulled = loop.now - 5s;
  const std::string next = loop.wait(outside(0.05), 10min);
  EXPECT_NE(next, "");
  EXPECT_GE(loop.now - 5s - pulled, 70s);
}

TEST(DecideTest, AdviseOnlyAdvisesAndSaysItOnceAnHour) {
  Loop loop;
  FeatureExposure e = outside();
  e.may_steer = false;
  EXPECT_EQ(loop.evaluate(e).substr(0, 11), "advise ttl ");
  EXPECT_EQ(loop.memory.find("profile")->positions, LeverPositions{});
  EXPECT_EQ(loop.wait(e, 59min), "");
  EXPECT_EQ(loop.wait(e, 2min).substr(0, 11), "advise ttl ");
}

TEST(DecideTest, GivenBackWhenItIsKeptWithoutIt) {
  Loop loop;
  EXPECT_EQ(loop.evaluate(outside()).substr(0, 9), "pull ttl ");
  const MonoTime pulled = loop.now;
  FeatureExposure calm = quiet_feature();
  calm.workload.classes[0].updates_per_second = 1e-4;
  calm.by_origin = measured(0.0, 3000);
  const std::string undone = loop.wait(calm, 1h);
  EXPECT_EQ(undone.substr(0, 9), "undo ttl ");
  EXPECT_EQ(undone.substr(undone.size() - 4), "-> 0");
  EXPECT_GE(loop.now - pulled, 5min);
  EXPECT_TRUE(loop.memory.find("profile")->pulled.empty());
  EXPECT_EQ(loop.wait(calm, 1h), "");
}

TEST(DecideTest, KeptWhileTheModelSaysThatItIsNeeded) {
  Loop loop;
  (void)loop.evaluate(outside());
  FeatureExposure kept = outside();
  kept.by_origin = measured(0.012, 3000);
  EXPECT_EQ(loop.wait(kept, 2h), "");
}

TEST(DecideTest, KeptWhileTooFewReadsSayThatItIsCalm) {
  Loop loop;
  (void)loop.evaluate(outside());
  FeatureExposure calm = quiet_feature();
  calm.workload.classes[0].updates_per_second = 1e-4;
  calm.by_origin = measured(0.0, 5);  // each minute; 240 are needed for a high end below 1.6 %
  EXPECT_EQ(loop.wait(calm, 30min), "");
  EXPECT_NE(loop.wait(calm, 1h), "");
}

TEST(DecideTest, WhatHadToBePulledAgainIsKeptTwiceAsLong) {
  Loop loop;
  FeatureExposure calm = quiet_feature();
  calm.workload.classes[0].updates_per_second = 1e-4;
  calm.by_origin = measured(0.0, 3000);
  std::vector<Duration> kept;
  for (int round = 0; round < 4; ++round) {
    ASSERT_NE(loop.wait(outside(), 10min), "");
    const MonoTime pulled = loop.now;
    ASSERT_NE(loop.wait(calm, 3h), "");
    kept.push_back(loop.now - pulled);
  }
  for (std::size_t i = 1; i < kept.size(); ++i)
    EXPECT_NEAR(static_cast<double>((kept[i] - 70s).count()),
                2.0 * static_cast<double>((kept[i - 1] - 70s).count()), 15e9);
}

TEST(DecideTest, LoadCapLimitsHowFarALeverIsPulledAndTheOwnerIsAsked) {
  Loop loop;
  loop.limits.added_load_max = 1.0;
  const Decision decision = decide(report_of(kStart, {outside()}), loop.features, {}, loop.limits);
  ASSERT_FALSE(decision.actions.empty());
  double added = 0.0;
  for (const Action& action : decision.actions)
    if (action.kind == ActionKind::kPull)
      added += number(action, "loads_per_second_after") - number(action, "loads_per_second_before");
  EXPECT_LE(added, 1.0);
  EXPECT_EQ(decision.actions.back().kind, ActionKind::kAdvise);
  EXPECT_EQ(decision.actions.back().lever, Lever::kRelax);
  EXPECT_FALSE(decision.actions.back().is_auto);
}

TEST(DecideTest, OneCapHoldsForAllFeaturesTogether) {
  Loop loop;
  loop.limits.added_load_max = 10.0;
  std::vector<FeatureExposure> exposures;
  for (const char* name : {"a", "b", "c", "d"}) {
    loop.features.push_back(facts(name));
    FeatureExposure e = outside(0.02);
    e.feature = name;
    exposures.push_back(e);
  }
  const Decision decision = decide(report_of(kStart, exposures), loop.features, {}, loop.limits);
  double added = 0.0;
  for (const Action& action : decision.actions)
    if (action.kind == ActionKind::kPull)
      added += number(action, "loads_per_second_after") - number(action, "loads_per_second_before");
  EXPECT_GT(added, 5.0);
  EXPECT_LE(added, 10.0);
}

TEST(DecideTest, MoreReadersMakeALeverGiveWayToTheCap) {
  Loop loop;
  loop.limits.added_load_max = 10.0;
  ASSERT_NE(loop.evaluate(outside()), "");
  // Ten times as many keys: what the shorter ttl adds is ten times as much.
  FeatureExposure more = outside();
  more.workload.reads_per_second *= 10;
  more.by_origin = measured(0.012, 3000);
  const std::string text = loop.evaluate(more);
  EXPECT_EQ(text.substr(0, 9), "undo ttl ");
  // Given back far enough at once: nothing more is said of load.
  EXPECT_EQ(loop.evaluate(more), "");
}

TEST(DecideTest, ALeverThatIsNotAtHandIsNotPulled) {
  Loop loop;
  loop.features[0].not_at_hand[static_cast<std::size_t>(Lever::kTtl)] = "not here";
  loop.limits.added_load_max = 1000.0;
  EXPECT_EQ(loop.evaluate(outside()).substr(0, 18), "pull origin_reads ");
}

TEST(DecideTest, OtherNodesWritesAreInvalidatedSynchronouslyWhenThatIsCheapest) {
  // Hot keys, pushed after 30 s: only the stream's lag makes reads stale.
  FeatureExposure e = quiet_feature();
  e.workload = {.reads_per_second = 50'000, .updates_per_second = 0.4, .classes = {{1.0, 50.0, 4e-4}}};
  e.delivery = {.ttl_seconds = 600, .is_pushed = true, .delay_seconds = 60};
  e.budget.stale_fraction = 0.01;
  e.by_origin = {};
  e.by_stream = measured(0.021, 20'000);
  std::swap(e.by_stream.by_cause[static_cast<std::size_t>(StaleCause::kLag)],
            e.by_stream.by_cause[static_cast<std::size_t>(StaleCause::kTtlOnly)]);
  SteeredFeature feature = facts();
  feature.ttl_seconds = 600;
  feature.facts.can_store = true;
  feature.facts.through_share = 0.9;
  Loop loop;
  loop.features = {feature};
  loop.limits.added_load_max = 100.0;
  EXPECT_EQ(loop.evaluate(e), "pull synchronous 0 -> 1");
}

TEST(DecideTest, WhatTheModelDoesNotExplainIsPutToPeople) {
  Loop loop;
  FeatureExposure e = outside();
  e.workload.classes[0].updates_per_second = 0.0;
  EXPECT_EQ(loop.evaluate(e).substr(0, 13), "advise relax ");
}

TEST(DecideTest, ARefusedActionIsNotRepeatedAtOnce) {
  Loop loop;
  const Decision decision = decide(report_of(loop.now, {outside()}), loop.features, {}, loop.limits);
  loop.memory = decision.memory;
  note_done(loop.memory, decision.actions.at(0), false, loop.now, loop.limits);
  EXPECT_EQ(loop.memory.find("profile")->positions, LeverPositions{});
  EXPECT_EQ(loop.wait(outside(), 60s), "");
  // Another one is tried; the refused one rests.
  const std::string refused =
      std::string("pull ") + std::string(lever_name(decision.actions.at(0).lever)) + " ";
  const std::string next = loop.wait(outside(), 30s);
  EXPECT_NE(next, "");
  EXPECT_FALSE(next.starts_with(refused)) << next;
  EXPECT_GE(
      loop.memory.find("profile")->refused_until[static_cast<std::size_t>(decision.actions.at(0).lever)],
      loop.now + 30min);
}

TEST(DecideTest, ActionsOfAFeatureAreLimitedWithinTheirWindow) {
  Loop loop;
  loop.limits.actions_max = 3;
  loop.limits.calm = 0s;
  FeatureExposure calm = quiet_feature();
  calm.workload.classes[0].updates_per_second = 1e-4;
  calm.by_origin = measured(0.0, 3000);
  int actions = 0;
  for (const MonoTime end = loop.now + 55min; loop.now < end;) {
    const bool is_pulled =
        loop.memory.find("profile") != nullptr && !loop.memory.find("profile")->pulled.empty();
    if (!loop.evaluate(is_pulled ? calm : outside()).empty()) ++actions;
  }
  EXPECT_EQ(actions, 3);
}

}  // namespace
}  // namespace candor
