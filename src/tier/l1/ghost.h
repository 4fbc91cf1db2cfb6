// The ghost of a queue: which keys left lately. Remembers about the last `reach` keys added, in 1.33 bytes a
// key.
//
// An array of 64-bit words, each a little FIFO of six fingerprints of ten bits: an addition shifts the oldest
// out. One cache line for each operation, and no clock. How far back a word reaches varies with its luck: in
// the mean `reach` additions, four tenths of that as standard deviation. A list with an index would be exact
// and cost ten times the bytes; hit ratios do not tell the two apart (docs/eviction.md).
//
// A wrong "yes" happens for 6 / 1023 of the look-ups and gives an entry a place in main that it did not earn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace candor::l1 {

class Ghost {
 public:
  enum class Fingerprints : std::uint8_t { kCompact, kFine };
  explicit Ghost(Fingerprints fingerprints)
      : lane_bits_(fingerprints == Fingerprints::kFine ? 16 : 10), lanes_(64 / lane_bits_) {
    for (unsigned lane = 0; lane < lanes_; ++lane) ones_ |= std::uint64_t{1} << lane * lane_bits_;
  }

  // Forgets everything when the reach grows or shrinks by more than a quarter of what it was; else does
  // nothing.
  void set_reach(std::size_t keys);

  void add(std::uint64_t hash);
  // True if the key was added lately; forgets it.
  [[nodiscard]] bool take(std::uint64_t hash);

  [[nodiscard]] std::size_t memory_bytes() const { return words_.capacity() * sizeof(std::uint64_t); }

 private:
  [[nodiscard]] std::uint64_t& word(std::uint64_t hash);
  [[nodiscard]] std::uint64_t fingerprint(std::uint64_t hash) const;

  unsigned lane_bits_;
  unsigned lanes_;
  std::uint64_t ones_ = 0;  // the lowest bit of every lane
  std::vector<std::uint64_t> words_;
  std::size_t reach_ = 0;
};

}  // namespace candor::l1
