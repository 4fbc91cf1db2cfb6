// The hash of (feature, key), inlined: on the hit path a call would cost as much as the hash.
//
// How its 64 bits are used: 58…63 choose the shard, 50…57 the tag in a bucket, 0…49 the bucket. Policies
// sample by low bits, which are independent of the shard.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>
#include <string_view>

#include "base/ids.h"

namespace candor::l1 {

inline constexpr unsigned kShardBits = 6;
inline constexpr unsigned kShardsMax = 1U << kShardBits;

[[nodiscard]] inline std::uint64_t hash_key(FeatureId feature, std::string_view key, std::uint64_t seed) {
  // An odd constant spreads the twelve bits of the feature over the seed.
  return XXH3_64bits_withSeed(key.data(), key.size(), seed + feature.value * 0x9e3779b97f4a7c15ULL);
}

[[nodiscard]] inline unsigned shard_of_hash(std::uint64_t hash) {
  return static_cast<unsigned>(hash >> (64 - kShardBits));
}

// Never 0: a tag of 0 is an empty slot.
[[nodiscard]] inline std::uint8_t tag_of_hash(std::uint64_t hash) {
  const auto tag = static_cast<std::uint8_t>(hash >> 50);
  return tag == 0 ? 0xFF : tag;
}

// Uniform in [0, buckets), monotone in the 50 low bits (Lemire's fastrange).
[[nodiscard]] inline std::uint64_t bucket_of_hash(std::uint64_t hash, std::uint64_t buckets) {
  return static_cast<std::uint64_t>((static_cast<unsigned __int128>(hash << 14) * buckets) >> 64);
}

}  // namespace candor::l1
