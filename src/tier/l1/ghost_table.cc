#include "tier/l1/ghost_table.h"

#include <algorithm>

namespace candor::l1 {
namespace {

// Few keys get twice the room: a bucket's load varies most there, and the bytes do not matter.
constexpr std::size_t kSmallReach = 4096;

}  // namespace

void GhostTable::set_reach(std::size_t keys) {
  keys = std::max<std::size_t>(keys, 1);
  reach_ = keys;
  additions_per_tick_ = (keys + kTicksInReach - 1) / kTicksInReach;
  reach_in_ticks_ = static_cast<std::uint32_t>((keys + additions_per_tick_ - 1) / additions_per_tick_);
  if (sized_for_ != 0 && keys <= sized_for_ + sized_for_ / 4 && keys >= sized_for_ - sized_for_ / 4) return;
  const double slots_per_key = keys <= kSmallReach ? 2 * kSlotsPerKey : kSlotsPerKey;
  const auto buckets = static_cast<std::size_t>(static_cast<double>(keys) * slots_per_key / kWays) + 1;
  sized_for_ = keys;
  slots_.assign(buckets * kWays, Slot{});
  slots_.shrink_to_fit();
}

void GhostTable::add(std::uint64_t hash) {
  if (slots_.empty()) return;
  Slot* const first = bucket(hash);
  const std::uint16_t wanted = fingerprint(hash);
  Slot* oldest = first;
  for (Slot* slot = first; slot != first + kWays; ++slot) {
    if (slot->fingerprint == 0 || slot->fingerprint == wanted) {
      oldest = slot;
      break;
    }
    if (age(*slot) > age(*oldest)) oldest = slot;
  }
  if (++additions_ % additions_per_tick_ == 0) ++tick_;
  *oldest = Slot{wanted, tick_};
}

bool GhostTable::take(std::uint64_t hash) {
  if (slots_.empty()) return false;
  Slot* const first = bucket(hash);
  const std::uint16_t wanted = fingerprint(hash);
  for (Slot* slot = first; slot != first + kWays; ++slot) {
    if (slot->fingerprint != wanted) continue;
    const bool young = age(*slot) < reach_in_ticks_;
    *slot = Slot{};
    return young;
  }
  return false;
}

GhostTable::Slot* GhostTable::bucket(std::uint64_t hash) {
  const std::size_t buckets = slots_.size() / kWays;
  const auto index = static_cast<std::size_t>((static_cast<unsigned __int128>(hash) * buckets) >> 64);
  return slots_.data() + index * kWays;
}

std::uint16_t GhostTable::fingerprint(std::uint64_t hash) {
  // The bucket comes from the high bits, so the fingerprint comes from the low ones. 0 means a free slot.
  const auto bits = static_cast<std::uint16_t>(hash);
  return bits == 0 ? 1 : bits;
}

}  // namespace candor::l1
