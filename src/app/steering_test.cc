// Levers from the controller to the policies that the cache runs under, and back.
#include "app/steering.h"

#include <gtest/gtest.h>

#include "base/virtual_executor.h"
#include "monitor/interval.h"

namespace candor::app {
namespace {

constexpr const char* kConfig = R"x(
[controller]
outside_for = "0s"
[origins.shop]
url = "sqlite:shop.db"
[features.item]
origin = "shop"
load = "select 1 where :key"
store = "insert into t values (:key, :value)"
ttl = "60s"
watch = { table = "t", key = "id" }
write_behind = { window = "1s" }
[features.item.budget]
max_staleness = "5s"
stale_fraction = 0.02
control = "auto"
)x";

struct NoOrigin final : OriginFeature {
  Task<Result<OriginRow>> load(std::string, MonoTime) override { co_return OriginRow{}; }
  Task<Result<OriginWrite>> store(std::string, std::string, MonoTime) override { co_return OriginWrite{}; }
  Task<Result<OriginWrite>> erase(std::string, MonoTime) override { co_return OriginWrite{}; }
  [[nodiscard]] bool can_store() const override { return true; }
  [[nodiscard]] bool can_erase() const override { return true; }
};

class SteeringTest : public testing::Test {
 protected:
  SteeringTest() {
    CacheCore::Parts parts;
    parts.clock = &executor_;
    parts.home = &executor_;
    parts.l1 = &store_;
    cache_ = std::make_unique<CacheCore>(parts);
    config_ = read_config_text(kConfig, "candor.toml").config;
    (void)cache_->add_feature(feature_policy(config_.features[0]), std::make_unique<NoOrigin>());
    steering_ = std::make_unique<Steering>(config_, cache_.get(), &executor_, &region_);
  }
  [[nodiscard]] const FeaturePolicy& policy() const { return cache_->feature(FeatureId{0}).policy(); }

  // Keys that are changed every 100 s, which is heard of ten seconds later: some 5 % of reads are too old.
  void report_outside() {
    FeatureExposure e;
    e.feature = "item";
    e.has_budget = e.may_steer = true;
    e.budget = {.max_staleness = 5s, .stale_fraction = 0.02, .window = 1h, .sample = 0.1};
    e.workload = {.reads_per_second = 200, .updates_per_second = 1, .classes = {{1.0, 2.0, 0.01}}};
    e.delivery.ttl_seconds = to_seconds(policy().ttl);
    e.delivery.is_pushed = true;
    e.delivery.delay_seconds = 10;
    e.load_seconds_mean = 0.01;
    Measured& measured = e.by_stream;
    measured.reads = 3000;
    measured.stale_fraction = predict(e.workload, e.delivery, e.budget.max_staleness).over_limit;
    const Interval interval = wilson_interval(measured.stale_fraction, measured.reads);
    measured.low = interval.low;
    measured.high = interval.high;
    ExposureReport report;
    executor_.advance(5s);
    report.at = executor_.now();
    report.features = {e};
    steering_->evaluated(report);
  }

  VirtualExecutor executor_;
  l1::Store store_{{.memory_limit = std::size_t{8} << 20}};
  std::unique_ptr<CacheCore> cache_;
  Config config_;
  RegionWrites region_{"eu-1"};
  std::unique_ptr<Steering> steering_;
};

TEST_F(SteeringTest, EachLeverIsAPartOfThePolicyAndGoesBack) {
  const FeaturePolicy* const configured = &policy();
  ASSERT_TRUE(steering_->set_ttl("item", 7s));
  EXPECT_EQ(policy().ttl, 7s);
  ASSERT_TRUE(steering_->set_origin_reads("item", 0.25));
  EXPECT_EQ(policy().origin_fraction, 0.25);
  EXPECT_EQ(policy().ttl, 7s) << "one lever does not undo another";
  ASSERT_TRUE(steering_->set_refresh_on_change("item", true));
  ASSERT_TRUE(steering_->set_synchronous("item", true));
  EXPECT_TRUE(policy().refresh_on_change && policy().synchronous);
  ASSERT_TRUE(steering_->set_ttl("item", std::nullopt));
  ASSERT_TRUE(steering_->set_origin_reads("item", 0.0));
  ASSERT_TRUE(steering_->set_refresh_on_change("item", false));
  ASSERT_TRUE(steering_->set_synchronous("item", false));
  EXPECT_EQ(&policy(), configured) << "the policy of before, and no copy of it";
}

TEST_F(SteeringTest, WithoutALogWritesAreNotGathered) {
  EXPECT_FALSE(steering_->set_batch_window("item", 2s));
  EXPECT_FALSE(steering_->set_ttl("nobody", 2s));
}

TEST_F(SteeringTest, AReloadKeepsWhatIsPulled) {
  ASSERT_TRUE(steering_->set_ttl("item", 7s));
  ASSERT_TRUE(steering_->set_origin_reads("item", 0.5));
  FeatureConfig fresh = config_.features[0];
  fresh.ttl = 30s;
  steering_->adopt(fresh);
  EXPECT_EQ(steering_->steered(feature_policy(fresh)).ttl, 7s);
  EXPECT_EQ(steering_->steered(feature_policy(fresh)).origin_fraction, 0.5);
  fresh.ttl = 2s;
  steering_->adopt(fresh);
  EXPECT_EQ(steering_->steered(feature_policy(fresh)).ttl, 2s) << "never longer than configured";
}

TEST_F(SteeringTest, LeversOnWritesAreAskedOfTheRegion) {
  ASSERT_TRUE(steering_->set_synchronous("item", true));
  ASSERT_EQ(region_.said().size(), 1U);
  EXPECT_EQ(region_.said()[0], (FeatureWrites{"item", 0, true, 0}));
  ASSERT_TRUE(steering_->set_synchronous("item", false));
  EXPECT_TRUE(region_.said().empty());
}

TEST_F(SteeringTest, WhatAnotherNodeAsksIsDoneUntilItIsHeardNoMore) {
  message::Presence other;
  other.node = "eu-2";
  other.writes = {{"item", 1800, true, 0}};
  region_.hear(other, executor_.now() + 5s);
  report_outside();
  EXPECT_TRUE(policy().synchronous);
  report_outside();
  EXPECT_FALSE(policy().synchronous) << "five seconds later nobody asks";
}

TEST_F(SteeringTest, ChangesThroughOtherNodesMakeLeversOnWritesWorthIt) {
  message::Presence other;
  other.node = "eu-2";
  other.writes = {{"item", 3600, false, 0}};  // all of the change a second that is made
  region_.hear(other, executor_.now() + 5s);
  report_outside();
  ASSERT_FALSE(steering_->snapshot()->log.empty());
  EXPECT_EQ(steering_->snapshot()->log[0].action.lever, Lever::kSynchronous);
  EXPECT_TRUE(policy().synchronous);
}

TEST_F(SteeringTest, AReportPullsALeverAndNewLimitsGiveItBack) {
  report_outside();
  ASSERT_EQ(steering_->snapshot()->log.size(), 1U);
  const LeverRecord& record = steering_->snapshot()->log[0];
  EXPECT_EQ(record.action.kind, ActionKind::kPull);
  EXPECT_TRUE(record.refusal.empty()) << record.refusal;
  EXPECT_LT(policy().ttl, 60s);
  ControllerConfig limits = config_.controller;
  limits.added_loads_max = 0.0;
  steering_->adopt(limits);
  report_outside();
  EXPECT_EQ(policy().ttl, 60s) << "no load may be added any more";
  EXPECT_EQ(steering_->snapshot()->added_load_cap, 0.0);
}

}  // namespace
}  // namespace candor::app
