#include "capacity/capacity_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "tier/l1/policy.h"

namespace candor::capacity {
namespace {

using l1::Access;

constexpr FeatureId kFirst{0}, kSecond{1};
constexpr std::uint32_t kBytes = 100;

// Keys by Zipf's law: rank r with a chance of about 1/r^s. Drawn by inversion of the continuous law.
class Zipf {
 public:
  Zipf(std::uint64_t keys, double skew) : keys_(static_cast<double>(keys)), skew_(skew) {}
  std::uint64_t operator()(Random& random) const {
    const double u = random.unit();
    const double power = 1 - skew_;
    const double rank = std::pow(u * (std::pow(keys_ + 1, power) - 1) + 1, 1 / power);
    return static_cast<std::uint64_t>(rank) - 1;
  }

 private:
  double keys_, skew_;
};

// What a node would tell of a cache of that policy: hits, misses, fills. And the truth, at every size.
class World {
 public:
  explicit World(const CapacityModel::Options& options, double capacity)
      : log_(options.features, 1, 64), model_(options, &log_) {
    model_.set_capacity(capacity);
    for (std::size_t i = 0; i < options.features; ++i)
      model_.follow(FeatureId{static_cast<std::uint16_t>(i)}, true, 0s);
    for (std::size_t i = 0; i < kFactors.size(); ++i)
      caches_.emplace_back(
          l1::make_policy(options.policy, 100 + i),
          l1::QueueModel::Weighted{static_cast<std::size_t>(capacity * kFactors[i]), 1 << 20}, 200 + i);
    misses_.resize(caches_.size());
  }

  void read(std::uint64_t number, FeatureId feature = kFirst, std::uint32_t bytes = kBytes) {
    const std::uint64_t hash = mix64(number * 2 + feature.value);
    ++reads_;
    bool hit = false;
    for (std::size_t i = 0; i < caches_.size(); ++i) {
      const bool found = caches_[i].request(hash, bytes);
      if (!found) ++misses_[i];
      if (i == 1) hit = found;
    }
    model_.count(feature, 1, hit ? 1 : 0);
    if (!log_.watches(hash, feature)) return;
    Access access{.hash = hash, .bytes = hit ? bytes : 0, .feature = feature};
    access.kind = hit ? Access::Kind::kHit : Access::Kind::kMiss;
    tell(access);
    if (hit) return;
    access.kind = Access::Kind::kStored;
    access.bytes = bytes;
    tell(access);
  }
  void tell(const Access& access) {
    model_.take(std::span(&access, 1), now_ms_);
    if (++told_ % 1000 == 0) model_.settle(now_ = now_ + 100ms);
  }
  [[nodiscard]] double miss_ratio(std::size_t factor) const {
    return static_cast<double>(misses_[factor]) / static_cast<double>(reads_);
  }

  l1::AccessLog log_;
  CapacityModel model_;
  std::vector<l1::QueueModel> caches_;
  std::vector<std::uint64_t> misses_;
  std::uint64_t reads_ = 0, told_ = 0;
  MonoTime now_{1};
  l1::Millis now_ms_ = 1;
};

CapacityModel::Options unhurried(l1::PolicyKind policy, std::size_t memory = 2'000'000) {
  CapacityModel::Options options;
  options.memory = memory;
  options.features = 2;
  options.half_life = std::chrono::hours(100'000);
  options.records_per_second_max = 1e12;
  options.policy = policy;
  return options;
}

TEST(CapacityModel, OfAZipfLawItPredictsWhatLruAndL1WouldMiss) {
  for (const l1::PolicyKind policy : {l1::PolicyKind::kLru, l1::PolicyKind::kDefault}) {
    World world(unhurried(policy), 3000.0 * kBytes);
    const Zipf zipf(60'000, 0.9);
    Random random(1);
    for (int i = 0; i < 600'000; ++i) world.read(zipf(random));
    const auto estimate = world.model_.of_all();
    // The default policy chooses between regimes by what it sees; a small copy may choose otherwise for a
    // while.
    const double within = policy == l1::PolicyKind::kLru ? 0.015 : 0.03;
    for (std::size_t i = 0; i < kFactors.size(); ++i)
      EXPECT_NEAR(1 - estimate.predicted[i], world.miss_ratio(i), within)
          << kFactors[i] << l1::policy_name(policy);
    EXPECT_NEAR(1 - estimate.hit_ratio, world.miss_ratio(1), 1e-9);
    if (policy != l1::PolicyKind::kLru) continue;
    for (std::size_t i = 0; i < kFactors.size(); ++i)
      EXPECT_NEAR(world.model_.lru_miss_ratio_of_all(3000.0 * kBytes * kFactors[i]), world.miss_ratio(i),
                  0.015)
          << kFactors[i];
    EXPECT_LT(estimate.rate + world.model_.of(kFirst).rate, 1.0);  // it was a sample
    world.model_.check_invariants();
  }
}

TEST(CapacityModel, AScanBesideAHotSetIsToldApartByFeature) {
  World world(unhurried(l1::PolicyKind::kLru), 5000.0 * kBytes);
  Random random(1);
  std::uint64_t next = 0;
  for (int i = 0; i < 200'000; ++i) {
    world.read(random.below(1000), kFirst);
    world.read(next++, kSecond);
  }
  // One read of the hot set in e^4 comes after 4000 others, which with as many of the scan fill the cache.
  EXPECT_NEAR(1 - world.model_.of(kFirst).predicted[1], 0.018 + 0.005, 0.01);
  EXPECT_GT(1 - world.model_.of(kSecond).predicted[3], 0.98);
  EXPECT_GT(world.model_.of(kSecond).cold, 0.98);
  // On its own, the hot set needs what it weighs.
  EXPECT_GT(world.model_.lru_miss_ratio(kFirst, 500.0 * kBytes), 0.3);
  EXPECT_LT(world.model_.lru_miss_ratio(kFirst, 1100.0 * kBytes), 0.02);
}

TEST(CapacityModel, SizesCountNotKeys) {
  World world(unhurried(l1::PolicyKind::kLru), 100'000);
  for (int round = 0; round < 20; ++round)
    for (std::uint64_t key = 0; key < 100; ++key) world.read(key, kFirst, 2000);  // a loop of 200,000 bytes
  EXPECT_GT(1 - world.model_.of_all().predicted[1], 0.95);
  EXPECT_LT(1 - world.model_.of_all().predicted[3], 0.10);
  EXPECT_NEAR(world.model_.of_all().working_set_bytes, 200'000, 20'000);
}

TEST(CapacityModel, NoMemoryHelpsAgainstChanges) {
  World world(unhurried(l1::PolicyKind::kLru), 1e6);
  for (int round = 0; round < 100; ++round) {
    for (std::uint64_t key = 0; key < 50; ++key) {
      Access access{.hash = mix64(key), .feature = kFirst};
      access.kind = Access::Kind::kMiss;
      world.model_.count(kFirst, 1, 0);
      world.tell(access);
      access.kind = Access::Kind::kStored;
      access.bytes = kBytes;
      world.tell(access);
      access.kind = Access::Kind::kErased;  // changed at the origin before the next read
      world.tell(access);
    }
  }
  EXPECT_DOUBLE_EQ(world.model_.of(kFirst).cold, 1.0);
  for (const double predicted : world.model_.of(kFirst).predicted) EXPECT_DOUBLE_EQ(predicted, 0.0);
}

TEST(CapacityModel, WhatHasExpiredMissesAtEverySize) {
  World world(unhurried(l1::PolicyKind::kLru), 1e6);
  for (int round = 0; round < 100; ++round) {
    Access access{.hash = 77, .feature = kFirst};
    access.kind = Access::Kind::kMiss;
    world.model_.count(kFirst, 2, 1);
    world.tell(access);
    access.kind = Access::Kind::kStored;
    access.bytes = kBytes;
    access.expires_at = world.now_ms_ + 1000;
    world.tell(access);
    access.kind = Access::Kind::kHit;
    world.tell(access);
    world.now_ms_ += 2000;
  }
  EXPECT_NEAR(world.model_.of(kFirst).cold, 0.5, 1e-9);
  EXPECT_NEAR(world.model_.of(kFirst).predicted[3], 0.5, 1e-9);
}

// With `on_origin_failure = { serve_stale = … }` L1 keeps, and finds, what may not be served any more.
TEST(CapacityModel, WhatIsKeptForItsGraceMissesAtEverySizeAsWell) {
  World world(unhurried(l1::PolicyKind::kLru), 1e6);
  world.model_.follow(kFirst, true, 10min);
  for (int round = 0; round < 100; ++round) {
    Access access{.hash = 77, .feature = kFirst};
    access.kind = round == 0 ? Access::Kind::kMiss : Access::Kind::kHit;
    access.bytes = round == 0 ? 0 : kBytes;
    world.model_.count(kFirst, 1, 0);
    world.tell(access);
    access.kind = Access::Kind::kStored;
    access.bytes = kBytes;
    access.expires_at = world.now_ms_ + 1000 + 600'000;
    world.tell(access);
    world.now_ms_ += 2000;
  }
  EXPECT_NEAR(world.model_.of(kFirst).predicted[3], 0.0, 1e-9);
}

// The fill comes over the home thread, the read over a reader's.
TEST(CapacityModel, AFillThatOvertakesItsReadIsStillOneMiss) {
  World world(unhurried(l1::PolicyKind::kLru), 1e6);
  for (std::uint64_t key = 1; key <= 100; ++key) {
    const Access batch[2] = {
        {.hash = mix64(key), .bytes = kBytes, .feature = kFirst, .kind = Access::Kind::kStored},
        {.hash = mix64(key), .feature = kFirst, .kind = Access::Kind::kMiss}};
    world.model_.count(kFirst, 1, 0);
    world.model_.take(batch, 1);
  }
  EXPECT_DOUBLE_EQ(world.model_.of(kFirst).predicted[3], 0.0);
}

TEST(CapacityModel, WhatWasInL1BeforeAnybodyLookedIsNoMiss) {
  World world(unhurried(l1::PolicyKind::kLru), 1e6);
  for (std::uint64_t key = 1; key <= 100; ++key) {
    world.model_.count(kFirst, 1, 1);
    world.tell({.hash = mix64(key), .bytes = kBytes, .feature = kFirst, .kind = Access::Kind::kHit});
  }
  EXPECT_DOUBLE_EQ(world.model_.of(kFirst).predicted[0], 1.0);
}

TEST(CapacityModel, ItsMemoryIsBoundedWhateverComes) {
  const std::size_t memory = 500'000;
  World world(unhurried(l1::PolicyKind::kDefault, memory), 1e9);
  for (std::uint64_t i = 0; i < 300'000; ++i) world.read(i % 150'000);
  EXPECT_LE(world.model_.memory_bytes(), memory);
  EXPECT_GT(world.model_.keys(), world.model_.keys_max() / 2);
  world.model_.check_invariants();
}

TEST(CapacityModel, MoreRecordsThanItHasTimeForMakeTheSampleSmaller) {
  auto options = unhurried(l1::PolicyKind::kLru);
  options.records_per_second_max = 1000;
  World world(options, 1e6);
  for (int i = 0; i < 300'000; ++i) world.read(static_cast<std::uint64_t>(i) % 2000);
  EXPECT_LT(world.model_.of(kFirst).rate, 0.5);
  EXPECT_GT(world.model_.of(kFirst).keys, 20U);
}

TEST(CapacityModel, AReadWhoseRecordIsLostIsNoHit) {
  World world(unhurried(l1::PolicyKind::kLru), 1000.0 * kBytes);
  Random random(1);
  std::vector<Access> records;
  for (int i = 0; i < 100'000; ++i) {  // nearly all of them miss
    const std::uint64_t hash = mix64(random.below(1'000'000));
    world.model_.count(kFirst, 1, 0);
    if (!world.log_.watches(hash, kFirst)) continue;
    world.log_.record_read(0, hash, kFirst, 0);
    if (i % 1000 != 0) continue;  // of 64 that fit
    records.clear();
    world.log_.drain(&records);
    world.model_.take(records, 0);
  }
  EXPECT_GT(world.log_.lost_reads(kFirst), 50'000U);
  EXPECT_EQ(world.log_.lost_reads(kSecond), 0U);
  for (const double predicted : world.model_.of(kFirst).predicted) EXPECT_LT(predicted, 0.02);
  EXPECT_LT(world.model_.of_all().predicted[0], 0.02);
  EXPECT_NEAR(world.model_.lru_miss_ratio(kFirst, 1000.0 * kBytes), 1, 0.02);
}

TEST(CapacityModel, TheCurveFollowsTheLoad) {
  auto options = unhurried(l1::PolicyKind::kLru);
  options.half_life = 60s;
  World world(options, 1000.0 * kBytes);
  Random random(1);
  for (int i = 0; i < 100'000; ++i) world.read(random.below(100));
  EXPECT_GT(world.model_.of_all().predicted[0], 0.98);
  for (int i = 0; i < 20; ++i) world.model_.settle(world.now_ = world.now_ + 60s);
  for (int i = 0; i < 100'000; ++i) world.read(1'000'000 + random.below(100'000));
  EXPECT_LT(world.model_.of_all().predicted[0], 0.10);
}

TEST(CapacityModel, AFeatureThatIsNotFollowedIsNotWatched) {
  World world(unhurried(l1::PolicyKind::kLru), 1e6);
  world.model_.follow(kSecond, false, 0s);
  EXPECT_FALSE(world.log_.watches(0, kSecond));
  EXPECT_TRUE(world.log_.watches(0, kFirst));
}

}  // namespace
}  // namespace candor::capacity
