// A pair of fences in which one side pays for both: the frequent side (readers) uses light_fence(), which
// costs nothing at run time, the rare side (reclaimers) heavy_fence(), which makes every other thread of the
// process execute a full barrier (Linux membarrier(2), PRIVATE_EXPEDITED; a few microseconds). Together they
// order as two sequentially consistent fences would.
//
// Where membarrier is missing (old kernels, some sandboxes), both sides fall back to full fences. Under
// ThreadSanitizer, which does not model either, always.
#pragma once

#include <atomic>

#if defined(__SANITIZE_THREAD__)
#define CANDOR_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CANDOR_TSAN 1
#endif
#endif

namespace candor {

namespace detail {
// Set once, before main() or by the first call; true: light_fence() may be a compiler barrier.
extern const bool kMembarrierWorks;
}  // namespace detail

// Stores `value` and orders the store before every later load of this thread, as seen by a thread that calls
// heavy_fence().
template <class T>
inline void store_with_light_fence(std::atomic<T>& target, T value) {
#if defined(CANDOR_TSAN)
  target.exchange(value, std::memory_order_seq_cst);
#else
  target.store(value, std::memory_order_release);
  if (detail::kMembarrierWorks) [[likely]] {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
#endif
}

void heavy_fence();

}  // namespace candor
