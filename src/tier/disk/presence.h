// Which keys the disk may hold: Bloom filters of the last demotions, so that most misses of the disk cost no
// trip to it and most invalidations no write.
//
// Demotions fall into generations of a quarter of the disk's size. The oldest generation is forgotten with
// its floor(): records from before it are never served, so that what the filters no longer know of can do no
// harm. What an earlier run left is one generation that says "maybe" to every key.
// Invariant: may_hold() is true for every key that was added at or after floor().
// Pure. Thread safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace candor::disk {

class Presence {
 public:
  // Beyond kGenerations of a quarter each, the disk has dropped what is older by itself.
  static constexpr std::size_t kGenerations = 5;
  // What an entry is assumed to weigh. Smaller ones fill the filter more: more trips, no other harm.
  static constexpr std::uint64_t kAssumedEntryBytes = 512;

  // `first`: the first sequence number of this run. `has_past`: the disk holds records of before.
  Presence(std::uint64_t disk_bytes, std::uint64_t first, bool has_past);

  void add(std::uint64_t hash, std::uint64_t sequence, std::uint64_t bytes);
  [[nodiscard]] bool may_hold(std::uint64_t hash) const;
  [[nodiscard]] std::uint64_t floor() const { return generations_.back().first; }
  // Below it a record is among the oldest quarter: soon gone, and worth writing again.
  [[nodiscard]] std::uint64_t old_below() const;
  // Nothing is held that was added until now.
  void clear(std::uint64_t next_sequence);
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  struct Generation {
    std::uint64_t first = 0;  // sequence
    std::uint64_t bytes = 0;
    bool is_past = false;  // says "maybe" to all
    std::vector<std::uint64_t> bits;
  };
  [[nodiscard]] bool has(const Generation& generation, std::uint64_t hash) const;
  void begin(std::uint64_t first);

  std::uint64_t generation_bytes_;
  std::size_t lines_;                   // of eight words each
  std::deque<Generation> generations_;  // youngest first, never empty
};

}  // namespace candor::disk
