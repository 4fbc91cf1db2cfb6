// W-TinyLFU (Einziger, Friedman, Manes, 2017): a small window in order of arrival, and behind it a main part
// that a key enters only if the sketch calls it more popular than the entry that would have to leave.
//
// Fitted to queues whose entries do not move on a hit: main is a FIFO in which an entry that was read since
// it was last examined goes round again (the original moves it to a protected segment at once). The sketch
// hears of sampled hits at the hit, of all others when the entry is examined, from its access bits; so it
// needs no hit to be reported.
//
// The duel. Only heads can be examined, one at a time, so the loser-to-be of main steps out first: into a
// queue of its own, the dock, which holds one entry. Then the window's head is compared with it. If the
// newcomer wins, the one in the dock leaves; otherwise the newcomer does, and the dock waits for the next.
#pragma once

#include <cstdint>

#include "base/random.h"
#include "tier/l1/frequency_sketch.h"
#include "tier/l1/policy.h"

namespace candor::l1 {

class WTinyLfuPolicy final : public EvictionPolicy {
 public:
  explicit WTinyLfuPolicy(std::uint64_t seed) : random_(seed) {}

  [[nodiscard]] unsigned queue_count() const override { return 3; }
  void set_capacity(std::size_t capacity, std::size_t expected_entries) override;
  [[nodiscard]] unsigned on_insert(std::uint64_t hash, std::size_t bytes) override;
  [[nodiscard]] unsigned pick_queue(std::span<const QueueLevel> queues) override;
  [[nodiscard]] HeadDecision on_head(const HeadEntry& head) override;
  [[nodiscard]] std::size_t memory_bytes() const override { return sizeof(*this) + sketch_.memory_bytes(); }

 private:
  static constexpr unsigned kWindow = 0;
  static constexpr unsigned kMain = 1;
  static constexpr unsigned kDock = 2;
  static constexpr std::size_t kWindowDivisor = 100;  // the paper's 1 %

  [[nodiscard]] bool beats_docked(std::uint64_t hash);

  FrequencySketch sketch_;
  Random random_;
  std::uint64_t docked_hash_ = 0;
  bool docked_lost_ = false;  // the dock is to be emptied
  std::size_t capacity_ = 0;
  std::size_t filled_ = 0;
  bool was_full_ = false;
};

}  // namespace candor::l1
