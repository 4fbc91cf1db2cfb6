#include "tier/l1/frequency_sketch.h"

#include <algorithm>

namespace candor::l1 {
namespace {

constexpr std::size_t kCountersPerEntry = 8;
constexpr std::size_t kCountersInLine = 128;
constexpr std::size_t kIncrementsPerEntry = 10;  // between halvings, as in Caffeine

}  // namespace

void FrequencySketch::set_entries(std::size_t entries) {
  entries = std::max<std::size_t>(entries, 1);
  if (entries_ != 0 && entries <= entries_ + entries_ / 4 && entries >= entries_ - entries_ / 4) return;
  entries_ = entries;
  increments_ = 0;
  period_ = entries * kIncrementsPerEntry;
  lines_ = std::vector<Line>(entries * kCountersPerEntry / kCountersInLine + 1);
}

void FrequencySketch::add(std::uint64_t hash) {
  if (lines_.empty()) return;
  Line& line = lines_[line_of(hash)];
  bool added = false;
  for (unsigned row = 0; row < kRows; ++row) {
    const auto [word, shift] = cell(hash, row);
    if (((line[word] >> shift) & kCountMax) == kCountMax) continue;
    line[word] += std::uint64_t{1} << shift;
    added = true;
  }
  if (added && ++increments_ >= period_) halve();
}

unsigned FrequencySketch::count(std::uint64_t hash) const {
  if (lines_.empty()) return 0;
  const Line& line = lines_[line_of(hash)];
  unsigned least = kCountMax;
  for (unsigned row = 0; row < kRows; ++row) {
    const auto [word, shift] = cell(hash, row);
    least = std::min(least, static_cast<unsigned>((line[word] >> shift) & kCountMax));
  }
  return least;
}

std::size_t FrequencySketch::line_of(std::uint64_t hash) const {
  // The top bits are the shard's; a multiplication brings the others up.
  const std::uint64_t spread = hash * 0x9e3779b97f4a7c15ULL;
  return static_cast<std::size_t>((static_cast<unsigned __int128>(spread) * lines_.size()) >> 64);
}

// Each row has two words of the line, 32 counters; five bits of the hash choose one.
FrequencySketch::Cell FrequencySketch::cell(std::uint64_t hash, unsigned row) {
  const auto bits = static_cast<unsigned>(hash >> (10 + 8 * row)) & 31;
  return {.word = std::size_t{row} * 2 + (bits >> 4), .shift = (bits & 15) * 4};
}

void FrequencySketch::halve() {
  constexpr std::uint64_t kThreeLowBits = 0x7777777777777777ULL;
  for (Line& line : lines_) {
    for (std::uint64_t& word : line) word = (word >> 1) & kThreeLowBits;
  }
  increments_ /= 2;
}

}  // namespace candor::l1
