// Which of a feature's changes this node has made.
#include <gtest/gtest.h>

#include "monitor/feature_monitor.h"

namespace candor {
namespace {

constexpr MonoTime kStart{1'000'000'000'000};

class OwnShareTest : public ::testing::Test {
 protected:
  static MonitoredFeature facts(bool is_watched) {
    MonitoredFeature facts;
    facts.name = "item";
    facts.is_watched = is_watched;
    facts.budget = {.max_staleness = 5s, .stale_fraction = 0.01, .window = 1h, .sample = 0.1};
    return facts;
  }
  void hear(FeatureMonitor& monitor, int count) {
    for (int i = 0; i < count; ++i)
      monitor.on_change(kStart, static_cast<std::uint64_t>(i), HeardChange{ChangeId{++id_}, kStart, kStart});
  }
  static double share(const FeatureMonitor& monitor) {
    FeatureExposure out;
    monitor.fill(out, kStart);
    return out.delivery.own_share;
  }
  ChangeHistory history_{1000};
  std::uint64_t id_ = 0;
};

TEST_F(OwnShareTest, IsThePartOfTheHeardChangesThatThisNodeMade) {
  FeatureMonitor monitor(facts(true), &history_, 1, 1);
  monitor.on_own_changes(25);
  hear(monitor, 100);
  EXPECT_DOUBLE_EQ(share(monitor), 0.25);
  monitor.tick(kStart + 1s);
  EXPECT_NEAR(share(monitor), 0.25, 1e-9) << "both fade alike";
  monitor.on_own_changes(1000);
  EXPECT_EQ(share(monitor), 1.0) << "more were made than were heard of yet";
}

TEST_F(OwnShareTest, FewChangesSayNothing) {
  FeatureMonitor monitor(facts(true), &history_, 1, 1);
  monitor.on_own_changes(3);
  hear(monitor, 3);
  EXPECT_EQ(share(monitor), 0.0);
}

TEST_F(OwnShareTest, WhereNobodyHearsOfChangesNoneIsOnesOwn) {
  FeatureMonitor monitor(facts(false), nullptr, 1, 1);
  monitor.on_own_changes(100);
  EXPECT_EQ(share(monitor), 0.0);
}

}  // namespace
}  // namespace candor
