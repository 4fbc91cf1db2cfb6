#include "tier/l1/ghost.h"

#include <bit>

namespace candor::l1 {
void Ghost::set_reach(std::size_t keys) {
  if (reach_ != 0 && keys <= reach_ + reach_ / 4 && keys >= reach_ - reach_ / 4) return;
  reach_ = keys;
  words_ = std::vector<std::uint64_t>((keys + lanes_ - 1) / lanes_ + 1);
}

void Ghost::add(std::uint64_t hash) {
  if (words_.empty()) return;
  std::uint64_t& lanes = word(hash);
  lanes =
      (lanes << lane_bits_) | fingerprint(hash);  // what is shifted out, or past the last lane, is forgotten
}

bool Ghost::take(std::uint64_t hash) {
  if (words_.empty()) return false;
  std::uint64_t& lanes = word(hash);
  // All lanes at once: a lane of `other` is zero where the fingerprint stands, and the highest bit of the
  // first such lane is the lowest bit of `zeros` (Mycroft's trick; lanes above it may lie, those below do
  // not).
  const std::uint64_t other = lanes ^ (fingerprint(hash) * ones_);
  const std::uint64_t zeros = (other - ones_) & ~other & (ones_ << (lane_bits_ - 1));
  if (zeros == 0) return false;
  const unsigned shift = static_cast<unsigned>(std::countr_zero(zeros)) - (lane_bits_ - 1);
  const std::uint64_t younger = lanes & ((std::uint64_t{1} << shift) - 1);
  const std::uint64_t older = lanes >> shift >> lane_bits_;
  lanes = (older << shift) | younger;
  return true;
}

std::uint64_t& Ghost::word(std::uint64_t hash) {
  // All keys of a shard share the hash's top bits; the multiplication brings the others up before the range
  // is taken.
  const std::uint64_t spread = hash * 0x9e3779b97f4a7c15ULL;
  return words_[static_cast<std::size_t>((static_cast<unsigned __int128>(spread) * words_.size()) >> 64)];
}

// Never 0: that is an empty lane. The lowest bits choose samples elsewhere, so the fingerprint starts above
// them.
std::uint64_t Ghost::fingerprint(std::uint64_t hash) const {
  const std::uint64_t lane_mask = (std::uint64_t{1} << lane_bits_) - 1;
  const std::uint64_t bits = (hash >> 20) & lane_mask;
  return bits == 0 ? lane_mask : bits;
}

}  // namespace candor::l1
