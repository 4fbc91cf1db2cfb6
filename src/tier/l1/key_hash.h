// The hash of (feature, key), inlined for short keys: on the hit path a call would cost as much as the hash.
//
// How its 64 bits are used: 58…63 choose the shard, 50…57 the tag in a bucket, 0…49 the bucket. Policies
// sample by low bits, which are independent of the shard.
//
// Keys of up to 16 bytes are read as two words (overlapping, like XXH3 and wyhash do) and go through two
// folded 64 × 64 bit products. Every factor of the first product carries a secret word, so that nobody who
// does not know the seed can choose keys that collide. Longer keys take XXH3 under the same seed.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/hash.h"
#include "base/ids.h"
#include "base/random.h"

namespace candor::l1 {

inline constexpr unsigned kShardBits = 6;
inline constexpr unsigned kShardsMax = 1U << kShardBits;

// The secret words of one store.
struct HashSeed {
  explicit HashSeed(std::uint64_t seed) : first(mix64(seed)), second(mix64(first)), last(mix64(second)) {}
  std::uint64_t first;
  std::uint64_t second;
  std::uint64_t last;
};

namespace detail {

inline std::uint64_t folded_product(std::uint64_t a, std::uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

template <class Word>
inline std::uint64_t word_at(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

inline constexpr std::size_t kShortKeyMax = 16;

}  // namespace detail

[[nodiscard]] [[gnu::always_inline]] inline std::uint64_t hash_key(FeatureId feature, std::string_view key,
                                                                   const HashSeed& seed) {
  // An odd constant spreads the twelve bits of the feature over the seed.
  const std::uint64_t first = seed.first + feature.value * 0x9e3779b97f4a7c15ULL;
  const std::size_t n = key.size();
  const char* const p = key.data();
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  if (n > detail::kShortKeyMax) [[unlikely]]
    return hash_bytes(key, first);
  if (n >= 8) [[likely]] {
    a = detail::word_at<std::uint64_t>(p);
    b = detail::word_at<std::uint64_t>(p + n - 8);
  } else if (n >= 4) {
    a = detail::word_at<std::uint32_t>(p);
    b = detail::word_at<std::uint32_t>(p + n - 4);
  } else if (n != 0) {
    a = detail::word_at<std::uint8_t>(p) << 16 | detail::word_at<std::uint8_t>(p + n / 2) << 8 |
        detail::word_at<std::uint8_t>(p + n - 1);
  }
  return detail::folded_product(detail::folded_product(a ^ first, b ^ seed.second) ^ n, seed.last);
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
