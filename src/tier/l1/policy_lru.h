// LRU, exactly: every hit moves its entry to the tail. It is the yardstick and the price to compare with, not
// a policy for a busy store: it must hear of every hit, and moves entries for them.
#pragma once

#include "tier/l1/policy.h"

namespace candor::l1 {

class LruPolicy final : public EvictionPolicy {
 public:
  [[nodiscard]] unsigned queue_count() const override { return 1; }
  void set_capacity(std::size_t /*capacity*/, std::size_t /*expected_entries*/) override {}
  [[nodiscard]] unsigned on_insert(std::uint64_t /*hash*/, std::size_t /*bytes*/) override { return 0; }
  [[nodiscard]] unsigned pick_queue(std::span<const QueueLevel> /*queues*/) override { return 0; }
  [[nodiscard]] HeadDecision on_head(const HeadEntry& /*head*/) override {
    return {.action = HeadDecision::Action::kEvict};
  }
  [[nodiscard]] bool on_hit(std::uint64_t hash, unsigned* queue) override;
  [[nodiscard]] HitSampling hit_sampling() const override { return {.mask = 0}; }
  [[nodiscard]] std::size_t memory_bytes() const override { return sizeof(*this); }
};

}  // namespace candor::l1
