// A limit that changes while the store runs.
#include <gtest/gtest.h>

#include <string>

#include "base/random.h"
#include "tier/l1/store.h"

namespace candor::l1 {
namespace {

constexpr std::size_t kLimit = std::size_t{8} << 20;
constexpr FeatureId kLimited{};

void put(Store& store, std::uint64_t number, std::size_t bytes) {
  const std::string key = std::to_string(number);
  (void)store.put({.hash = store.hash(kLimited, key),
                   .feature = kLimited,
                   .key = key,
                   .value = std::string(bytes, 'v'),
                   .now = 1});
}

struct Filled {
  Filled() : store({.memory_limit = kLimit, .shards = 2}) {
    Random random(1);
    for (std::uint64_t i = 0; i < 60'000; ++i) put(store, i, random.below(300));
  }
  ~Filled() { store.check_invariants(); }
  void maintain(int times) {
    for (int i = 0; i < times; ++i) store.maintain(1 + i);
  }
  Store store;
};

TEST(StoreLimit, ShrinksStepByStepAndNeverAboveItsLimit) {
  Filled filled;
  filled.store.set_memory_limit(kLimit / 2);
  std::size_t before = filled.store.stats().memory_limit;
  for (int i = 0; i < 100 && filled.store.stats().memory_limit > kLimit / 2; ++i) {
    filled.store.maintain(1 + i);
    const StoreStats stats = filled.store.stats();
    EXPECT_LE(stats.bytes_used, stats.memory_limit);
    EXPECT_LE(before - stats.memory_limit, kLimit / 40);  // no step empties a large part at once
    before = stats.memory_limit;
  }
  EXPECT_EQ(filled.store.stats().memory_limit, kLimit / 2);
  EXPECT_LE(filled.store.stats().bytes_used, kLimit / 2);
  EXPECT_GT(filled.store.stats().bytes_used, kLimit / 3);
}

TEST(StoreLimit, RoomThatNobodyHoldsGoesAtOnce) {
  Filled filled;
  filled.store.clear();
  filled.maintain(100);
  put(filled.store, 1, 100);
  filled.store.set_memory_limit(kLimit / 2);
  EXPECT_LT(filled.store.stats().memory_limit, kLimit / 2 + kLimit / 20);
  for (std::uint64_t i = 0; i < 60'000; ++i) put(filled.store, 200'000 + i, 150);
  EXPECT_LE(filled.store.stats().bytes_used, kLimit / 2 + kLimit / 20);
  filled.store.set_memory_limit(kLimit);
  EXPECT_EQ(filled.store.stats().memory_limit, kLimit);
}

TEST(StoreLimit, WritersMeanwhileStoreAndEvict) {
  Filled filled;
  filled.store.set_memory_limit(kLimit / 4);
  for (std::uint64_t i = 0; i < 100; ++i) {
    for (std::uint64_t k = 0; k < 200; ++k) put(filled.store, 100'000 + i * 200 + k, 100);
    filled.store.maintain(static_cast<Millis>(i));
    EXPECT_LE(filled.store.stats().bytes_used, filled.store.stats().memory_limit);
  }
  EXPECT_EQ(filled.store.stats().memory_limit, kLimit / 4);
  EXPECT_EQ(filled.store.stats().rejected, 0U);
}

TEST(StoreLimit, GrowsBackAtOnceAndFillsAgain) {
  Filled filled;
  filled.store.set_memory_limit(kLimit / 2);
  filled.maintain(100);
  filled.store.set_memory_limit(kLimit);
  EXPECT_EQ(filled.store.stats().memory_limit, kLimit);
  for (std::uint64_t i = 0; i < 60'000; ++i) put(filled.store, 200'000 + i, 150);
  EXPECT_GT(filled.store.stats().bytes_used, kLimit * 9 / 10);
}

TEST(StoreLimit, APartOfItStaysWhateverIsAskedFor) {
  Filled filled;
  filled.store.set_memory_limit(0);
  filled.maintain(200);
  EXPECT_GE(filled.store.stats().memory_limit, kLimit / Store::kMemoryLimitPart);
  put(filled.store, 1, 100);
  const std::string key = "1";
  const Store::ReadGuard guard(filled.store);
  EntryView found;
  EXPECT_TRUE(filled.store.find(guard, filled.store.hash(kLimited, key), kLimited, key, 1, &found));
}

TEST(StoreLimit, WhatIsReservedForOthersIsChargedFromTheStart) {
  const Store plain({.memory_limit = kLimit});
  const Store reserved({.memory_limit = kLimit, .reserved_bytes = 100'000});
  EXPECT_EQ(reserved.stats().bytes_used, plain.stats().bytes_used + 100'000);
  EXPECT_EQ(reserved.stats().memory_limit, kLimit);
}

TEST(StoreLimit, UnderRandomLimitsAndWritesNothingIsEverAbove) {
  Store store({.memory_limit = kLimit, .shards = 4, .hash_seed = 3});
  Random random(2);
  for (int step = 0; step < 300; ++step) {
    if (random.below(10) == 0) store.set_memory_limit(random.below(kLimit));
    for (int i = 0; i < 200; ++i)
      put(store, random.below(100'000), random.below(50) == 0 ? 20'000 : random.below(300));
    store.maintain(step);
    const StoreStats stats = store.stats();
    ASSERT_LE(stats.bytes_used, stats.memory_limit);
    if (step % 20 == 0) store.check_invariants();
  }
}

}  // namespace
}  // namespace candor::l1
