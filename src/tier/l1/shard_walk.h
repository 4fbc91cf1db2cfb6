// Shard's walk over a segment, shared by its source files.
#pragma once

#include "tier/l1/shard.h"

namespace candor::l1 {

// Calls visit(offset, head) for the live entries of a segment in order. `visit` may remove the entry it is
// given, and the segment with its last one: nothing is given back while the lock is held unless somebody
// reclaims, which no visitor does for its own segment before the last entry is dead.
template <class Visit>
void Shard::for_each_live(std::uint32_t segment, Visit&& visit) const {
  std::byte* const base = memory_.arena.segment_at(segment);
  const std::uint32_t used = info(segment).used;
  for (std::uint32_t at = 0; at < used;) {
    const EntryRef entry(base + at);
    const std::uint32_t head = entry.head();
    const std::uint32_t padded = memory_.arena.padded(entry.bytes(head));
    if ((head & entry_bits::kDead) == 0) visit(memory_.arena.offset_of(base + at), head);
    at += padded;
  }
}

}  // namespace candor::l1
