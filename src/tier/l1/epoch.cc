#include "tier/l1/epoch.h"

namespace candor::l1 {

constinit thread_local EpochDomain::Slot* EpochDomain::current_slot_ = nullptr;

// Constant-initialised, trivially destroyed: threads may outlive static objects.
constinit EpochDomain EpochDomain::instance_;

// Gives a thread's slot back when the thread ends.
struct SlotLease {
  EpochDomain::Slot* slot = nullptr;
  ~SlotLease() {
    if (slot == nullptr) return;
    EpochDomain::current_slot_ = nullptr;
    slot->taken.store(false, std::memory_order_release);
  }
};

EpochDomain::Slot* EpochDomain::register_thread() {
  thread_local SlotLease lease;
  Slot* slot = slots_.load(std::memory_order_acquire);
  for (; slot != nullptr; slot = slot->next) {
    if (!slot->taken.load(std::memory_order_relaxed) &&
        !slot->taken.exchange(true, std::memory_order_acq_rel))
      break;
  }
  if (slot == nullptr) {
    slot = new Slot;
    slot->taken.store(true, std::memory_order_relaxed);
    slot->index = slot_count_.fetch_add(1, std::memory_order_relaxed);
    slot->next = slots_.load(std::memory_order_relaxed);
    while (!slots_.compare_exchange_weak(slot->next, slot, std::memory_order_acq_rel)) {
    }
  }
  slot->depth = 0;
  lease.slot = slot;
  current_slot_ = slot;
  return slot;
}

std::uint64_t EpochDomain::advance() {
  std::uint64_t limit = epoch_.fetch_add(1, std::memory_order_acq_rel) + 1;
  heavy_fence();
  for (const Slot* slot = slots_.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    const std::uint64_t reading = slot->epoch.load(std::memory_order_acquire);
    if (reading != 0 && reading < limit) limit = reading;
  }
  return limit;
}

}  // namespace candor::l1
