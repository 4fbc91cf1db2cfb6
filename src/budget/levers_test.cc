#include "budget/levers.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"

namespace candor {
namespace {

// A feature of one kind of key: changed every 50 s, read ten times a second, ttl 60 s, nobody listens.
FeatureModel plain_model() {
  FeatureModel model;
  model.workload = {.reads_per_second = 1000, .updates_per_second = 2, .classes = {{1.0, 10, 0.02}}};
  model.delivery = {.ttl_seconds = 60};
  model.budget = {.max_staleness = 5s, .stale_fraction = 0.01};
  model.facts = {.can_watch = true, .can_store = true, .through_share = 0.8};
  return model;
}

double over(const FeatureModel& model, const LeverPositions& positions) {
  return outcome_of(model, positions).exposure.over_limit;
}

TEST(LeversTest, UntouchedLeversPredictWhatTheDeliveryPredicts) {
  const FeatureModel model = plain_model();
  const Outcome outcome = outcome_of(model, {});
  const Exposure exposure = predict(model.workload, model.delivery, model.budget.max_staleness);
  EXPECT_NEAR(outcome.exposure.over_limit, exposure.over_limit, 1e-12);
  EXPECT_NEAR(outcome.exposure.stale, exposure.stale, 1e-12);
  EXPECT_NEAR(outcome.origin_loads_per_second, exposure.loads_per_second, 1e-9);
  EXPECT_NEAR(outcome.updates_per_second, 2.0, 1e-9);
  EXPECT_NEAR(outcome.origin_writes_per_second, 1.6, 1e-9);
  EXPECT_EQ(outcome.write_wait_seconds, 0.0);
}

TEST(LeversTest, ShorterTtlNeverPredictsMoreStaleness) {
  Random random(7);
  for (int round = 0; round < 200; ++round) {
    FeatureModel model = plain_model();
    model.workload.classes = {{1.0, 50 * random.unit(), 2 * random.unit()}};
    model.delivery.is_pushed = round % 2 == 0;
    model.delivery.delay_seconds = 8 * random.unit();
    model.delivery.delay_p99_seconds = round % 4 == 0 ? 30 * random.unit() : 0.0;
    model.delivery.loss = random.unit();
    model.delivery.ttl_jitter = round % 3 == 0 ? 0.1 : 0.0;
    double before = 1.0, loads_before = 0.0;
    for (double ttl = 200.0; ttl > 0.5; ttl *= 0.8) {
      const Outcome now = outcome_of(model, {.ttl_seconds = ttl, .refresh_on_change = round % 5 == 0});
      EXPECT_LE(now.exposure.over_limit, before * (1 + 1e-9) + 1e-15) << "round " << round << " ttl " << ttl;
      EXPECT_GE(now.origin_loads_per_second, loads_before * (1 - 1e-9));
      before = now.exposure.over_limit;
      loads_before = now.origin_loads_per_second;
    }
  }
}

TEST(LeversTest, MoreOfALeverNeverPredictsMoreStaleness) {
  Random random(11);
  for (int round = 0; round < 100; ++round) {
    FeatureModel model = plain_model();
    model.workload.classes = {{0.5, 50 * random.unit(), 2 * random.unit()}, {0.5, random.unit(), 0.1}};
    model.delivery.is_pushed = round % 2 == 0;
    model.delivery.delay_seconds = 8 * random.unit();
    model.delivery.loss = random.unit();
    model.facts.through_share = random.unit();
    const double untouched = over(model, {});
    double last = untouched;
    for (double fraction = 0.0; fraction <= 1.0; fraction += 0.125) {
      const double now = over(model, {.origin_fraction = fraction});
      EXPECT_LE(now, last + 1e-12);
      last = now;
    }
    EXPECT_EQ(last, 0.0);
    last = untouched;
    for (double period = 1000.0; period > 0.1; period /= 2.0) {
      const double now = over(model, {.sweep_seconds = period});
      EXPECT_LE(now, last * 1.01 + 1e-12) << period;  // sixteen points stand for the sweep's round
      last = now;
    }
    EXPECT_LE(over(model, {.watch = true}), untouched + 1e-12);
    EXPECT_LE(over(model, {.synchronous = true}), untouched + 1e-12);
    // With push a later change of a key is what finds an earlier one that was lost; merging takes that away.
    if (!model.delivery.is_pushed) {
      EXPECT_LE(over(model, {.batch_seconds = 3}), untouched + 1e-12);
    }
    EXPECT_LE(over(model, {.origin_above_seconds = 5}), untouched + 1e-12);
  }
}

TEST(LeversTest, HearingOfChangesLeavesTheDelayAndTheLost) {
  FeatureModel model = plain_model();
  model.facts.push_delay_seconds = 0.1;
  model.facts.push_delay_p99_seconds = 0.0;
  model.facts.push_loss = 0.01;
  const LeverEffect effect = evaluate(model, {}, {Lever::kWatch, 1.0});
  ASSERT_TRUE(effect.is_possible());
  // Lost ones alone, about u q T / 2 counted from S on.
  EXPECT_NEAR(effect.after.exposure.over_limit / effect.before.exposure.over_limit, 0.01, 0.005);
  EXPECT_LT(effect.over_limit_change(), 0.0);
  EXPECT_GT(effect.cost, 0.0);
}

TEST(LeversTest, SynchronousReachesOnlyWhatGoesThroughCandor) {
  FeatureModel model = plain_model();
  model.facts.through_share = 1.0;
  EXPECT_EQ(over(model, {.synchronous = true}), 0.0);
  EXPECT_NEAR(outcome_of(model, {.synchronous = true}).write_wait_seconds, model.facts.region_seconds, 1e-12);
  model.facts.through_share = 0.5;
  const double half = over(model, {.synchronous = true});
  EXPECT_GT(half, 0.2 * over(model, {}));
  EXPECT_LT(half, over(model, {}));
}

TEST(LeversTest, BatchingMergesWritesOfOneKey) {
  FeatureModel model = plain_model();
  model.facts.through_share = 1.0;
  model.workload = {.reads_per_second = 100, .updates_per_second = 30, .classes = {{1.0, 10, 3.0}}};
  const Outcome batched = outcome_of(model, {.batch_seconds = 3});
  EXPECT_NEAR(batched.origin_writes_per_second, 30.0 / (1 + 3.0 * 3), 1e-9);
  EXPECT_NEAR(batched.updates_per_second, 3.0, 1e-9);
  EXPECT_EQ(batched.visibility_delay_seconds, 3.0);
  // A twentieth of the load's price is saved for each write that does not happen, at most.
  const LeverEffect effect = evaluate(model, {}, {Lever::kBatchWrites, 3.0});
  EXPECT_NEAR(effect.cost,
              CostWeights{}.write_behind_standing + CostWeights{}.visibility * 30 * 3 -
                  model.facts.load_seconds * 27 + model.facts.load_seconds * effect.origin_loads_added(),
              1e-9);
}

TEST(LeversTest, WhatThisNodeWritesIsNeverStaleHere) {
  FeatureModel model = plain_model();
  model.facts.through_share = model.delivery.own_share = 1.0;
  EXPECT_EQ(outcome_of(model, {}).exposure.stale, 0.0);
  EXPECT_EQ(outcome_of(model, {.batch_seconds = 3}).exposure.stale, 0.0);
  EXPECT_FALSE(why_not(model, {}, Lever::kSynchronous).empty()) << "there is nobody else to wait for";
  model.delivery.own_share = 0.5;
  EXPECT_TRUE(why_not(model, {}, Lever::kSynchronous).empty());
  EXPECT_LE(over(model, {.batch_seconds = 3}), over(model, {}));
}

TEST(LeversTest, RefreshOnChangeMakesReadsFasterNotFresher) {
  FeatureModel model = plain_model();
  model.delivery.is_pushed = true;
  model.delivery.delay_seconds = 0.5;
  const LeverEffect effect = evaluate(model, {}, {Lever::kRefreshOnChange, 1.0});
  EXPECT_LT(effect.after.exposure.miss_ratio, effect.before.exposure.miss_ratio);
  EXPECT_GE(effect.after.exposure.stale, effect.before.exposure.stale);
  EXPECT_GT(effect.after.exposure.refreshes_per_second, 0.0);
}

TEST(LeversTest, LevelsThatProveKeepTheirPromise) {
  FeatureModel model = plain_model();
  model.delivery.is_pushed = true;
  model.delivery.delay_seconds = 10;
  EXPECT_GT(over(model, {}), 0.0);
  EXPECT_EQ(over(model, {.origin_above_seconds = 5}), 0.0);
  model.facts.serving = Serving::kProven;
  EXPECT_EQ(over(model, {}), 0.0);
  model.delivery.loss = 0.2;
  EXPECT_GT(over(model, {}), 0.0) << "a proof does not cover what the feed never tells of";
  model.delivery.loss = 0.0;
  EXPECT_GT(outcome_of(model, {}).origin_loads_per_second, 700.0) << "each proof is older than its limit";
  model.facts.serving = Serving::kConfirmed;
  EXPECT_EQ(outcome_of(model, {}).exposure.stale, 0.0);
  EXPECT_GT(outcome_of(model, {}).origin_checks_per_second, 700.0);
  model.delivery.is_pushed = false;  // nothing can be proven: the origin is read
  EXPECT_EQ(outcome_of(model, {}).origin_loads_per_second, 1000.0);
  model.facts.serving = Serving::kOrigin;
  EXPECT_EQ(outcome_of(model, {}).origin_loads_per_second, 1000.0);
  EXPECT_EQ(outcome_of(model, {.origin_fraction = 0.5}).origin_loads_per_second, 1000.0);
}

TEST(LeversTest, WhatCannotBePulledSaysWhy) {
  FeatureModel model = plain_model();
  model.facts.can_watch = model.facts.can_store = false;
  for (Lever lever : {Lever::kWatch, Lever::kRefreshOnChange, Lever::kSynchronous, Lever::kBatchWrites}) {
    const LeverEffect effect = evaluate(model, {}, {lever, 1.0});
    EXPECT_FALSE(effect.is_possible()) << lever_name(lever);
    EXPECT_EQ(effect.over_limit_change(), 0.0);
  }
  model.facts.can_store = true;
  model.facts.through_share = 0.0;
  EXPECT_FALSE(why_not(model, {}, Lever::kSynchronous).empty());
  EXPECT_TRUE(why_not(model, {}, Lever::kTtl).empty());
  EXPECT_TRUE(why_not(model, {}, Lever::kOriginReads).empty());
}

TEST(LeversTest, CostOfPullingAndOfGivingBackCancel) {
  FeatureModel model = plain_model();
  const LeverPositions on{.ttl_seconds = 10, .watch = true, .batch_seconds = 2, .origin_fraction = 0.2};
  const Outcome before = outcome_of(model, {}), after = outcome_of(model, on);
  EXPECT_NEAR(cost_of(model, {}, before, on, after, {}), -cost_of(model, on, after, {}, before, {}), 1e-12);
}

}  // namespace
}  // namespace candor
