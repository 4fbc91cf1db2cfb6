// Counters and histograms for hot paths: each thread adds to a cache line of its own, readers sum.
//
// Thread safety: add() and record() from any thread; value() and snapshot() from any thread, a little late.
// Cost: add() is one relaxed load and store to a line that this thread owns, about 1 ns.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

namespace candor {

// Threads beyond this share slots (still correct, fetch_add is used, only slower).
inline constexpr unsigned kCounterSlots = 16;

// This thread's slot, given out round robin at first use.
[[nodiscard]] unsigned counter_slot();

class Counter {
 public:
  void add(std::uint64_t n = 1) { slots_[counter_slot()].value.fetch_add(n, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const {
    std::uint64_t sum = 0;
    for (const auto& slot : slots_) sum += slot.value.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct alignas(64) Slot {
    std::atomic<std::uint64_t> value{0};
  };
  std::array<Slot, kCounterSlots> slots_;
};

// Log-linear histogram of nanoseconds: 8 sub-buckets for each power of two, relative error below 6.25 % at
// the bucket's middle (the scheme of HdrHistogram, with 3 bits of precision). Covers 0 … 2^42 ns (73
// minutes); more is clamped.
class LatencyHistogram {
 public:
  static constexpr unsigned kSubBits = 3;
  static constexpr unsigned kBuckets = (42 - kSubBits + 1) << kSubBits;

  [[nodiscard]] static constexpr unsigned bucket_of(std::uint64_t ns) {
    if (ns < (1U << kSubBits)) return static_cast<unsigned>(ns);
    const unsigned top = 63U - static_cast<unsigned>(std::countl_zero(ns));
    const unsigned index = ((top - kSubBits + 1) << kSubBits) +
                           static_cast<unsigned>((ns >> (top - kSubBits)) & ((1U << kSubBits) - 1));
    return index < kBuckets ? index : kBuckets - 1;
  }
  // Smallest value of the bucket after this one: every value in the bucket is below it.
  [[nodiscard]] static constexpr std::uint64_t bucket_limit(unsigned index) {
    if (index + 1 < (2U << kSubBits)) return index + 1;
    const unsigned next = index + 1;
    const unsigned exponent = (next >> kSubBits) - 1;
    return (std::uint64_t{(1U << kSubBits) + (next & ((1U << kSubBits) - 1))}) << exponent;
  }

  struct Snapshot {
    std::array<std::uint64_t, kBuckets> counts{};
    std::uint64_t count = 0;
    std::uint64_t sum_ns = 0;
    // Upper edge of the bucket that holds the quantile q in [0, 1]; 0 when nothing was recorded.
    [[nodiscard]] std::uint64_t quantile_ns(double q) const;
    // What was recorded after `earlier`.
    [[nodiscard]] Snapshot minus(const Snapshot& earlier) const;
  };

  LatencyHistogram();
  void record(std::uint64_t ns, std::uint64_t times = 1) {
    auto& slot = slots_[counter_slot() % kSlots];
    slot.counts[bucket_of(ns)].fetch_add(times, std::memory_order_relaxed);
    slot.sum.fetch_add(ns * times, std::memory_order_relaxed);
  }
  [[nodiscard]] Snapshot snapshot() const;

 private:
  static constexpr unsigned kSlots = 4;
  struct alignas(64) Slot {
    std::array<std::atomic<std::uint64_t>, kBuckets> counts{};
    std::atomic<std::uint64_t> sum{0};
  };
  std::unique_ptr<std::array<Slot, kSlots>> owned_;
  std::array<Slot, kSlots>& slots_;
};

}  // namespace candor
