#include "tier/disk/presence.h"

#include <algorithm>

#include "base/random.h"

namespace candor::disk {
namespace {

constexpr std::size_t kWordsInLine = 8;      // a cache line: one miss a question
constexpr std::uint64_t kBitsPerEntry = 10;  // about 1 % of wrong "maybe"
constexpr unsigned kProbes = 6;
constexpr std::size_t kLinesLeast = 128;

// Where a key's bits stand: a line by the high half, six bits in it by nine bits of the low half each.
struct Place {
  Place(std::uint64_t hash, std::size_t lines) : spread(mix64(hash)) {
    line = static_cast<std::size_t>((static_cast<unsigned __int128>(hash * 0x9e3779b97f4a7c15ULL) * lines) >>
                                    64);
  }
  [[nodiscard]] std::size_t word(unsigned probe) const { return line * kWordsInLine + (bit(probe) >> 6); }
  [[nodiscard]] std::uint64_t mask(unsigned probe) const { return std::uint64_t{1} << (bit(probe) & 63); }
  [[nodiscard]] std::uint64_t bit(unsigned probe) const { return spread >> (9 * probe) & 511; }
  std::uint64_t spread;
  std::size_t line;
};

}  // namespace

Presence::Presence(std::uint64_t disk_bytes, std::uint64_t first, bool has_past)
    : generation_bytes_(std::max<std::uint64_t>(1, disk_bytes / (kGenerations - 1))),
      lines_(std::max<std::size_t>(
          kLinesLeast,
          static_cast<std::size_t>(generation_bytes_ / kAssumedEntryBytes * kBitsPerEntry / 512))) {
  if (has_past) {
    Generation past;
    past.is_past = true;
    generations_.push_back(std::move(past));
  }
  begin(first);
}

void Presence::begin(std::uint64_t first) {
  Generation fresh;
  fresh.first = first;
  fresh.bits.assign(lines_ * kWordsInLine, 0);
  generations_.push_front(std::move(fresh));
  if (generations_.size() > kGenerations) generations_.pop_back();
}

void Presence::add(std::uint64_t hash, std::uint64_t sequence, std::uint64_t bytes) {
  if (generations_.front().bytes >= generation_bytes_) begin(sequence);
  Generation& young = generations_.front();
  young.bytes += bytes;
  const Place place(hash, lines_);
  for (unsigned i = 0; i < kProbes; ++i) young.bits[place.word(i)] |= place.mask(i);
}

bool Presence::has(const Generation& generation, std::uint64_t hash) const {
  if (generation.is_past) return true;
  const Place place(hash, lines_);
  for (unsigned i = 0; i < kProbes; ++i) {
    if ((generation.bits[place.word(i)] & place.mask(i)) == 0) return false;
  }
  return true;
}

bool Presence::may_hold(std::uint64_t hash) const {
  return std::ranges::any_of(generations_, [&](const Generation& one) { return has(one, hash); });
}

std::uint64_t Presence::old_below() const {
  return generations_.size() < kGenerations ? 0 : generations_[kGenerations - 2].first;
}

void Presence::clear(std::uint64_t next_sequence) {
  generations_.clear();
  begin(next_sequence);
}

std::size_t Presence::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Generation& one : generations_) bytes += one.bits.capacity() * sizeof(std::uint64_t);
  return bytes;
}

}  // namespace candor::disk
