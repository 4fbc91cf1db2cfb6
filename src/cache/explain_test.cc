// What explain() says of a key must be what becomes of its reader.
#include "cache/explain.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "base/virtual_executor.h"
#include "cache/cache.h"
#include "tier/l2/memory_l2.h"

namespace candor {
namespace {

// Answers at once out of a map, seen up to `seen`.
struct TableOrigin final : OriginFeature {
  std::map<std::string, std::string>* rows;
  std::uint64_t* seen;
  TableOrigin(std::map<std::string, std::string>* r, std::uint64_t* s) : rows(r), seen(s) {}
  Task<Result<OriginRow>> load(std::string key, MonoTime) override {
    OriginRow row;
    if (const auto it = rows->find(key); it != rows->end()) row.value = it->second;
    row.stamp.up_to = ChangeId{*seen};
    co_return row;
  }
  Task<Result<OriginWrite>> store(std::string, std::string, MonoTime) override {
    co_return OriginWrite{1, {}};
  }
  Task<Result<OriginWrite>> erase(std::string, MonoTime) override { co_return OriginWrite{1, {}}; }
  [[nodiscard]] bool can_store() const override { return true; }
  [[nodiscard]] bool can_erase() const override { return true; }
};

class ExplainTest : public testing::Test {
 protected:
  ExplainTest() {
    l1::StoreOptions options;
    options.memory_limit = std::size_t{4} << 20;
    options.features_max = 2;
    store_ = std::make_unique<l1::Store>(options);
    l2_ = std::make_unique<l2::MemoryL2>(&executor_, l2::MemoryL2::Options{}, 1);
    CacheCore::Parts parts;
    parts.clock = &executor_;
    parts.home = &executor_;
    parts.l1 = store_.get();
    parts.l2 = l2_.get();
    cache_ = std::make_unique<CacheCore>(parts);
    policy_.name = "user";
    policy_.ttl = 10s;
    policy_.ttl_jitter = 0.0;
    policy_.serve_stale = 1min;
    EXPECT_TRUE(cache_->add_feature(policy_, std::make_unique<TableOrigin>(&rows_, &seen_), "db"));
    cache_->settle_floor("db", executor_.now());
    cache_->trust_l2("db", true);
    executor_.advance(10ms);
    cache_->prove("db", executor_.now(), ChangeId{seen_});
  }
  KeyExplanation explain(std::string key) {
    std::optional<KeyExplanation> out;
    spawn(cache_->explain(kFeature, std::move(key)), [&](KeyExplanation told) { out = std::move(told); });
    executor_.advance(1ms);
    EXPECT_TRUE(out.has_value());
    return out.value_or(KeyExplanation{});
  }
  Tier read(std::string key) {
    std::optional<Tier> tier;
    cache_->read(kFeature, std::move(key), {}, [&](Result<ReadResult> result) { tier = result->tier; });
    executor_.advance(1ms);
    return tier.value_or(Tier::kDisk);
  }
  void change(std::string key, std::uint64_t id) {
    Change one;
    one.feature = "user";
    one.key = std::move(key);
    one.id = ChangeId{id};
    one.position = Position{id};
    cache_->apply_change("db", one);
  }

  static constexpr FeatureId kFeature{0};
  VirtualExecutor executor_;
  std::map<std::string, std::string> rows_{{"1", "one"}};
  std::uint64_t seen_ = 5;
  std::unique_ptr<l1::Store> store_;
  std::unique_ptr<l2::MemoryL2> l2_;
  std::unique_ptr<CacheCore> cache_;
  FeaturePolicy policy_;
};

TEST_F(ExplainTest, WhatNobodyReadIsNowhere) {
  const KeyExplanation told = explain("1");
  EXPECT_TRUE(told.l1.exists && told.l2.exists);
  EXPECT_FALSE(told.l1.held || told.l2.held);
  EXPECT_TRUE(told.is_heard);
  EXPECT_TRUE(told.proven_ago.has_value());
  EXPECT_EQ(cache_->feature(kFeature).counters.loads.value(), 0U);  // asking was no read
}

TEST_F(ExplainTest, AFreshEntryIsServed) {
  EXPECT_EQ(read("1"), Tier::kOrigin);
  const KeyExplanation told = explain("1");
  EXPECT_TRUE(told.l1.held && told.l1.served);
  EXPECT_TRUE(told.l2.held && told.l2.served);
  EXPECT_EQ(told.l1.value_bytes, 3U);
  EXPECT_GT(told.l1.cost_bytes, 3U);
  EXPECT_EQ(told.l1.stamp.up_to.value, 5U);
  EXPECT_LE(*told.l1.ttl_left, 10s);
  EXPECT_EQ(read("1"), Tier::kL1);
}

TEST_F(ExplainTest, PastItsTtlItIsKeptAndNotServed) {
  (void)read("1");
  executor_.advance(11s);
  const KeyExplanation told = explain("1");
  EXPECT_TRUE(told.l1.held);
  EXPECT_FALSE(told.l1.served);
  EXPECT_LT(*told.l1.ttl_left, Duration::zero());
  EXPECT_NE(std::string_view(told.l1.why).find("past its ttl"), std::string_view::npos);
}

TEST_F(ExplainTest, AChangeLeavesAMarkerThatWhatL2HoldsDoesNotPass) {
  (void)read("1");
  change("1", 6);
  KeyExplanation told = explain("1");
  EXPECT_FALSE(told.l1.held);
  ASSERT_TRUE(told.marker.has_value());
  EXPECT_EQ(told.marker->change.value, 6U);
  EXPECT_TRUE(told.l2.held);
  EXPECT_FALSE(told.l2.served);
  seen_ = 6;
  EXPECT_EQ(read("1"), Tier::kOrigin);
  told = explain("1");
  EXPECT_TRUE(told.l1.served);
}

TEST_F(ExplainTest, BelowAFloorEverythingIsSuspect) {
  (void)read("1");
  cache_->raise_floor("db", "", Suspects::kMayBeConfirmed);
  const KeyExplanation told = explain("1");
  EXPECT_TRUE(told.floor_is_unsettled);
  EXPECT_FALSE(told.proven_ago.has_value());
  EXPECT_FALSE(told.l1.served);
  EXPECT_NE(std::string_view(told.l1.why).find("suspect"), std::string_view::npos);
}

TEST_F(ExplainTest, BoundedWithoutAProofIsNotServed) {
  policy_.consistency = Consistency::kBounded;
  policy_.max_staleness = 1s;
  EXPECT_TRUE(cache_->update_policy(kFeature, policy_));
  (void)read("1");
  EXPECT_TRUE(explain("1").l1.served);
  executor_.advance(2s);
  const KeyExplanation told = explain("1");
  EXPECT_FALSE(told.l1.served);
  EXPECT_NE(std::string_view(told.l1.why).find("no proof"), std::string_view::npos);
  EXPECT_EQ(read("1"), Tier::kOrigin);
}

TEST_F(ExplainTest, NoSuchRowIsHeldAsSuch) {
  (void)read("nobody");
  const KeyExplanation told = explain("nobody");
  EXPECT_TRUE(told.l1.held && told.l1.negative);
  EXPECT_EQ(told.l1.value_bytes, 0U);
}

}  // namespace
}  // namespace candor
