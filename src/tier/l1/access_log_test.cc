#include "tier/l1/access_log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "tier/l1/store.h"

namespace candor::l1 {
namespace {

constexpr FeatureId kFirst{0}, kSecond{1};
constexpr std::uint32_t kAll = 0xFFFFFFFF;

struct Recorded {
  explicit Recorded(std::size_t stripe_accesses = 64)
      : store({.memory_limit = std::size_t{1} << 20,
               .features_max = 2,
               .access_stripes = 1,
               .stripe_accesses = stripe_accesses}) {}

  bool read(FeatureId feature, const std::string& key) {
    const Store::ReadGuard guard(store);
    EntryView found;
    return store.find(guard, store.hash(feature, key), feature, key, 1, &found);
  }
  void put(FeatureId feature, const std::string& key, const std::string& value = "value") {
    (void)store.put(
        {.hash = store.hash(feature, key), .feature = feature, .key = key, .value = value, .now = 1});
  }
  std::vector<Access> drain() {
    std::vector<Access> out;
    store.access_log().drain(&out);
    return out;
  }
  Store store;
};

TEST(AccessLog, NothingIsRecordedOfWhatNobodyFollows) {
  Recorded recorded;
  recorded.store.access_log().watch(kFirst, kAll);
  EXPECT_FALSE(recorded.read(kSecond, "a"));
  recorded.put(kSecond, "a");
  EXPECT_TRUE(recorded.read(kSecond, "a"));
  EXPECT_TRUE(recorded.drain().empty());
}

TEST(AccessLog, AReadsMissItsFillAndItsHitsAreToldInOrder) {
  Recorded recorded;
  recorded.store.access_log().watch(kFirst, kAll);
  EXPECT_FALSE(recorded.read(kFirst, "key"));
  recorded.put(kFirst, "key", std::string(100, 'v'));
  EXPECT_TRUE(recorded.read(kFirst, "key"));
  EXPECT_TRUE(recorded.read(kFirst, "key"));
  (void)recorded.store.erase(recorded.store.hash(kFirst, "key"), kFirst, "key", 1);
  const auto told = recorded.drain();
  ASSERT_EQ(told.size(), 4U);
  EXPECT_EQ(told[0].kind, Access::Kind::kMiss);
  EXPECT_EQ(told[1].kind, Access::Kind::kStored);
  EXPECT_EQ(told[1].bytes, access_bytes(3, 100));
  EXPECT_EQ(told[2].kind, Access::Kind::kHit);
  EXPECT_EQ(told[2].reads, 2U);  // two reads of one key are one record
  EXPECT_EQ(told[2].bytes, access_bytes(3, 100));
  EXPECT_EQ(told[3].kind, Access::Kind::kErased);
  EXPECT_EQ(told[0].hash, told[3].hash);
}

TEST(AccessLog, ReadsOfOneKeyWithManyOthersBetweenAreTwoRecords) {
  Recorded recorded;
  recorded.store.access_log().watch(kFirst, kAll);
  recorded.put(kFirst, "key");
  (void)recorded.drain();
  EXPECT_TRUE(recorded.read(kFirst, "key"));
  for (int i = 0; i < 40; ++i) (void)recorded.read(kFirst, std::to_string(i));
  EXPECT_TRUE(recorded.read(kFirst, "key"));
  EXPECT_EQ(recorded.drain().size(), 42U);
}

TEST(AccessLog, BatchesAreTold) {
  Recorded recorded;
  recorded.store.access_log().watch(kFirst, kAll);
  recorded.put(kFirst, "here");
  (void)recorded.drain();
  Store::Lookup lookups[2];
  lookups[0] = {recorded.store.hash(kFirst, "here"), kFirst, "here", false, {}};
  lookups[1] = {recorded.store.hash(kFirst, "gone"), kFirst, "gone", false, {}};
  const Store::ReadGuard guard(recorded.store);
  recorded.store.find_many(guard, lookups, 1);
  const auto told = recorded.drain();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[0].kind, Access::Kind::kHit);
  EXPECT_EQ(told[1].kind, Access::Kind::kMiss);
}

TEST(AccessLog, AThresholdFollowsAboutItsShareOfTheKeysAndAllAccessesOfEach) {
  Recorded recorded(4000);
  recorded.store.access_log().watch(kFirst, kAll / 4);
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 2000; ++i) (void)recorded.read(kFirst, std::to_string(i));
  const auto told = recorded.drain();
  EXPECT_NEAR(static_cast<double>(told.size()), 1000, 120);
  for (const Access& access : told) EXPECT_LT(AccessLog::place(access.hash), kAll / 4);
}

TEST(AccessLog, AFullStripeLosesAndCounts) {
  Recorded recorded(16);
  recorded.store.access_log().watch(kFirst, kAll);
  for (int i = 0; i < 20; ++i) (void)recorded.read(kFirst, std::to_string(i));
  EXPECT_EQ(recorded.drain().size(), 16U);
  EXPECT_EQ(recorded.store.access_log().dropped(), 4U);
  EXPECT_EQ(recorded.store.access_log().lost_reads(kFirst), 4U);
  (void)recorded.read(kFirst, "again");
  EXPECT_EQ(recorded.drain().size(), 1U);
}

TEST(AccessLog, FlushesAreToldWhateverElseIsLost) {
  Recorded recorded(1);
  recorded.store.access_log().watch(kFirst, kAll);
  (void)recorded.read(kFirst, "a");
  recorded.store.erase_feature(kSecond);
  recorded.store.clear();
  const auto told = recorded.drain();
  ASSERT_EQ(told.size(), 3U);
  EXPECT_EQ(told[0].kind, Access::Kind::kAllErased);
  EXPECT_EQ(told[1].kind, Access::Kind::kFeatureErased);
  EXPECT_EQ(told[1].feature, kSecond);
}

TEST(AccessLog, WhatThreadsLeaveIsDrainedOrCountedAsLost) {
  AccessLog log(1, 2, 100);
  log.watch(kFirst, kAll);
  constexpr int kThreads = 4, kEach = 20'000;
  std::atomic<int> running{kThreads};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t)
    threads.emplace_back([&log, &running, t] {
      for (std::uint64_t i = 0; i < kEach; ++i) log.record_read(t, t * kEach + i + 1, kFirst, 10);
      running.fetch_sub(1);
    });
  std::vector<Access> out;
  while (running.load() != 0) log.drain(&out);
  for (auto& thread : threads) thread.join();
  log.drain(&out);
  EXPECT_EQ(out.size() + log.dropped(), std::size_t{kThreads} * kEach);
  EXPECT_FALSE(out.empty());
}

}  // namespace
}  // namespace candor::l1
