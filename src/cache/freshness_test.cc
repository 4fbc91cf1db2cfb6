#include "cache/freshness.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

FeaturePolicy policy_of(Duration ttl, Duration serve_stale = 0s) {
  FeaturePolicy policy;
  policy.name = "f";
  policy.ttl = ttl;
  policy.serve_stale = serve_stale;
  return policy;
}

TEST(FreshnessTest, EntryIsFreshUntilItsTtlAndKeptUntilTheGraceEnds) {
  const auto policy = policy_of(10s, 60s);
  const EntryLifetime life = lifetime_of(policy, 1000, 1000, 10s);
  const l1::EntryMeta meta{.loaded_at = life.loaded_at, .expires_at = life.expires_at};
  EXPECT_EQ(life.expires_at, 1000 + 70'000);
  EXPECT_TRUE(is_fresh(policy, meta, 10'999));
  EXPECT_FALSE(is_fresh(policy, meta, 11'000));
}

TEST(FreshnessTest, NegativeEntryHasNoGrace) {
  const auto policy = policy_of(10s, 60s);
  const l1::EntryMeta meta{.expires_at = 2000, .negative = true};
  EXPECT_EQ(fresh_until(policy, meta), 2000);
}

TEST(FreshnessTest, NoTtlNeverExpires) {
  const auto policy = policy_of(0s);
  const EntryLifetime life = lifetime_of(policy, 1000, 1000, 0s);
  EXPECT_EQ(life.expires_at, 0);
  EXPECT_TRUE(is_fresh(policy, l1::EntryMeta{}, INT64_MAX));
}

TEST(FreshnessTest, AgeOfAnL2HitMovesLoadedAtBack) {
  const EntryLifetime life = lifetime_of(policy_of(60s), 100'000, 95'000, 55s);
  EXPECT_EQ(life.loaded_at, 95'000);
  EXPECT_EQ(life.expires_at, 155'000);
}

TEST(FreshnessTest, JitterShortensAndNeverExtends) {
  Random random(7);
  const auto policy = policy_of(100s);
  Duration lowest = 100s;
  for (int i = 0; i < 1000; ++i) {
    const Duration ttl = jittered_ttl(policy, false, random);
    EXPECT_LE(ttl, 100s);
    EXPECT_GE(ttl, 90s);
    lowest = std::min(lowest, ttl);
  }
  EXPECT_LT(lowest, 91s);
}

TEST(FreshnessTest, NegativeTtlNeverExceedsTtl) {
  Random random(7);
  auto policy = policy_of(1s);
  policy.negative_ttl = 60s;
  EXPECT_LE(jittered_ttl(policy, true, random), 1s);
}

TEST(FreshnessTest, EarlyRefreshBecomesCertainAtExpiryAndNeverHappensFarFromIt) {
  Random random(3);
  const auto policy = policy_of(60s);
  int near = 0;
  int far = 0;
  for (int i = 0; i < 10'000; ++i) {
    near += should_refresh_early(policy, 10ms, 1'000'000, 1'000'000 - 1, random) ? 1 : 0;
    far += should_refresh_early(policy, 10ms, 1'000'000, 1'000'000 - 30'000, random) ? 1 : 0;
  }
  EXPECT_EQ(far, 0);
  // P(−ln u · 10 ms ≥ 1 ms) = e^−0.1 = 0.905
  EXPECT_NEAR(near, 9048, 200);
}

TEST(FreshnessTest, RefreshIsOffWithBetaZero) {
  Random random(3);
  auto policy = policy_of(60s);
  policy.refresh_beta = 0;
  EXPECT_FALSE(should_refresh_early(policy, 1s, 1000, 999, random));
}

TEST(FreshnessTest, OnlyLevelsWithoutAProofMayBeAnsweredByTiers) {
  EXPECT_TRUE(tiers_may_answer(Consistency::kEventual));
  EXPECT_TRUE(tiers_may_answer(Consistency::kSession));
  EXPECT_FALSE(tiers_may_answer(Consistency::kBounded));
  EXPECT_FALSE(tiers_may_answer(Consistency::kStrong));
  EXPECT_FALSE(tiers_may_answer(Consistency::kOrigin));
}

}  // namespace
}  // namespace candor
