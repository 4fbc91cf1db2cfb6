// How often keys were asked for lately: a count-min sketch of four-bit counters that are halved now and then
// (Einziger, Friedman, Manes, "TinyLFU", ACM ToS 2017).
//
// A key has four counters in one cache line. Counts saturate at 15. When about ten increments for each
// expected entry have been made, all counters are halved: old popularity fades.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace candor::l1 {

class FrequencySketch {
 public:
  static constexpr unsigned kCountMax = 15;

  // Eight counters an entry: 4 bytes. Forgets everything when the number changes by more than a quarter.
  void set_entries(std::size_t entries);
  void add(std::uint64_t hash);
  // Never below the true count since the last halving.
  [[nodiscard]] unsigned count(std::uint64_t hash) const;
  [[nodiscard]] std::size_t memory_bytes() const { return lines_.capacity() * sizeof(Line); }

 private:
  static constexpr unsigned kRows = 4;
  static constexpr unsigned kWordsInLine = 8;
  using Line = std::array<std::uint64_t, kWordsInLine>;

  struct Cell {
    std::size_t word = 0;
    unsigned shift = 0;
  };
  [[nodiscard]] std::size_t line_of(std::uint64_t hash) const;
  [[nodiscard]] static Cell cell(std::uint64_t hash, unsigned row);
  void halve();

  std::vector<Line> lines_;
  std::size_t entries_ = 0;
  std::size_t increments_ = 0;
  std::size_t period_ = 0;
};

}  // namespace candor::l1
