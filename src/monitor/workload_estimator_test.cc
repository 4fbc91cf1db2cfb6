#include "monitor/workload_estimator.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace candor {
namespace {

// One hot key with most of the reads, changed 0.2 times a second, and a thousand cold ones at 0.01.
struct Traffic {
  Random random{3};
  WorkloadEstimator estimator;
  void run(int seconds) {
    MonoTime now{1'000'000'000};
    for (int s = 0; s < seconds; ++s) {
      for (int i = 0; i < 100; ++i) {
        const std::uint64_t key = random.unit() < 0.6 ? 0 : 1 + random.below(1000);
        estimator.on_read(now, key, 10.0);
      }
      if (random.unit() < 0.2) estimator.on_change(now, 0);
      for (int i = 0; i < 10; ++i) estimator.on_change(now, 1 + random.below(1000));
      now = now + 1s;
      estimator.tick(now);
    }
  }
};

TEST(WorkloadEstimatorTest, HotKeysCountAsTheyAreRead) {
  Traffic traffic;
  traffic.run(300);
  const Workload workload = traffic.estimator.workload();
  EXPECT_NEAR(workload.reads_per_second, 1000.0, 50.0);
  EXPECT_NEAR(workload.updates_per_second, 10.2, 1.0);
  ASSERT_GE(workload.classes.size(), 2U);
  EXPECT_NEAR(workload.classes[0].read_share, 0.6, 0.05);
  EXPECT_NEAR(workload.classes[0].updates_per_second, 0.2, 0.06);
  // 0.6 · 0.2 + 0.4 · 0.01, where the mean over keys would be 0.0102.
  EXPECT_NEAR(workload.read_weighted_updates(), 0.124, 0.03);
  double share = 0.0;
  for (const KeyClass& one : workload.classes) share += one.read_share;
  EXPECT_NEAR(share, 1.0, 1e-6);
}

TEST(WorkloadEstimatorTest, NothingReadIsNotKnown) {
  const WorkloadEstimator estimator;
  EXPECT_TRUE(estimator.workload().classes.empty());
}

TEST(WorkloadEstimatorTest, WithoutAFeedTheOriginsAnswersGiveTheRate) {
  Traffic traffic;
  traffic.run(60);
  for (const KeyClass& one : traffic.estimator.workload(0.03).classes)
    EXPECT_EQ(one.updates_per_second, 0.03);
}

}  // namespace
}  // namespace candor
