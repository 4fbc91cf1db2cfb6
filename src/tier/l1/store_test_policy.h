// Policies of the tests: the simplest that use each of the seam's actions.
#pragma once

#include <memory>

#include "tier/l1/policy.h"

namespace candor::l1 {

// Two queues: newcomers in 0, an accessed head moves to 1, and at its head there has another round for each
// access.
class TwoQueueTestPolicy final : public EvictionPolicy {
 public:
  unsigned queue_count() const override { return 2; }
  void set_capacity(std::size_t, std::size_t) override {}
  unsigned on_insert(std::uint64_t, std::size_t) override { return 0; }
  unsigned pick_queue(std::span<const QueueLevel> queues) override {
    if (queues[0].entries == 0) return 1;
    return queues[1].entries == 0 || queues[0].bytes * 4 > queues[1].bytes ? 0 : 1;
  }
  HeadDecision on_head(const HeadEntry& head) override {
    if (head.accesses == 0) return {HeadDecision::Action::kEvict, 0, 0};
    return {HeadDecision::Action::kMove, 1, head.queue == 0 ? 0 : head.accesses - 1};
  }
  std::size_t memory_bytes() const override { return sizeof *this; }
};

// One queue whose hand leaves survivors in place (SIEVE).
class SkipTestPolicy final : public EvictionPolicy {
 public:
  unsigned queue_count() const override { return 1; }
  void set_capacity(std::size_t, std::size_t) override {}
  unsigned on_insert(std::uint64_t, std::size_t) override { return 0; }
  unsigned pick_queue(std::span<const QueueLevel>) override { return 0; }
  HeadDecision on_head(const HeadEntry& head) override {
    if (head.accesses == 0) return {HeadDecision::Action::kEvict, 0, 0};
    return {HeadDecision::Action::kSkip, 0, 0};
  }
  std::size_t memory_bytes() const override { return sizeof *this; }
};

// Hears of every hit and moves the entry to the tail (LRU, as far as a late and lossy report allows).
class MoveOnHitTestPolicy final : public EvictionPolicy {
 public:
  unsigned queue_count() const override { return 1; }
  void set_capacity(std::size_t, std::size_t) override {}
  unsigned on_insert(std::uint64_t, std::size_t) override { return 0; }
  unsigned pick_queue(std::span<const QueueLevel>) override { return 0; }
  HeadDecision on_head(const HeadEntry&) override { return {HeadDecision::Action::kEvict, 0, 0}; }
  bool on_hit(std::uint64_t, unsigned* queue) override {
    ++hits;
    *queue = 0;
    return true;
  }
  HitSampling hit_sampling() const override { return {.mask = 0}; }
  std::size_t memory_bytes() const override { return sizeof *this; }
  std::size_t hits = 0;
};

// Never lets anything leave: the store's patience must end it.
class StubbornTestPolicy final : public EvictionPolicy {
 public:
  unsigned queue_count() const override { return 1; }
  void set_capacity(std::size_t, std::size_t) override {}
  unsigned on_insert(std::uint64_t, std::size_t) override { return 0; }
  unsigned pick_queue(std::span<const QueueLevel>) override { return 0; }
  HeadDecision on_head(const HeadEntry&) override { return {HeadDecision::Action::kSkip, 0, 7}; }
  std::size_t memory_bytes() const override { return sizeof *this; }
};

template <class Policy>
PolicyFactory make_test_policy() {
  return [](std::uint64_t) { return std::make_unique<Policy>(); };
}

}  // namespace candor::l1
