// Segments: the fixed-size logs that entries are appended to, and the order they stand in.
//
// A queue of a policy is a list of segments; order in the list and order inside a segment is order of
// arrival, so an entry needs no links. Dead entries stay where they are until their segment is consumed or
// compacted.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <utility>

#include "tier/l1/entry_view.h"
#include "tier/l1/memory.h"

namespace candor::l1 {

inline constexpr std::uint32_t kNoSegment = SegmentArena::kNone;
inline constexpr std::uint32_t kNoOwner = 0xFFFFFFFF;
inline constexpr Millis kNeverMs = std::numeric_limits<Millis>::max();

// 48 bytes for each segment of the arena. Under its owner's lock, but for the atomics, which sweeps peek at.
struct SegmentInfo {
  std::uint32_t next = kNoSegment;  // in its queue, or in limbo
  std::uint32_t prev = kNoSegment;
  std::uint32_t used = 0;  // bytes appended
  std::uint32_t live_bytes = 0;
  std::uint32_t live_entries = 0;
  std::atomic<std::uint32_t> owner{kNoOwner};  // shard
  std::atomic<Millis> min_expiry{kNeverMs};    // no entry expires before
  std::uint64_t retired_epoch = 0;
  std::uint32_t queue = 0;
};

// A doubly linked list through SegmentInfo.
struct SegmentList {
  std::uint32_t head = kNoSegment;
  std::uint32_t tail = kNoSegment;
  std::uint32_t count = 0;

  void push_back(SegmentInfo* segments, std::uint32_t segment) {
    insert_before(segments, kNoSegment, segment);
  }

  // `before` kNoSegment: at the end.
  void insert_before(SegmentInfo* segments, std::uint32_t before, std::uint32_t segment) {
    const std::uint32_t prev = before == kNoSegment ? tail : segments[before].prev;
    segments[segment].prev = prev;
    segments[segment].next = before;
    (prev == kNoSegment ? head : segments[prev].next) = segment;
    (before == kNoSegment ? tail : segments[before].prev) = segment;
    ++count;
  }

  void remove(SegmentInfo* segments, std::uint32_t segment) {
    const auto [next, prev] = std::pair{segments[segment].next, segments[segment].prev};
    (prev == kNoSegment ? head : segments[prev].next) = next;
    (next == kNoSegment ? tail : segments[next].prev) = prev;
    --count;
  }
};

}  // namespace candor::l1
