// The ghost of a queue: which keys left lately. Remembers about the last `reach` keys that were added, as
// fingerprints.
//
// A set-associative table, not a list: buckets of kWays slots of four bytes (16 bits of fingerprint, 16 bits
// of the time at which it was added, counted in additions). An addition replaces the oldest slot of its
// bucket, a look-up believes a slot only while it is younger than `reach`. Both touch one cache line. Slots
// are over-provided (kSlotsPerKey), so that a bucket seldom has to drop a key that is still young.
//
// A wrong "yes" happens for about kWays / 65536 of the look-ups: it costs an entry a second chance that it
// did not earn. Time wraps after 65536 ticks, 32 times the reach; a slot that was not replaced by then can
// look young once more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace candor::l1 {

class GhostTable {
 public:
  // Forgets everything when the reach changes by more than a quarter; else only believes keys for a shorter
  // or longer time.
  void set_reach(std::size_t keys);

  void add(std::uint64_t hash);
  // True if the key was added within the reach; forgets it.
  [[nodiscard]] bool take(std::uint64_t hash);

  [[nodiscard]] std::size_t reach() const { return reach_; }
  [[nodiscard]] std::size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot); }

 private:
  static constexpr std::size_t kWays = 8;               // half a cache line
  static constexpr double kSlotsPerKey = 1.5;           // a bucket then drops about 1 young key in 12
  static constexpr std::uint32_t kTicksInReach = 2048;  // resolution of "how long ago"

  struct Slot {
    std::uint16_t fingerprint = 0;  // 0: free
    std::uint16_t tick = 0;
  };

  [[nodiscard]] Slot* bucket(std::uint64_t hash);
  [[nodiscard]] static std::uint16_t fingerprint(std::uint64_t hash);
  [[nodiscard]] std::uint16_t age(const Slot& slot) const {
    return static_cast<std::uint16_t>(tick_ - slot.tick);
  }

  std::vector<Slot> slots_;
  std::size_t reach_ = 0;
  std::size_t sized_for_ = 0;
  std::uint64_t additions_ = 0;
  std::size_t additions_per_tick_ = 1;
  std::uint32_t reach_in_ticks_ = 0;
  std::uint16_t tick_ = 0;
};

}  // namespace candor::l1
