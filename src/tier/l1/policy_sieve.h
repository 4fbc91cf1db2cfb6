// SIEVE (Zhang et al., NSDI'24): one queue and a hand. The hand walks from old to new; what was read since
// its last visit loses its mark and stays in place, the first entry without a mark leaves. New entries near
// the tail are met last.
#pragma once

#include "tier/l1/policy.h"

namespace candor::l1 {

class SievePolicy final : public EvictionPolicy {
 public:
  [[nodiscard]] unsigned queue_count() const override { return 1; }
  void set_capacity(std::size_t /*capacity*/, std::size_t /*expected_entries*/) override {}
  [[nodiscard]] unsigned on_insert(std::uint64_t /*hash*/, std::size_t /*bytes*/) override { return 0; }
  [[nodiscard]] unsigned pick_queue(std::span<const QueueLevel> /*queues*/) override { return 0; }
  [[nodiscard]] HeadDecision on_head(const HeadEntry& head) override;
  [[nodiscard]] std::size_t memory_bytes() const override { return sizeof(*this); }
};

}  // namespace candor::l1
