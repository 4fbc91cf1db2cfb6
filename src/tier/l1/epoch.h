// Epoch-based reclamation: when may memory be reused that a reader could still be looking at?
//
// A reader announces itself by storing the current epoch into a slot of its own (one cache line per thread),
// and takes it back at the end. What a writer unlinks is tagged with the epoch of that moment. It may be
// reused once every announced reader began in a later epoch.
//
// Invariant: a reader that can reach an object tagged t has announced an epoch <= t. Either the reclaimer
// sees the announcement (heavy_fence) or the reader, which announced later, sees that the object is unlinked.
//
// Thread safety: everything, from any thread. One domain per process: a thread registers with its first guard
// and gives its slot back when it ends.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/asymmetric_fence.h"

namespace candor::l1 {

class EpochDomain {
 public:
  // 128: two lines, because the adjacent-line prefetcher fetches pairs.
  struct alignas(128) Slot {
    std::atomic<std::uint64_t> epoch{0};  // 0: not reading
    std::uint32_t depth = 0;              // nesting; the owner's alone
    std::uint32_t index = 0;              // small and dense: picks stripes
    std::byte scratch{};                  // takes stores that must lead nowhere; the owner's alone
    std::atomic<bool> taken{false};
    Slot* next = nullptr;
  };

  static EpochDomain& instance() { return instance_; }

  Slot* enter() {
    Slot* slot = current_slot_;
    if (slot == nullptr) [[unlikely]]
      slot = register_thread();
    if (slot->depth++ == 0) store_with_light_fence(slot->epoch, epoch_.load(std::memory_order_acquire));
    return slot;
  }
  static void leave(Slot* slot) {
    if (--slot->depth == 0) slot->epoch.store(0, std::memory_order_release);
  }
  // True if the calling thread holds a guard: it cannot wait for itself.
  [[nodiscard]] static bool this_thread_reads() {
    return current_slot_ != nullptr && current_slot_->depth != 0;
  }

  // The tag for what has been unlinked just now.
  [[nodiscard]] std::uint64_t tag() const { return epoch_.load(std::memory_order_acquire); }

  // Begins a new epoch and returns a limit: whatever carries a tag below it is out of every reader's reach.
  // Cost: one membarrier, and one cache line per registered thread.
  [[nodiscard]] std::uint64_t advance();

 private:
  friend struct SlotLease;
  Slot* register_thread();

  static EpochDomain instance_;
  static constinit thread_local Slot* current_slot_;
  std::atomic<std::uint64_t> epoch_{1};
  std::atomic<Slot*> slots_{nullptr};  // grows to the largest number of threads at one time; never shrinks
  std::atomic<std::uint32_t> slot_count_{0};
};

}  // namespace candor::l1
