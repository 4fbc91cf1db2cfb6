#include "budget/planner.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace candor {
namespace {

FeatureModel profile() {
  FeatureModel model;
  model.workload = {.reads_per_second = 1000, .updates_per_second = 2, .classes = {{1.0, 10, 0.02}}};
  model.delivery = {.ttl_seconds = 60};
  model.budget = {.max_staleness = 5s, .stale_fraction = 0.01};
  model.facts = {.can_watch = true, .can_store = true, .through_share = 0.8};
  return model;
}

const LeverEffect& effect_of(const Plan& plan, Lever lever) {
  for (const LeverEffect& effect : plan.levers)
    if (effect.lever == lever) return effect;
  throw std::out_of_range("no such lever");
}

TEST(PlannerTest, UnknownWorkloadClaimsNothing) {
  FeatureModel model = profile();
  model.workload.classes.clear();
  const Plan plan = make_plan(model);
  EXPECT_EQ(plan.verdict, PlanVerdict::kUnknown);
  EXPECT_TRUE(plan.levers.empty());
  EXPECT_FALSE(plan.reason.empty());
}

TEST(PlannerTest, SomeBudgetsAreKeptWhateverTheWorkload) {
  FeatureModel model = profile();
  model.workload.classes.clear();
  for (Serving serving : {Serving::kProven, Serving::kConfirmed, Serving::kOrigin}) {
    model.facts.serving = serving;
    EXPECT_EQ(make_plan(model).verdict, PlanVerdict::kKept);
  }
  model.facts.serving = Serving::kFromTier;
  model.delivery.ttl_seconds = 5;
  EXPECT_EQ(make_plan(model).verdict, PlanVerdict::kKept);
  model.delivery.ttl_seconds = 5.1;
  EXPECT_EQ(make_plan(model).verdict, PlanVerdict::kUnknown);
}

TEST(PlannerTest, KeptBudgetNeedsNothingAndShowsHowLongTheTtlMayBe) {
  FeatureModel model = profile();
  model.delivery.ttl_seconds = 6;
  const Plan plan = make_plan(model);
  EXPECT_EQ(plan.verdict, PlanVerdict::kKept);
  EXPECT_TRUE(plan.cheapest.empty());
  EXPECT_GT(plan.margin, 1.0);
  ASSERT_GT(plan.ttl_seconds_longest, 6.0);
  EXPECT_LE(outcome_of(model, {.ttl_seconds = plan.ttl_seconds_longest}).exposure.over_limit, 0.008);
  EXPECT_GT(outcome_of(model, {.ttl_seconds = plan.ttl_seconds_longest * 1.02}).exposure.over_limit, 0.008);
  EXPECT_LT(effect_of(plan, Lever::kTtl).cost, 0.0) << "a longer ttl saves loads";
}

TEST(PlannerTest, CloseToTheLimitIsSaid) {
  FeatureModel model = profile();
  model.budget.stale_fraction = outcome_of(model, {}).exposure.over_limit * 1.05;
  const Plan plan = make_plan(model);
  EXPECT_EQ(plan.verdict, PlanVerdict::kKept);
  EXPECT_NE(plan.reason.find("closer"), std::string::npos);
}

// The plan's own claim, checked from outside: pulled one after another, its settings keep the budget within
// the limits; and no single lever that does is cheaper.
TEST(PlannerTest, WhatItRecommendsKeepsTheBudget) {
  Random random(3);
  int needed = 0, kept = 0, impossible = 0;
  for (int round = 0; round < 300; ++round) {
    FeatureModel model = profile();
    const double reads = std::pow(10.0, 4 * random.unit() - 1);
    model.workload = {.reads_per_second = reads * 100,
                      .updates_per_second = 0.0,
                      .classes = {{0.7, reads, std::pow(10.0, 4 * random.unit() - 4)},
                                  {0.3, reads / 50, std::pow(10.0, 4 * random.unit() - 4)}}};
    model.delivery.ttl_seconds = std::pow(10.0, 4 * random.unit());
    model.delivery.is_pushed = random.unit() < 0.3;
    model.delivery.delay_seconds = random.unit();
    model.delivery.delay_p99_seconds = 8 * random.unit();
    model.delivery.loss = random.unit() < 0.5 ? 0.0 : 0.1 * random.unit();
    model.budget.max_staleness = std::chrono::milliseconds(10 + random.below(20'000));
    model.budget.stale_fraction = random.unit() < 0.1 ? 0.0 : std::pow(10.0, -5 * random.unit());
    model.facts.can_watch = random.unit() < 0.5;
    model.facts.can_store = random.unit() < 0.5;
    model.facts.through_share = random.unit();
    PlanLimits limits;
    if (random.unit() < 0.5) limits.origin_loads_added_max = reads * 10 * random.unit();
    const Plan plan = make_plan(model, limits);
    LeverPositions at;
    for (const LeverSetting& setting : plan.cheapest) {
      EXPECT_TRUE(why_not(model, at, setting.lever).empty()) << lever_name(setting.lever);
      at = with_setting(at, setting);
    }
    EXPECT_EQ(at, plan.positions);
    const Outcome reached = outcome_of(model, at);
    EXPECT_DOUBLE_EQ(reached.exposure.over_limit, plan.planned.exposure.over_limit);
    const double added = reached.origin_loads_per_second - plan.configured.origin_loads_per_second;
    EXPECT_LE(added, limits.origin_loads_added_max + 1e-9);
    switch (plan.verdict) {
      case PlanVerdict::kKept:
        ++kept;
        EXPECT_LE(reached.exposure.over_limit, model.budget.stale_fraction);
        break;
      case PlanVerdict::kNeedsLever:
        ++needed;
        EXPECT_GT(plan.configured.exposure.over_limit, model.budget.stale_fraction);
        EXPECT_LE(reached.exposure.over_limit, model.budget.stale_fraction * 0.8 + 1e-15);
        for (std::size_t i = 0; i < plan.levers.size(); ++i) {
          if (plan.suffices[i]) {
            EXPECT_LE(plan.cost, plan.levers[i].cost + 1e-3 * std::abs(plan.levers[i].cost) + 1e-9)
                << "round " << round << ": " << lever_name(plan.levers[i].lever) << " alone is cheaper";
          }
        }
        break;
      case PlanVerdict::kImpossible:
        ++impossible;
        ASSERT_FALSE(plan.cheapest.empty());
        EXPECT_EQ(plan.cheapest.back().lever, Lever::kRelax);
        EXPECT_LE(reached.exposure.over_limit, plan.cheapest.back().value + 1e-15);
        for (std::size_t i = 0; i + 1 < plan.levers.size(); ++i) EXPECT_FALSE(plan.suffices[i]);
        break;
      case PlanVerdict::kUnknown:
        ADD_FAILURE() << "the workload is known";
    }
  }
  // The draw must reach every verdict, else the test proves little.
  EXPECT_GT(needed, 30);
  EXPECT_GT(kept, 30);
  EXPECT_GT(impossible, 10);
}

TEST(PlannerTest, WatchIsCheaperThanATtlThatReloadsAThousandTimesASecond) {
  FeatureModel model = profile();
  model.budget.stale_fraction = 0.0005;
  const Plan plan = make_plan(model);
  ASSERT_EQ(plan.verdict, PlanVerdict::kNeedsLever);
  ASSERT_EQ(plan.cheapest.size(), 1u);
  EXPECT_EQ(plan.cheapest[0].lever, Lever::kWatch);
}

TEST(PlannerTest, NothingAllowedIsKeptByATtlWithinTheLimit) {
  FeatureModel model = profile();
  model.facts.can_watch = model.facts.can_store = false;
  model.budget.stale_fraction = 0.0;
  const Plan plan = make_plan(model);
  ASSERT_EQ(plan.verdict, PlanVerdict::kNeedsLever);
  ASSERT_EQ(plan.cheapest.size(), 1u);
  EXPECT_EQ(plan.cheapest[0].lever, Lever::kTtl);
  EXPECT_NEAR(plan.cheapest[0].value, 5.0, 0.05);
}

TEST(PlannerTest, ImpossibleSaysWhatStandsInTheWay) {
  FeatureModel model = profile();
  model.facts.can_watch = model.facts.can_store = false;
  model.budget.max_staleness = 50ms;
  model.budget.stale_fraction = 1e-6;
  const Plan plan = make_plan(model, {.origin_loads_added_max = 20});
  ASSERT_EQ(plan.verdict, PlanVerdict::kImpossible);
  EXPECT_NE(plan.reason.find("its origin tells of no changes"), std::string::npos) << plan.reason;
  EXPECT_NE(plan.reason.find("the cap is 20"), std::string::npos) << plan.reason;
  EXPECT_GE(plan.planned_margin, 1.0) << "relaxed to what can be kept";
}

TEST(PlannerTest, LostChangesOfALongTtlAreSweptWhenTheOwnerGivesWay) {
  FeatureModel model = profile();
  model.delivery = {.ttl_seconds = 86'400, .is_pushed = true, .delay_seconds = 0.01, .loss = 0.5};
  model.facts.can_store = false;
  model.budget = {.max_staleness = 1s, .stale_fraction = 1e-9};
  const Plan plan = make_plan(model, {.origin_loads_added_max = 1});
  ASSERT_EQ(plan.verdict, PlanVerdict::kImpossible);
  EXPECT_EQ(plan.positions.sweep_seconds, PlanLimits{}.sweep_seconds_min);
  EXPECT_LT(plan.planned.exposure.over_limit, 0.9 * plan.configured.exposure.over_limit);
}

}  // namespace
}  // namespace candor
