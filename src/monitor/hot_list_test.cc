#include "monitor/hot_list.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "base/hash.h"
#include "base/random.h"

namespace candor {
namespace {

constexpr MonoTime at(Duration d) { return MonoTime{} + d; }

void add(HotList& list, MonoTime now, const std::string& key, double weight = 1.0, double amount = 1.0) {
  list.add(now, key, hash_bytes(key, 7), weight, amount);
}

// Key i is seen 1 / (i + 1) as often as the first.
std::size_t zipf(Random& random, std::size_t keys) {
  return static_cast<std::size_t>(std::pow(static_cast<double>(keys), random.unit())) - 1;
}

TEST(HotListTest, CountsExactlyWhatFits) {
  HotList list(4);
  for (int i = 0; i < 30; ++i) add(list, at(10s), "a");
  for (int i = 0; i < 10; ++i) add(list, at(10s), "b");
  const auto top = list.top(at(20s), 10);
  ASSERT_EQ(top.size(), 2U);
  EXPECT_EQ(top[0].key, "a");
  EXPECT_DOUBLE_EQ(top[0].figure.per_second, 3.0 * top[1].figure.per_second);
  EXPECT_EQ(top[0].figure.low, top[0].figure.high);
  EXPECT_EQ(list.unlisted_at_most(at(20s)), 0.0);
  list.check_invariants();
}

TEST(HotListTest, TheTruthLiesBetweenItsBoundsWhateverComes) {
  HotList list(32);
  Random random(3);
  std::map<std::string, double> truth;
  for (int i = 0; i < 50'000; ++i) {
    const std::string key = std::to_string(zipf(random, 3000));
    truth[key] += 1.0;
    add(list, at(1s), key);
  }
  // One moment for all: nothing fades, and a rate is the count over the same seconds.
  const double unit = list.per_second(at(2s)) / 50'000;
  for (const HotList::Listed& one : list.top(at(2s), 32)) {
    const double count = truth[std::string(one.key)];
    EXPECT_LE(one.figure.low, count * unit * (1 + 1e-9)) << one.key;
    EXPECT_GE(one.figure.high, count * unit * (1 - 1e-9)) << one.key;
    truth.erase(std::string(one.key));
  }
  for (const auto& [key, count] : truth) EXPECT_LE(count * unit, list.unlisted_at_most(at(2s)) * (1 + 1e-9));
  EXPECT_EQ(list.top(at(2s), 3)[0].key, "0");
  list.check_invariants();
}

TEST(HotListTest, SamplingWidensTheBoundsAsFarAsItMust) {
  constexpr double kChance = 0.02;
  Random random(11);
  int inside = 0;
  constexpr int kRuns = 400;
  for (int run = 0; run < kRuns; ++run) {
    HotList list(8);
    for (int i = 0; i < 20'000; ++i)
      if (random.unit() < kChance) add(list, at(1s), "hot", 1.0 / kChance);
    add(list, at(1s), "marker", 1.0);
    const double unit = list.find(at(2s), hash_bytes("marker", 7))->per_second;
    const auto figure = list.find(at(2s), hash_bytes("hot", 7));
    inside += figure->low <= 20'000 * unit && figure->high >= 20'000 * unit ? 1 : 0;
  }
  EXPECT_GE(inside, kRuns * 92 / 100);
}

TEST(HotListTest, ARateIsWhatItIsFromTheFirstSecondOn) {
  HotList list(4);
  MonoTime now = at(5s);
  for (int i = 0; i < 6000; ++i, now = now + 10ms) {
    add(list, now, "steady");
    if (i == 500 || i == 5999) {
      EXPECT_NEAR(list.top(now, 1)[0].figure.per_second, 100.0, 2.0) << i;
    }
  }
}

TEST(HotListTest, WhatIsNoLongerReadFades) {
  HotList list(4);
  for (int i = 0; i < 1000; ++i) add(list, at(0s) + i * 1ms, "old");
  for (int i = 0; i < 600; ++i) add(list, at(2min) + i * 1ms, "new");
  EXPECT_EQ(list.top(at(2min) + 1s, 1)[0].key, "new");
}

TEST(HotListTest, YearsOfFadingChangeNothing) {
  HotList list(4);
  for (int day = 0; day < 400; ++day) {
    add(list, at(day * 24h), "a");
    add(list, at(day * 24h), "b", 2.0);
  }
  const auto top = list.top(at(399 * 24h), 2);
  EXPECT_EQ(top[0].key, "b");
  EXPECT_NEAR(top[0].figure.per_second / top[1].figure.per_second, 2.0, 1e-6);
  list.check_invariants();
}

TEST(HotListTest, BytesAreWeighedBySize) {
  HotList list(4);
  for (int i = 0; i < 10; ++i) add(list, at(1s), "small", 1.0, 100.0);
  add(list, at(1s), "large", 1.0, 1e6);
  EXPECT_EQ(list.top(at(1s), 1)[0].key, "large");
}

TEST(HotListTest, RandomOperationsKeepTheOrder) {
  HotList list(16);
  Random random(5);
  MonoTime now{};
  for (int i = 0; i < 20'000; ++i) {
    now = now + Duration(random.below(50'000'000));
    add(list, now, std::to_string(zipf(random, 200)), 1.0 + random.unit() * 9.0);
    if (i % 64 == 0) list.check_invariants();
  }
}

}  // namespace
}  // namespace candor
