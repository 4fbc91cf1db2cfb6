#include "budget/key_classes.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "budget/exposure.h"

namespace candor {
namespace {

double share_sum(const Workload& workload) {
  double sum = 0.0;
  for (const KeyClass& one : workload.classes) sum += one.read_share;
  return sum;
}
double update_sum(const Workload& workload) {
  double sum = 0.0;
  for (const KeyClass& one : workload.classes)
    sum += one.updates_per_second * one.read_share * workload.reads_per_second / one.reads_per_second;
  return sum;
}

TEST(KeyClassesTest, NothingReadIsNotKnown) {
  EXPECT_TRUE(workload_of({}, 10).classes.empty());
  EXPECT_TRUE(workload_of({{.reads = 0, .updates = 5}}, 10).classes.empty());
  EXPECT_TRUE(workload_of({{.reads = 5, .updates = 5}}, 0).classes.empty());
}

TEST(KeyClassesTest, CountsBecomeRates) {
  const Workload workload = workload_of({{.reads = 90, .updates = 20}, {.reads = 10}, {.updates = 10}}, 10);
  EXPECT_DOUBLE_EQ(workload.reads_per_second, 10.0);
  EXPECT_DOUBLE_EQ(workload.updates_per_second, 3.0);
  ASSERT_EQ(workload.classes.size(), 2u);
  EXPECT_DOUBLE_EQ(workload.classes[0].read_share, 0.9);
  EXPECT_DOUBLE_EQ(workload.classes[0].updates_per_second, 2.0);
  EXPECT_DOUBLE_EQ(workload.read_weighted_updates(), 1.8);
  EXPECT_NEAR(keys_of(workload), 2.0, 1e-12);
}

// A million keys in a few hundred classes predict what the keys one by one do.
TEST(KeyClassesTest, ClassesPredictWhatTheKeysDo) {
  Random random(5);
  std::vector<KeyCount> counts;
  constexpr double kSeconds = 1000.0;
  double exact = 0.0, reads = 0.0;
  for (int k = 1; k <= 200'000; ++k) {
    const auto n = static_cast<std::uint64_t>(1 + 4e5 / k);
    const std::uint64_t w = k % 7 == 0 ? 8 + random.below(n + 1) / 2 : 0;
    counts.push_back({n, w});
    const double r = static_cast<double>(n) / kSeconds;
    exact += static_cast<double>(n) * stale_with_refill(static_cast<double>(w) / kSeconds, r, 30);
    reads += static_cast<double>(n);
  }
  const Workload workload = workload_of(counts, kSeconds);
  EXPECT_LE(workload.classes.size(), kKeyClassesMax);
  EXPECT_NEAR(share_sum(workload), 1.0, 1e-9);
  EXPECT_NEAR(keys_of(workload), 200'000, 1);
  const double predicted = predict(workload, {.ttl_seconds = 30}, 0s).stale;
  EXPECT_NEAR(predicted / (exact / reads), 1.0, 0.02);
}

// Of a key that changes once in the time that was watched, the count is 0, 1 or 2 by chance. Taken as rates
// one by one they would predict less than the truth.
TEST(KeyClassesTest, FewChangesAreAveragedOverTheirLike) {
  Random random(9);
  std::vector<KeyCount> counts(20'000);
  for (KeyCount& one : counts) {
    one.reads = 1000;
    for (int i = 0; i < 10; ++i) one.updates += random.unit() < 0.1 ? 1 : 0;
  }
  const Workload workload = workload_of(counts, 100);
  const double truth = stale_with_refill(0.01, 10, 300);
  EXPECT_NEAR(predict(workload, {.ttl_seconds = 300}, 0s).stale / truth, 1.0, 0.02);
}

TEST(KeyClassesTest, FiguresSpreadOverKeys) {
  for (double keys : {1.0, 2.0, 63.0, 64.0, 65.0, 1000.0, 1e6, 1e9})
    for (double skew : {0.0, 0.7, 1.0, 1.3}) {
      const Workload workload = spread_workload({.reads_per_second = 500,
                                                 .updates_per_second = 3,
                                                 .keys = keys,
                                                 .read_skew = skew,
                                                 .update_skew = skew / 2});
      EXPECT_LE(workload.classes.size(), kKeyClassesMax);
      EXPECT_NEAR(share_sum(workload), 1.0, 1e-9);
      EXPECT_NEAR(keys_of(workload) / keys, 1.0, 1e-6);
      EXPECT_NEAR(update_sum(workload), 3.0, 1e-6);
    }
  // Against the sum itself.
  double harmonic = 0.0;
  for (int k = 1; k <= 1000; ++k) harmonic += 1.0 / k;
  const Workload zipf = spread_workload({.reads_per_second = 1, .keys = 1000, .read_skew = 1.0});
  EXPECT_NEAR(zipf.classes[0].read_share, 1.0 / harmonic, 1e-5);
}

}  // namespace
}  // namespace candor
