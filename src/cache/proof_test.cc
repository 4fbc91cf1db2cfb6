// The order in which a read's proof and its entry are looked at (Proof in freshness.h).
#include <gtest/gtest.h>

#include "base/virtual_executor.h"
#include "cache/cache.h"
#include "cache/session_tokens.h"

namespace candor {
namespace {

class ProofTest : public testing::Test {
 protected:
  ProofTest() {
    l1::StoreOptions options;
    options.memory_limit = std::size_t{4} << 20;
    options.features_max = 1;
    store_ = std::make_unique<l1::Store>(options);
    CacheCore::Parts parts;
    parts.clock = &executor_;
    parts.home = &executor_;
    parts.l1 = store_.get();
    cache_ = std::make_unique<CacheCore>(parts);
    FeaturePolicy policy;
    policy.name = "user";
    policy.ttl = 1h;
    policy.consistency = Consistency::kBounded;
    policy.max_staleness = 1s;
    EXPECT_TRUE(cache_->add_feature(policy, nullptr, "db"));
    cache_->settle_floor("db", executor_.now());
    executor_.advance(10ms);
    put();
    executor_.advance(10s);  // its load is no proof any more
  }
  void put() {
    l1::Store::PutRequest request;
    request.hash = store_->hash(kFeature, "7");
    request.feature = kFeature;
    request.key = "7";
    request.value = "old";
    request.now = request.meta.loaded_at = executor_.now().ms();
    request.meta.expires_at = request.now + 3'600'000;
    (void)store_->put(request);
  }
  bool may_serve(const l1::EntryView& view, const Proof& proof) {
    return cache_->may_serve(feature(), "7", view, executor_.now().ms(), proof);
  }
  Proof proof_now() { return cache_->proof_of(feature(), cache_->now_ms()); }
  const Feature& feature() { return cache_->feature(kFeature); }

  static constexpr FeatureId kFeature{0};
  VirtualExecutor executor_;
  std::unique_ptr<l1::Store> store_;
  std::unique_ptr<CacheCore> cache_;
};

// A thread of the data plane finds an entry; the change that ends it arrives late, with the word that all is
// applied; then the thread goes on.
TEST_F(ProofTest, AWordThatCameWithTheChangeDoesNotVouchForWhatWasFoundBefore) {
  cache_->prove("db", executor_.now() - 9s, ChangeId{1});
  const Proof before = proof_now();
  const l1::Store::ReadGuard guard(*store_);
  l1::EntryView view;
  ASSERT_TRUE(store_->find(guard, store_->hash(kFeature, "7"), kFeature, "7", executor_.now().ms(), &view));
  cache_->apply_change("db", {"user", "7", Change::Scope::kKey, ChangeId{2}, Position{2}, WallTime{0}});
  cache_->prove("db", executor_.now(), ChangeId{2});
  EXPECT_FALSE(may_serve(view, before));
  EXPECT_TRUE(may_serve(view, proof_now())) << "what the order is for";
  CacheCore::Hit hit;
  EXPECT_FALSE(
      cache_->try_hit(guard, feature(), store_->hash(kFeature, "7"), "7", executor_.now().ms(), &hit));
}

TEST_F(ProofTest, NothingVouchesForAFeatureThatNobodyHearsOf) {
  const auto serves = [&](Consistency level, Duration bound) {
    const l1::Store::ReadGuard guard(*store_);
    CacheCore::Hit hit;
    return cache_->try_hit_at(guard, feature(), store_->hash(kFeature, "7"), "7", executor_.now().ms(), level,
                              bound, &hit);
  };
  cache_->note_unheard("db", {{"other", "no table"}});
  cache_->prove("db", executor_.now(), ChangeId{1});
  EXPECT_TRUE(serves(Consistency::kBounded, 1s));
  cache_->note_unheard("db", {{"user", "no table"}});
  EXPECT_FALSE(serves(Consistency::kBounded, 1s));
  EXPECT_FALSE(serves(Consistency::kBounded, 1min)) << "as a feature without a watch";
  EXPECT_TRUE(serves(Consistency::kEventual, 0s)) << "its ttl has not ended";
  EXPECT_TRUE(serves(Consistency::kSession, 0s));
  cache_->prove("db", executor_.now(), ChangeId{2});
  EXPECT_FALSE(serves(Consistency::kBounded, 1s));
  cache_->note_unheard("db", {{"", "all of them"}});
  EXPECT_FALSE(serves(Consistency::kBounded, 1s));
  cache_->note_unheard("db", {});
  EXPECT_TRUE(serves(Consistency::kBounded, 1s));
}

TEST_F(ProofTest, TokensAreNotMetByAFeatureThatNobodyHearsOf) {
  cache_->note_applied("db", Incarnation{3}, Position{9});
  SessionToken token;
  ASSERT_TRUE(token.add("db", Incarnation{3}, Position{9}));
  const SessionTokens tokens(cache_.get(), &executor_, {});
  EXPECT_TRUE(tokens.meets(token, feature()));
  cache_->note_unheard("db", {{"user", "no table"}});
  EXPECT_FALSE(tokens.meets(token, feature()));
  EXPECT_TRUE(tokens.meets(SessionToken{}, feature())) << "who adopted none reads by the ttl";
}

// One feature's floor settles without taking the others' entries along.
TEST_F(ProofTest, FloorOfAnotherFeatureLeavesThisOneAlone) {
  const auto is_served = [&] {
    const l1::Store::ReadGuard guard(*store_);
    CacheCore::Hit hit;
    return cache_->try_hit_at(guard, feature(), store_->hash(kFeature, "7"), "7", executor_.now().ms(),
                              Consistency::kEventual, 0s, &hit);
  };
  cache_->raise_floor("db", "other", Suspects::kMustBeLoaded);
  cache_->settle_floor("db", executor_.now());
  EXPECT_TRUE(is_served());
  cache_->raise_floor("db", "user", Suspects::kMustBeLoaded);
  EXPECT_FALSE(is_served());
  cache_->settle_floor("db", executor_.now());
  EXPECT_FALSE(is_served()) << "it was loaded before the floor";
}

TEST_F(ProofTest, TheClaimOfAHitRestsOnTheSameWord) {
  cache_->prove("db", executor_.now(), ChangeId{1});
  const l1::Store::ReadGuard guard(*store_);
  CacheCore::Hit hit;
  ASSERT_TRUE(
      cache_->try_hit(guard, feature(), store_->hash(kFeature, "7"), "7", executor_.now().ms(), &hit));
  executor_.advance(500ms);
  cache_->prove("db", executor_.now(), ChangeId{2});
  EXPECT_EQ(cache_->fresh_within(feature(), hit), 501ms);
}

}  // namespace
}  // namespace candor
