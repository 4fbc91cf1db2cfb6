#include "tier/l1/key_hash.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace candor::l1 {
namespace {

constexpr FeatureId kHashed{3};

std::uint64_t hash(std::string_view key, std::uint64_t seed = 7, FeatureId feature = kHashed) {
  return hash_key(feature, key, HashSeed(seed));
}

TEST(KeyHashTest, EveryBitOfAKeyMovesAboutHalfOfTheHash) {
  for (const std::size_t bytes : {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 40}) {
    double changed = 0;
    int trials = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      std::string key;
      for (std::size_t i = 0; i < bytes; ++i) key.push_back(static_cast<char>(mix64(seed * 100 + i)));
      const std::uint64_t before = hash(key, seed);
      for (std::size_t bit = 0; bit < bytes * 8; ++bit, ++trials) {
        std::string other = key;
        other[bit / 8] = static_cast<char>(other[bit / 8] ^ (1 << bit % 8));
        const int distance = std::popcount(before ^ hash(other, seed));
        EXPECT_GT(distance, 8) << bytes << " bytes, bit " << bit;
        changed += distance;
      }
    }
    EXPECT_NEAR(changed / trials, 32, 2) << bytes << " bytes";
  }
}

TEST(KeyHashTest, LengthFeatureAndSeedAreParts) {
  std::set<std::uint64_t> seen;
  std::size_t asked = 0;
  for (std::size_t bytes = 0; bytes <= 64; ++bytes, ++asked) seen.insert(hash(std::string(bytes, '\0')));
  for (std::uint16_t feature = 4; feature < 4096; ++feature, ++asked)
    seen.insert(hash("12345678", 7, FeatureId{feature}));
  for (std::uint64_t seed = 0; seed < 1000; ++seed, ++asked) seen.insert(hash("1234567890123456", seed));
  EXPECT_EQ(seen.size(), asked);
}

// What the index uses of it: shards, tags and buckets of keys that people number.
TEST(KeyHashTest, NumberedKeysSpreadEvenly) {
  constexpr int kKeys = 1 << 16;
  constexpr std::uint64_t kBuckets = 1000;
  for (const bool is_text : {false, true}) {
    std::vector<double> shards(kShardsMax);
    std::vector<double> tags(256);
    std::vector<double> buckets(kBuckets);
    std::vector<double> low(64);
    for (std::uint64_t i = 0; i < kKeys; ++i) {
      const std::string key =
          is_text ? "user:" + std::to_string(i) : std::string(reinterpret_cast<const char*>(&i), 8);
      const std::uint64_t h = hash(key);
      ++shards[shard_of_hash(h)];
      ++tags[h >> 50 & 0xFF];
      ++buckets[bucket_of_hash(h, kBuckets)];
      ++low[h & 63];
    }
    for (const auto* counts : {&shards, &tags, &buckets, &low}) {
      const double mean = kKeys / static_cast<double>(counts->size());
      double chi_squared = 0;
      for (const double count : *counts) chi_squared += (count - mean) * (count - mean) / mean;
      const auto freedom = static_cast<double>(counts->size() - 1);
      EXPECT_NEAR(chi_squared, freedom, 5 * std::sqrt(2 * freedom)) << counts->size() << " cells";
    }
  }
}

// Without the seed nobody can choose keys that meet: pairs that collide under one seed do not under others.
TEST(KeyHashTest, KeysThatMeetUnderOneSeedPartUnderAnother) {
  std::vector<std::uint32_t> first_with(1 << 16, 0);
  int pairs = 0;
  int still = 0;
  for (std::uint32_t i = 1; i < 20000; ++i) {
    const auto key = [](std::uint32_t n) { return "k" + std::to_string(n); };
    std::uint32_t& other = first_with[hash(key(i), 1) >> 48];
    if (other != 0) {
      ++pairs;
      still += hash(key(i), 2) >> 48 == hash(key(other), 2) >> 48;
    }
    other = i;
  }
  EXPECT_GT(pairs, 1000);
  EXPECT_LE(still, 3);
}

}  // namespace
}  // namespace candor::l1
