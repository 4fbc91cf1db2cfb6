// The monitor beside a cache, on a virtual clock: what it makes of changes and of the sweep's findings.
#include "monitor/monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/virtual_executor.h"
#include "tier/l2/memory_l2.h"

namespace candor {
namespace {

using ::testing::ElementsAre;

class OneRow final : public OriginFeature {
 public:
  Task<Result<OriginRow>> load(std::string, MonoTime) override {
    OriginRow row;
    row.value = "new";
    row.stamp.up_to = ChangeId{30};
    co_return row;
  }
  Task<Result<OriginWrite>> store(std::string, std::string, MonoTime) override {
    co_return fail(ErrorCode::kInternal, "not here");
  }
  Task<Result<OriginWrite>> erase(std::string, MonoTime) override {
    co_return fail(ErrorCode::kInternal, "not here");
  }
  [[nodiscard]] bool can_store() const override { return false; }
  [[nodiscard]] bool can_erase() const override { return false; }
};

class MonitorTest : public ::testing::Test {
 protected:
  MonitorTest() : l2_(&executor_, {}, 1), monitor_(world()), store_(options()), cache_(parts()) {
    FeaturePolicy policy;
    policy.name = "user";
    policy.ttl = 1h;
    const FeatureId id = cache_.add_feature(policy, std::make_unique<OneRow>(), "db").value();
    MonitoredFeature facts;
    facts.id = id;
    facts.name = "user";
    facts.origin = "db";
    facts.is_watched = true;
    facts.budget.sample = 1.0;
    facts.budget.max_staleness = 1s;
    monitor_.watch(&cache_, facts);
    cache_.note_applied("db", Incarnation{7}, Position{1});
    cache_.settle_floor("db", executor_.now());
    cache_.trust_l2("db", true);
    monitor_.start();
    executor_.advance(1500ms);
  }
  ~MonitorTest() override {
    monitor_.stop();
    cache_.close();
    executor_.advance(1min);
  }
  Monitor::World world() {
    Monitor::World world;
    world.home = &executor_;
    world.clock = &executor_;
    world.features_max = 1;
    world.origin_suffers = [this](std::string_view) { return suffers_; };
    world.tell_lost = [this](const std::string&, const std::vector<std::string>& keys) {
      told_.insert(told_.end(), keys.begin(), keys.end());
    };
    return world;
  }
  static l1::StoreOptions options() {
    l1::StoreOptions options;
    options.memory_limit = std::size_t{8} << 20;
    return options;
  }
  CacheCore::Parts parts() {
    CacheCore::Parts parts;
    parts.clock = &executor_;
    parts.home = &executor_;
    parts.l1 = &store_;
    parts.l2 = &l2_;
    parts.l2_is_shared = true;
    parts.observer = &monitor_;
    return parts;
  }
  // Applied here, and visible to every load: its marker is gone.
  void apply(const std::string& key, std::uint64_t id) {
    cache_.apply_change("db",
                        {"user", key, Change::Scope::kKey, ChangeId{id}, Position{id}, executor_.wall()});
    cache_.retire_markers("db", ChangeId{id}, executor_.now(), Position{id});
  }
  void put_into_l2(const std::string& name, std::uint64_t stamp) {
    L2Entry entry;
    entry.value = "v";
    entry.stamp.up_to = ChangeId{stamp};
    entry.ttl_left = 1h;
    spawn(l2_.put(name, entry), [](const Result<void>&) {});
    executor_.run_ready();
  }
  FeatureExposure exposure() { return monitor_.exposures().front(); }

  VirtualExecutor executor_;
  bool suffers_ = false;
  std::vector<std::string> told_;
  l2::MemoryL2 l2_;
  Monitor monitor_;
  l1::Store store_;
  CacheCore cache_;
};

TEST_F(MonitorTest, OldValueThatL2HoldsAfterAChangeIsFoundWithoutAReader) {
  put_into_l2("user:old", 10);
  put_into_l2("user:new", 25);
  apply("old", 20);
  apply("new", 21);
  apply("nowhere", 22);
  executor_.advance(5s);
  EXPECT_EQ(exposure().change_totals.checked, 3u);
  EXPECT_EQ(exposure().change_totals.old_in_l2, 1u);
  EXPECT_EQ(exposure().change_totals.old_in_l1, 0u);
}

TEST_F(MonitorTest, ChangesAreNotLookedForWhileTheOriginSuffers) {
  suffers_ = true;
  apply("k", 20);
  executor_.advance(10s);
  EXPECT_EQ(exposure().change_totals.checked, 0u);
  suffers_ = false;
  executor_.advance(1s);
  EXPECT_EQ(exposure().change_totals.checked, 1u);
}

TEST_F(MonitorTest, ChangesAreLookedForAtALimitedRate) {
  for (std::uint64_t i = 0; i < 500; ++i) apply("k", 20 + i);
  executor_.advance(10s);
  EXPECT_LE(exposure().change_totals.checked, 12u) << "a trickle, where nobody loads";
  EXPECT_GE(exposure().change_totals.checked, 9u);
}

TEST_F(MonitorTest, WhatTheSweepFoundLostIsToldLikeWhatAReadMet) {
  monitor_.on_divergence({FeatureId{0}, "k"}, Divergence::kTtlOnly);
  monitor_.on_divergence({FeatureId{0}, "k"}, Divergence::kL2Only);
  executor_.advance(200ms);
  EXPECT_TRUE(told_.empty());
  monitor_.on_divergence({FeatureId{0}, "k"}, Divergence::kLost);
  executor_.advance(200ms);
  EXPECT_THAT(told_, ElementsAre("k"));
  EXPECT_THAT(exposure().lost_keys, ElementsAre("k"));
  EXPECT_EQ(exposure().lost_entries, 1u);
  executor_.advance(61s);
  EXPECT_EQ(exposure().lost_entries, 0u);
  EXPECT_THAT(exposure().lost_keys, ElementsAre("k"));
}

TEST_F(MonitorTest, KnowsWhetherAChangeWasTold) {
  const MonoTime before = executor_.now();
  EXPECT_FALSE(monitor_.was_told({FeatureId{0}, "k"}, StampBound{ChangeId{10}}, before));
  executor_.advance(1s);
  apply("k", 20);
  EXPECT_TRUE(monitor_.was_told({FeatureId{0}, "k"}, StampBound{ChangeId{10}}, before));
  EXPECT_FALSE(monitor_.was_told({FeatureId{0}, "k"}, StampBound{ChangeId{20}}, before));
  EXPECT_FALSE(monitor_.was_told({FeatureId{0}, "other"}, StampBound{ChangeId{10}}, before));
}

}  // namespace
}  // namespace candor
