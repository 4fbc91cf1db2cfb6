// S3-FIFO (Yang et al., SOSP'23): a small probationary queue in front of a main queue, and a ghost.
//
// What is read at most once while it passes through the small queue leaves early (most keys are "one-hit
// wonders"), and its fingerprint stays in the ghost: if it is missed again soon it goes straight to main.
// Main is a FIFO with reinsertion.
#pragma once

#include "tier/l1/ghost.h"
#include "tier/l1/policy.h"

namespace candor::l1 {

class S3FifoPolicy final : public EvictionPolicy {
 public:
  [[nodiscard]] unsigned queue_count() const override { return 2; }
  void set_capacity(std::size_t capacity, std::size_t expected_entries) override;
  [[nodiscard]] unsigned on_insert(std::uint64_t hash, std::size_t bytes) override;
  [[nodiscard]] unsigned pick_queue(std::span<const QueueLevel> queues) override;
  [[nodiscard]] HeadDecision on_head(const HeadEntry& head) override;
  [[nodiscard]] std::size_t memory_bytes() const override { return sizeof(*this) + ghost_.memory_bytes(); }

 private:
  static constexpr unsigned kSmall = 0;
  static constexpr unsigned kMain = 1;
  // The paper's settings: a tenth for the small queue; two reads there earn a place in main; in main at most
  // three rounds are saved up.
  static constexpr std::size_t kSmallDivisor = 10;
  static constexpr unsigned kPromoteAt = 2;
  static constexpr unsigned kRoundsMax = 3;

  Ghost ghost_{Ghost::Fingerprints::kFine};
};

}  // namespace candor::l1
