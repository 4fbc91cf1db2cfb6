#include "tier/l1/store.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "tier/l1/store_test_policy.h"

namespace candor::l1 {
namespace {

constexpr FeatureId kFeature{3};
constexpr FeatureId kOther{4};

class StoreTest : public testing::Test {
 protected:
  void open(std::size_t limit, const PolicyFactory& policy = make_test_policy<TwoQueueTestPolicy>(),
            unsigned shards = 0) {
    store_ = std::make_unique<Store>(StoreOptions{.memory_limit = limit, .shards = shards, .hash_seed = 42},
                                     policy);
  }
  void SetUp() override { open(std::size_t{8} << 20); }
  void TearDown() override {
    store_->check_invariants();
    EXPECT_LE(store_->stats().bytes_used, store_->stats().memory_limit);
  }

  Store::PutResult put(std::string_view key, std::string_view value, EntryMeta meta = {},
                       PutMode mode = PutMode::kAlways, FeatureId feature = kFeature) {
    return store_->put({.hash = store_->hash(feature, key),
                        .feature = feature,
                        .key = key,
                        .value = value,
                        .meta = meta,
                        .mode = mode,
                        .now = now_});
  }
  std::optional<std::string> get(std::string_view key, FeatureId feature = kFeature) {
    const Store::ReadGuard guard(*store_);
    if (!store_->find(guard, store_->hash(feature, key), feature, key, now_, &view_)) return std::nullopt;
    return std::string(view_.value);
  }
  EntryMeta meta_of(std::string_view key) {
    EXPECT_TRUE(get(key).has_value());
    return view_.meta;
  }
  bool erase(std::string_view key, FeatureId feature = kFeature) {
    return store_->erase(store_->hash(feature, key), feature, key, now_);
  }

  std::unique_ptr<Store> store_;
  EntryView view_;
  Millis now_ = 1000;
};

TEST_F(StoreTest, FindsWhatWasPut) {
  EXPECT_EQ(put("k", "v"), Store::PutResult::kStored);
  EXPECT_EQ(get("k"), "v");
}

TEST_F(StoreTest, MissesWhatWasNotPut) { EXPECT_EQ(get("k"), std::nullopt); }

TEST_F(StoreTest, SameKeyInAnotherFeatureIsAnotherEntry) {
  put("k", "one");
  put("k", "two", {}, PutMode::kAlways, kOther);
  EXPECT_EQ(get("k"), "one");
  EXPECT_EQ(get("k", kOther), "two");
}

TEST_F(StoreTest, AReplacementIsSeenAndCountedOnce) {
  put("k", "one");
  put("k", std::string(1000, 'x'));
  EXPECT_EQ(get("k"), std::string(1000, 'x'));
  EXPECT_EQ(store_->stats().entries, 1);
}

TEST_F(StoreTest, EmptyKeysAndValuesAreKeysAndValues) {
  put("", "");
  EXPECT_EQ(get(""), "");
}

TEST_F(StoreTest, KeysAndValuesOfEveryFormComeBackWhole) {
  for (const std::size_t key_bytes : {1, 7, 8, 9, 31, 32, 33, 255, 256, 4096}) {
    for (const std::size_t value_bytes : {0, 1, 64, 2047, 2048, 2049, 4095, 4096, 40000}) {
      const std::string key(key_bytes, static_cast<char>('a' + value_bytes % 26));
      std::string value(value_bytes, 'v');
      if (!value.empty()) value.back() = 'e';
      ASSERT_EQ(put(key, value), Store::PutResult::kStored);
      ASSERT_EQ(get(key), value) << key_bytes << " " << value_bytes;
    }
  }
}

TEST_F(StoreTest, AKeyOfMoreThan4KiBIsTooLarge) {
  EXPECT_EQ(put(std::string(4097, 'k'), "v"), Store::PutResult::kTooLarge);
}

TEST_F(StoreTest, AValueOf64MiBComesBackWhole) {
  open(std::size_t{256} << 20);
  std::string value(std::size_t{64} << 20, 'x');
  value[12345678] = 'y';
  EXPECT_EQ(put("big", value), Store::PutResult::kStored);
  EXPECT_TRUE(get("big") == value);
  EXPECT_GT(store_->stats().bytes_used, value.size());
  value += 'z';
  EXPECT_EQ(put("big", value), Store::PutResult::kTooLarge);
  EXPECT_EQ(get("big"), std::nullopt) << "an old value must not stand for one that could not be stored";
}

TEST_F(StoreTest, LargeValuesMakeRoomForEachOther) {
  open(std::size_t{64} << 20);
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(put("big" + std::to_string(i), std::string(std::size_t{10} << 20, 'x')),
              Store::PutResult::kStored)
        << i;
    ASSERT_LE(store_->stats().bytes_used, std::size_t{64} << 20);
  }
  EXPECT_GE(store_->stats().entries, 4);
  EXPECT_TRUE(get("big39").has_value());
}

TEST_F(StoreTest, MetaComesBackExactly) {
  const EntryMeta metas[] = {
      {.stamp = {{123}}, .loaded_at = 500, .expires_at = 60500, .negative = false, .user_flags = 5},
      {.stamp = {{(std::uint64_t{1} << 44) - 1}},
       .loaded_at = 999,
       .expires_at = 0,
       .negative = false,
       .user_flags = 7},
      {.stamp = {{std::uint64_t{1} << 44}},
       .loaded_at = 999,
       .expires_at = 2000,
       .negative = true,
       .user_flags = 0},
      {.stamp = {{~std::uint64_t{0}}}, .loaded_at = Millis{1} << 41, .expires_at = Millis{1} << 42},
      {.stamp = {}, .loaded_at = 5000, .expires_at = 4000},
  };
  for (const EntryMeta& meta : metas) {
    put("k", "v", meta);
    now_ = 1000;
    const EntryMeta back = meta_of("k");
    EXPECT_EQ(back.stamp, meta.stamp);
    EXPECT_EQ(back.loaded_at, meta.loaded_at);
    EXPECT_EQ(back.expires_at, meta.expires_at);
    EXPECT_EQ(back.negative, meta.negative);
    EXPECT_EQ(back.user_flags, meta.user_flags);
  }
}

TEST_F(StoreTest, ATtlAbove49DaysKeepsItsExpiryAndNeverLooksYounger) {
  const Millis expires = Millis{100} * 24 * 3600 * 1000 + 777;
  put("k", "v", {.loaded_at = 1001, .expires_at = expires});
  const EntryMeta back = meta_of("k");
  EXPECT_EQ(back.expires_at, expires);
  EXPECT_LE(back.loaded_at, 1001);
  EXPECT_GT(back.loaded_at, 1);
}

TEST_F(StoreTest, AnEntryEndsAtItsExpiryToTheMillisecond) {
  put("k", "v", {.loaded_at = 1000, .expires_at = 2000});
  now_ = 1999;
  EXPECT_TRUE(get("k").has_value());
  now_ = 2000;
  EXPECT_FALSE(get("k").has_value());
}

TEST_F(StoreTest, OnlyIfAbsentLeavesAnEntryAndReplacesAnExpiredOne) {
  put("k", "one", {.expires_at = 2000});
  EXPECT_EQ(put("k", "two", {}, PutMode::kOnlyIfAbsent), Store::PutResult::kConditionFailed);
  EXPECT_EQ(get("k"), "one");
  now_ = 2000;
  EXPECT_EQ(put("k", "two", {}, PutMode::kOnlyIfAbsent), Store::PutResult::kStored);
  EXPECT_EQ(get("k"), "two");
  EXPECT_EQ(store_->stats().expirations, 1);
}

TEST_F(StoreTest, OnlyIfPresentNeedsAnUnexpiredEntry) {
  EXPECT_EQ(put("k", "v", {}, PutMode::kOnlyIfPresent), Store::PutResult::kConditionFailed);
  put("k", "one", {.expires_at = 2000});
  EXPECT_EQ(put("k", "two", {.expires_at = 2000}, PutMode::kOnlyIfPresent), Store::PutResult::kStored);
  now_ = 2000;
  EXPECT_EQ(put("k", "three", {}, PutMode::kOnlyIfPresent), Store::PutResult::kConditionFailed);
}

TEST_F(StoreTest, EraseTellsWhetherAnUnexpiredEntryWasThere) {
  put("a", "v");
  put("b", "v", {.expires_at = 1500});
  now_ = 1500;
  EXPECT_TRUE(erase("a"));
  EXPECT_FALSE(erase("a"));
  EXPECT_FALSE(erase("b"));
  EXPECT_EQ(store_->stats().entries, 0);
}

TEST_F(StoreTest, AViewOutlivesEverythingThatHappensToItsEntry) {
  open(std::size_t{1} << 20);
  const std::string value(3000, 'x');
  put("k", value);
  const Store::ReadGuard guard(*store_);
  EntryView view;
  ASSERT_TRUE(store_->find(guard, store_->hash(kFeature, "k"), kFeature, "k", now_, &view));
  erase("k");
  for (int i = 0; i < 2000; ++i) put("other" + std::to_string(i), std::string(3000, 'y'));
  EXPECT_EQ(view.value, value);
}

TEST_F(StoreTest, WritingUnderOnesOwnGuardIsRejectedInTheEndAndNeverBlocks) {
  open(std::size_t{1} << 20);
  {
    const Store::ReadGuard guard(*store_);
    bool rejected = false;
    for (int i = 0; i < 5000 && !rejected; ++i) {
      rejected = put("k" + std::to_string(i), std::string(1000, 'y')) == Store::PutResult::kNoRoom;
    }
    EXPECT_TRUE(rejected);
    EXPECT_GE(store_->stats().rejected, 1);
  }
  EXPECT_EQ(put("k", "v"), Store::PutResult::kStored);
}

TEST_F(StoreTest, TheLimitHoldsAtEveryPut) {
  for (const std::size_t limit : {std::size_t{512} << 10, std::size_t{3} << 20, std::size_t{20} << 20}) {
    open(limit);
    for (int i = 0; i < 30000; ++i) {
      ASSERT_EQ(put("key" + std::to_string(i), std::string(i % 1500, 'v')), Store::PutResult::kStored)
          << limit << " " << i;
      if (i % 64 == 0) {
        ASSERT_LE(store_->stats().bytes_used, limit);
      }
    }
    EXPECT_GT(store_->stats().evictions, 0);
    EXPECT_GT(store_->stats().live_entry_bytes, limit * 3 / 4) << limit;
    store_->check_invariants();
  }
}

TEST_F(StoreTest, AStoreTooSmallForAnythingRefusesInsteadOfFailing) {
  open(10000);
  EXPECT_EQ(put("k", "v"), Store::PutResult::kTooLarge);
  open(std::size_t{8} << 20);
}

TEST_F(StoreTest, SmallEntriesAfterLargeOnesGrowTheIndexWithinTheLimit) {
  open(std::size_t{2} << 20);
  for (int i = 0; i < 3000; ++i) put("large" + std::to_string(i), std::string(1900, 'v'));
  for (int i = 0; i < 100000; ++i) ASSERT_EQ(put("s" + std::to_string(i), ""), Store::PutResult::kStored);
  EXPECT_GT(store_->stats().entries, 40000);
}

TEST_F(StoreTest, AccessedEntriesSurviveUnaccessedOnes) {
  open(std::size_t{1} << 20);
  put("hot", "v");
  for (int i = 0; i < 30000; ++i) {
    put("cold" + std::to_string(i), "v");
    ASSERT_TRUE(get("hot").has_value()) << i;
  }
}

TEST_F(StoreTest, PeekIsNoAccess) {
  open(std::size_t{1} << 20);
  put("k", "v");
  for (int i = 0; i < 30000; ++i) {
    const Store::ReadGuard guard(*store_);
    EntryView view;
    (void)store_->peek(guard, store_->hash(kFeature, "k"), kFeature, "k", now_, &view);
    put("cold" + std::to_string(i), "v");
  }
  EXPECT_FALSE(get("k").has_value());
}

TEST_F(StoreTest, OverwritesAloneEvictNothingWhileDeadSpaceCanBeCompacted) {
  open(std::size_t{4} << 20);
  const int keys = 22000;  // about 80 % of the limit
  std::uint64_t random = 1;
  for (int i = 0; i < keys; ++i) put("key" + std::to_string(i), std::string(100, 'a'));
  ASSERT_EQ(store_->stats().evictions, 0);
  for (int i = 0; i < 10 * keys; ++i) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    put("key" + std::to_string((random >> 33) % keys), std::string(100, 'b'));
  }
  EXPECT_EQ(store_->stats().evictions, 0);
  EXPECT_EQ(store_->stats().entries, keys);
}

TEST_F(StoreTest, ExpiredEntriesGiveTheirMemoryBackUntouched) {
  open(std::size_t{32} << 20);
  const std::size_t empty = store_->stats().bytes_used;
  for (int i = 0; i < 100000; ++i)
    put("key" + std::to_string(i), std::string(100, 'v'), {.expires_at = 2000 + i % 1000});
  ASSERT_EQ(store_->stats().entries, 100000);
  for (Millis at = 1000; at <= 13000; at += 100) store_->maintain(at);
  EXPECT_EQ(store_->stats().entries, 0);
  EXPECT_EQ(store_->stats().expirations, 100000);
  EXPECT_LT(store_->stats().bytes_used, empty + (std::size_t{1} << 20));
}

TEST_F(StoreTest, HalfExpiredSegmentsAreMerged) {
  open(std::size_t{32} << 20);
  for (int i = 0; i < 100000; ++i)
    put("key" + std::to_string(i), std::string(100, 'v'), {.expires_at = i % 2 ? 0 : 2000});
  const std::size_t full = store_->stats().segment_bytes;
  for (Millis at = 1000; at <= 14000; at += 100) store_->maintain(at);
  EXPECT_EQ(store_->stats().entries, 50000);
  EXPECT_LT(store_->stats().segment_bytes, full * 6 / 10);
  now_ = 14000;
  for (int i = 1; i < 100000; i += 2) ASSERT_TRUE(get("key" + std::to_string(i)).has_value());
}

TEST_F(StoreTest, EveryExpiredEntryIsGoneWithinThePeriodAlsoWhenMaintainIsCalledLate) {
  for (int i = 0; i < 1000; ++i) put("key" + std::to_string(i), "v", {.expires_at = 1500});
  store_->maintain(1000);
  store_->maintain(9000);
  EXPECT_EQ(store_->stats().entries, 0);
}

TEST_F(StoreTest, UsageIsCountedForEachFeature) {
  put("a", "v");
  put("b", "v", {}, PutMode::kAlways, kOther);
  put("c", std::string(50, 'v'), {}, PutMode::kAlways, kOther);
  EXPECT_EQ(store_->usage(kFeature).entries, 1);
  EXPECT_EQ(store_->usage(kOther).entries, 2);
  EXPECT_EQ(store_->usage(kOther).bytes, 24 + 72);
  EXPECT_EQ(store_->usage(FeatureId{5}).entries, 0);
}

TEST_F(StoreTest, EraseFeatureForgetsOneFeatureOnly) {
  for (int i = 0; i < 5000; ++i) {
    put("k" + std::to_string(i), "v");
    put("k" + std::to_string(i), "v", {}, PutMode::kAlways, kOther);
  }
  store_->erase_feature(kFeature);
  EXPECT_EQ(store_->usage(kFeature).entries, 0);
  EXPECT_EQ(store_->usage(kOther).entries, 5000);
  EXPECT_FALSE(get("k7").has_value());
  EXPECT_TRUE(get("k7", kOther).has_value());
}

TEST_F(StoreTest, ClearForgetsEverythingAndTheStoreGoesOn) {
  for (int i = 0; i < 5000; ++i) put("k" + std::to_string(i), std::string(3000, 'v'));
  store_->clear();
  EXPECT_EQ(store_->stats().entries, 0);
  store_->maintain(now_);
  put("k", "v");
  EXPECT_EQ(get("k"), "v");
}

TEST_F(StoreTest, FindManyAnswersLikeFind) {
  for (int i = 0; i < 1000; i += 2) put("k" + std::to_string(i), "v" + std::to_string(i));
  std::vector<std::string> keys;
  for (int i = 0; i < 1000; ++i) keys.push_back("k" + std::to_string(i));
  std::vector<Store::Lookup> lookups(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    lookups[i].hash = store_->hash(kFeature, keys[i]);
    lookups[i].feature = kFeature;
    lookups[i].key = keys[i];
  }
  const Store::ReadGuard guard(*store_);
  store_->find_many(guard, lookups, now_);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    ASSERT_EQ(lookups[i].found, i % 2 == 0);
    if (lookups[i].found) {
      ASSERT_EQ(lookups[i].view.value, "v" + std::to_string(i));
    }
  }
}

TEST_F(StoreTest, UpdateSeesTheCurrentEntryAndStores) {
  const auto increment = [&] {
    return store_->update(store_->hash(kFeature, "n"), kFeature, "n", now_, [](const EntryView* current) {
      const int n = current == nullptr ? 0 : std::stoi(std::string(current->value));
      return Store::Update{
          .action = Store::Update::Action::kStore, .value = std::to_string(n + 1), .meta = {}};
    });
  };
  EXPECT_EQ(increment(), Store::PutResult::kStored);
  EXPECT_EQ(increment(), Store::PutResult::kStored);
  EXPECT_EQ(get("n"), "2");
}

TEST_F(StoreTest, UpdateCanKeepAndErase) {
  put("k", "v");
  const auto act = [&](Store::Update::Action action) {
    return store_->update(store_->hash(kFeature, "k"), kFeature, "k", now_, [&](const EntryView*) {
      return Store::Update{.action = action, .value = {}, .meta = {}};
    });
  };
  EXPECT_EQ(act(Store::Update::Action::kKeep), Store::PutResult::kConditionFailed);
  EXPECT_EQ(get("k"), "v");
  EXPECT_EQ(act(Store::Update::Action::kErase), Store::PutResult::kStored);
  EXPECT_FALSE(get("k").has_value());
}

TEST_F(StoreTest, UpdateStoresLargeValuesWhenTheStoreIsFull) {
  open(std::size_t{16} << 20);
  for (int i = 0; i < 20000; ++i) put("k" + std::to_string(i), std::string(1000, 'v'));
  for (int i = 0; i < 20; ++i) {
    const std::string key = "large" + std::to_string(i);
    EXPECT_EQ(store_->update(store_->hash(kFeature, key), kFeature, key, now_,
                             [](const EntryView*) {
                               return Store::Update{.action = Store::Update::Action::kStore,
                                                    .value = std::string(std::size_t{2} << 20, 'x'),
                                                    .meta = {}};
                             }),
              Store::PutResult::kStored);
    EXPECT_TRUE(get(key).has_value());
  }
}

TEST_F(StoreTest, ScanSeesEveryEntryOnceWhenNothingChanges) {
  std::set<std::string> expected;
  for (int i = 0; i < 3000; ++i) {
    expected.insert("k" + std::to_string(i));
    put("k" + std::to_string(i), "v", {.expires_at = 5000});
  }
  put("expired", "v", {.expires_at = 1000});
  std::set<std::string> seen;
  std::uint64_t cursor = 0;
  std::size_t visits = 0;
  do {
    cursor = store_->scan(cursor, 10, now_, [&](const Store::Visited& v) {
      ++visits;
      seen.insert(std::string(v.key));
    });
  } while (cursor != 0);
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(visits, expected.size());
}

TEST_F(StoreTest, EntryCostCountsHeaderPaddingAndIndex) {
  EXPECT_EQ(store_->entry_cost(store_->hash(kFeature, "k"), kFeature, "k", now_), 0);
  for (int i = 0; i < 1000; ++i) put("k" + std::to_string(i), "v");
  const std::size_t cost = store_->entry_cost(store_->hash(kFeature, "k1"), kFeature, "k1", now_);
  EXPECT_GE(cost, 24 + 5);
  EXPECT_LE(cost, 24 + 40);
}

TEST_F(StoreTest, AHandThatSkipsFindsItsVictims) {
  open(std::size_t{2} << 20, make_test_policy<SkipTestPolicy>());
  for (int i = 0; i < 60000; ++i) {
    put("k" + std::to_string(i), std::string(60, 'v'));
    if (i >= 100) get("k" + std::to_string(i % 100));
  }
  store_->check_invariants();
  int survivors = 0;
  for (int i = 0; i < 100; ++i) survivors += get("k" + std::to_string(i)).has_value();
  EXPECT_EQ(survivors, 100);
}

TEST_F(StoreTest, SampledHitsReachThePolicyAndMoveEntries) {
  open(std::size_t{2} << 20, make_test_policy<MoveOnHitTestPolicy>());
  for (int i = 0; i < 60000; ++i) {
    put("k" + std::to_string(i), std::string(60, 'v'));
    if (i % 50 == 0) get("k0");
  }
  EXPECT_TRUE(get("k0").has_value());
  EXPECT_FALSE(get("k1").has_value());
}

TEST_F(StoreTest, APolicyThatNeverEvictsIsOverruled) {
  open(std::size_t{512} << 10, make_test_policy<StubbornTestPolicy>());
  for (int i = 0; i < 5000; ++i)
    ASSERT_EQ(put("k" + std::to_string(i), std::string(500, 'v')), Store::PutResult::kStored);
}

TEST_F(StoreTest, AShardBelowItsShareTakesFromTheRichest) {
  open(std::size_t{8} << 20, make_test_policy<TwoQueueTestPolicy>(), 4);
  // Large values of one shard fill the store; then the other shards' keys need room.
  int stored = 0;
  for (int i = 0; stored < 200; ++i) {
    const std::string key = "large" + std::to_string(i);
    if ((store_->hash(kFeature, key).value >> 58 & 3) != 0) continue;
    ASSERT_EQ(put(key, std::string(100000, 'x')), Store::PutResult::kStored);
    ++stored;
  }
  for (int i = 0; i < 30000; ++i)
    ASSERT_EQ(put("k" + std::to_string(i), std::string(60, 'v')), Store::PutResult::kStored);
  EXPECT_GT(store_->usage(kFeature).entries, 20000);
}

class EveryPolicyTest : public testing::TestWithParam<PolicyKind> {};

TEST_P(EveryPolicyTest, HoldsTheLimitUnderASkewedLoad) {
  const std::size_t limit = std::size_t{4} << 20;
  Store store({.memory_limit = limit, .policy = GetParam(), .hash_seed = 7});
  std::uint64_t random = 1;
  for (int i = 0; i < 200000; ++i) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    const std::uint64_t a = (random >> 40) % 1000;
    const std::string key = std::to_string(a * a * a / 1000);
    const KeyHash hash = store.hash(kFeature, key);
    EntryView view;
    bool hit = false;
    {
      const Store::ReadGuard guard(store);
      hit = store.find(guard, hash, kFeature, key, 1, &view);
    }
    if (!hit) {
      ASSERT_EQ(
          store.put({.hash = hash, .feature = kFeature, .key = key, .value = std::string(a, 'v'), .now = 1}),
          Store::PutResult::kStored);
    }
    if (i % 1000 == 0) store.maintain(i);
    if (i % 100 == 0) {
      ASSERT_LE(store.stats().bytes_used, limit);
    }
  }
  store.check_invariants();
}
INSTANTIATE_TEST_SUITE_P(Kinds, EveryPolicyTest,
                         testing::Values(PolicyKind::kDefault, PolicyKind::kS3Fifo, PolicyKind::kSieve,
                                         PolicyKind::kLru, PolicyKind::kWTinyLfu));

}  // namespace
}  // namespace candor::l1
