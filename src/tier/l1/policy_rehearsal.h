// The default policy: rehearses a few regimes on a sample of the keys and plays the one that misses least.
//
// No fixed policy is good at every size on every trace: what keeps a scan out throws away what is merely
// recent. So the choice is measured, all the time: regime.h has the candidates, rehearsal.h runs them in
// miniature, regime_choice.h decides. A change of regime moves nothing; the queues flow into their new shares
// as entries come and go.
//
// Memory: the ghost, 1.0 byte an expected entry; the rehearsal, 37 KB at most up to 262144 entries a shard
// and 0.14 bytes an entry beyond. A shard of 8 MiB spends 1.4 % of itself on all that when its entries have
// 100 bytes. docs/eviction.md has the sum.
#pragma once

#include <cstdint>
#include <memory>

#include "base/random.h"
#include "tier/l1/ghost.h"
#include "tier/l1/policy.h"
#include "tier/l1/regime.h"
#include "tier/l1/regime_choice.h"
#include "tier/l1/rehearsal.h"

namespace candor::l1 {

class RehearsalPolicy final : public EvictionPolicy {
 public:
  explicit RehearsalPolicy(std::uint64_t seed) : random_(seed) {}

  [[nodiscard]] unsigned queue_count() const override { return kQueuesMax; }
  void set_capacity(std::size_t capacity, std::size_t expected_entries) override;
  [[nodiscard]] unsigned on_insert(std::uint64_t hash, std::size_t bytes) override;
  [[nodiscard]] unsigned pick_queue(std::span<const QueueLevel> queues) override;
  [[nodiscard]] HeadDecision on_head(const HeadEntry& head) override;
  [[nodiscard]] bool on_hit(std::uint64_t hash, unsigned* queue) override;
  [[nodiscard]] HitSampling hit_sampling() const override { return {.mask = sample_mask_}; }
  void on_remove(std::uint64_t hash, std::size_t bytes, unsigned queue) override;
  [[nodiscard]] std::size_t memory_bytes() const override;

  [[nodiscard]] const Regime& regime() const { return kRegimes[regime_]; }
  // Requests rehearsed and changes of regime so far; for reports and tests.
  [[nodiscard]] std::uint64_t rehearsed() const { return rehearsed_; }
  [[nodiscard]] std::uint64_t changes() const { return changes_; }

 private:
  [[nodiscard]] bool is_sampled(std::uint64_t hash) const { return (hash & sample_mask_) == 0; }
  void rehearse(std::uint64_t hash);

  Ghost ghost_{Ghost::Fingerprints::kCompact};
  Random random_;
  std::unique_ptr<Rehearsal> rehearsal_;
  std::unique_ptr<RegimeChoice> choice_;
  unsigned regime_ = kFirstRegime;
  std::uint64_t sample_mask_ = ~std::uint64_t{0};
  std::size_t capacity_ = 0;
  std::size_t filled_ = 0;  // bytes inserted before the first eviction
  bool was_full_ = false;
  bool middle_turn_ = false;  // see pick_queue
  std::uint64_t rehearsed_ = 0;
  std::uint64_t changes_ = 0;
};

}  // namespace candor::l1
