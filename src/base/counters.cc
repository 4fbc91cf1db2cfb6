#include "base/counters.h"

#include <algorithm>
#include <cmath>

namespace candor {

unsigned counter_slot() {
  static std::atomic<unsigned> next{0};
  thread_local const unsigned slot = next.fetch_add(1, std::memory_order_relaxed) % kCounterSlots;
  return slot;
}

LatencyHistogram::LatencyHistogram()
    : owned_(std::make_unique<std::array<Slot, kSlots>>()), slots_(*owned_) {}

LatencyHistogram::Snapshot LatencyHistogram::snapshot() const {
  Snapshot out;
  for (const auto& slot : slots_) {
    for (unsigned i = 0; i < kBuckets; ++i) {
      const auto n = slot.counts[i].load(std::memory_order_relaxed);
      out.counts[i] += n;
      out.count += n;
    }
    out.sum_ns += slot.sum.load(std::memory_order_relaxed);
  }
  return out;
}

std::uint64_t LatencyHistogram::Snapshot::quantile_ns(double q) const {
  if (count == 0) return 0;
  const auto rank =
      static_cast<std::uint64_t>(std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count)));
  std::uint64_t seen = 0;
  for (unsigned i = 0; i < kBuckets; ++i) {
    seen += counts[i];
    if (seen >= rank && counts[i] > 0) return bucket_limit(i);
  }
  return bucket_limit(kBuckets - 1);
}

LatencyHistogram::Snapshot LatencyHistogram::Snapshot::minus(const Snapshot& earlier) const {
  Snapshot out;
  for (unsigned i = 0; i < kBuckets; ++i) out.counts[i] = counts[i] - earlier.counts[i];
  out.count = count - earlier.count;
  out.sum_ns = sum_ns - earlier.sum_ns;
  return out;
}

}  // namespace candor
