// What happened to a sample of the keys, for whoever models the cache: every read, fill and removal of a key
// that was chosen by its hash, and nothing of the others (spatial sampling; only so can the distance between
// two reads of one key be known). The hit path pays one compare.
//
// Readers leave accesses in stripes that somebody empties about every 100 ms. Lossy on purpose: a reader
// whose stripe is full or in use goes on, and the loss is counted. Reads of one key that follow each other in
// a stripe become one record with a count: a hot key that happens to be chosen costs no more than a cold one.
//
// Invariant: a stripe holds at most `stripe_accesses` records.
// Thread safety: everything, from any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "tier/l1/entry_view.h"

namespace candor::l1 {

struct Access {
  enum class Kind : std::uint8_t { kHit, kMiss, kStored, kErased, kFeatureErased, kAllErased };
  std::uint64_t hash = 0;
  Millis expires_at = 0;    // of kStored; 0: never
  std::uint32_t bytes = 0;  // what the entry costs (access_bytes); 0: not known
  std::uint32_t reads = 1;
  FeatureId feature;
  Kind kind = Kind::kHit;
};

// About what an entry costs in L1: header, padding and its part of the index included.
[[nodiscard]] inline std::uint32_t access_bytes(std::size_t key_bytes, std::size_t value_bytes) {
  constexpr std::size_t kHeaderAndIndex = 20 + 7;
  constexpr std::size_t kInline = 4095, kPage = 4096;
  const std::size_t value = value_bytes <= kInline ? value_bytes : (value_bytes + kPage - 1) / kPage * kPage;
  return static_cast<std::uint32_t>((kHeaderAndIndex + key_bytes + value + 3) & ~std::size_t{3});
}

class AccessLog {
 public:
  // Nothing is recorded without stripes.
  AccessLog(std::size_t features, unsigned stripes, std::size_t stripe_accesses);

  // Which keys of the feature from now on: those whose place(hash) is below; 0: none.
  void watch(FeatureId feature, std::uint32_t below) {
    if (!stripes_.empty()) below_[feature.value].store(below, std::memory_order_relaxed);
  }
  // Bits that neither the shard nor the policies' own samples go by.
  [[nodiscard]] static std::uint32_t place(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash >> 18);
  }
  [[nodiscard]] [[gnu::always_inline]] bool watches(std::uint64_t hash, FeatureId feature) const {
    return place(hash) < below_[feature.value].load(std::memory_order_relaxed);
  }

  // Never waits. `thread`: picks the stripe.
  [[gnu::noinline, gnu::cold]] void record(unsigned thread, const Access& access);
  // As above for a read; `bytes` 0: it missed.
  [[gnu::noinline, gnu::cold]] void record_read(unsigned thread, std::uint64_t hash, FeatureId feature,
                                                std::uint32_t bytes);
  // Of a whole feature, or all: not lost, whatever else is.
  void record_erased(const FeatureId* feature);

  // Appends what is there, stripe by stripe: between stripes order is lost.
  void drain(std::vector<Access>* out);
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  // Reads among them, of this feature: whoever counts misses has not seen these either way.
  [[nodiscard]] std::uint64_t lost_reads(FeatureId feature) const {
    return lost_reads_[feature.value].load(std::memory_order_relaxed);
  }
  // Records that fit between two drains when all come from one thread.
  [[nodiscard]] std::size_t stripe_accesses() const { return stripe_accesses_; }
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  void drop(const Access& access);

  static constexpr unsigned kRecent = 256;  // records that a following read of the same key may join
  struct alignas(64) Stripe {
    std::atomic_flag busy;
    std::vector<Access> accesses;                 // under `busy`
    std::array<std::uint16_t, kRecent> recent{};  // under `busy`; an index into accesses, checked by its hash
  };

  std::unique_ptr<std::atomic<std::uint32_t>[]> below_;
  std::size_t features_;
  std::size_t stripe_accesses_;
  std::vector<std::unique_ptr<Stripe>> stripes_;
  std::atomic<std::uint64_t> dropped_{0};
  std::unique_ptr<std::atomic<std::uint64_t>[]> lost_reads_;  // by feature
  std::atomic<bool> all_erased_{false};
  std::unique_ptr<std::atomic<bool>[]> erased_;
};

}  // namespace candor::l1
