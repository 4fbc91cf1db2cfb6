// Hits that a policy wants to hear of, on their way from readers to the shard's next writer. Small and lossy
// on purpose: a reader never waits, and the newest hits overwrite the oldest.
//
// Thread safety: record() from any thread; drain() under the shard's lock.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

namespace candor::l1 {

class HitLog {
 public:
  static constexpr unsigned kStripes =
      4;  // threads share a stripe when there are more; a lost hit is the price
  static constexpr std::uint32_t kStripeHits = 62;  // with the two counters: eight cache lines

  void record(unsigned thread_index, std::uint64_t hash) {
    Stripe& stripe = stripes_[thread_index % kStripes];
    const std::uint32_t at = stripe.written.load(std::memory_order_relaxed);
    stripe.hashes[at % kStripeHits].store(hash, std::memory_order_relaxed);
    stripe.written.store(at + 1, std::memory_order_release);
  }

  [[nodiscard]] bool is_empty() const {
    return std::all_of(stripes_.begin(), stripes_.end(), [](const Stripe& s) {
      return s.written.load(std::memory_order_relaxed) == s.drained;
    });
  }

  template <class Visit>
  void drain(Visit&& visit) {
    for (Stripe& stripe : stripes_) {
      const std::uint32_t end = stripe.written.load(std::memory_order_acquire);
      std::uint32_t at = end - stripe.drained > kStripeHits ? end - kStripeHits : stripe.drained;
      stripe.drained = end;
      for (; at != end; ++at) visit(stripe.hashes[at % kStripeHits].load(std::memory_order_relaxed));
    }
  }

 private:
  struct alignas(64) Stripe {
    std::atomic<std::uint32_t> written{0};
    std::uint32_t drained = 0;
    std::array<std::atomic<std::uint64_t>, kStripeHits> hashes{};
  };
  std::array<Stripe, kStripes> stripes_;
};

}  // namespace candor::l1
