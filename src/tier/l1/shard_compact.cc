// Compaction: a run of neighbouring sparse segments of one queue is copied, in order, into fewer. Order of
// arrival is kept, so policies never notice.
#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "tier/l1/shard.h"
#include "tier/l1/shard_walk.h"

namespace candor::l1 {

namespace {
// Below a tenth, each byte gained would cost the copying of more than nine.
constexpr std::size_t kWastePart = 10;
// Ten segments that are nine tenths full become nine. Longer runs would hold the lock too long.
constexpr std::uint32_t kRunMax = 10;
}  // namespace

// Dead bytes and unused ends of all segments but the tails.
std::size_t Shard::wasted_bytes() const {
  std::size_t closed = 0;
  std::size_t live = live_bytes_;
  for (const Queue& queue : queues_) {
    if (queue.list.count == 0) continue;
    closed += queue.list.count - 1;
    live -= info(queue.list.tail).live_bytes;
  }
  return closed * memory_.arena.segment_bytes() - live;
}

bool Shard::compact_if_sparse() {
  std::size_t closed = 0;
  for (const Queue& queue : queues_) closed += queue.list.count == 0 ? 0 : queue.list.count - 1;
  if (closed < 2 || wasted_bytes() * kWastePart < closed * memory_.arena.segment_bytes()) return false;
  const Run run = sparsest_run();
  return run.length != 0 && compact(run);
}

// The run that frees the most memory for each byte copied.
Shard::Run Shard::sparsest_run() const {
  Run best;
  const auto segment_bytes = static_cast<double>(memory_.arena.segment_bytes());
  for (std::uint32_t q = 0; q < queue_count_; ++q) {
    const SegmentList& list = queues_[q].list;
    for (std::uint32_t first = list.head; first != kNoSegment && first != list.tail;
         first = info(first).next) {
      double bytes = 0;
      double entries = 0;
      std::uint32_t length = 0;
      for (std::uint32_t s = first; s != list.tail && length < kRunMax; s = info(s).next) {
        bytes += info(s).live_bytes;
        entries += info(s).live_entries;
        ++length;
        // A segment's end stays unused by half a mean entry; count a whole one, so that a promise of gain is
        // kept.
        const double needed = std::ceil(bytes / (segment_bytes - bytes / entries));
        const double score = (length - needed) * segment_bytes / bytes;
        if (needed < length && score > best.score) best = Run{q, first, length, score};
      }
    }
  }
  return best;
}

bool Shard::compact(const Run& run) {
  std::uint32_t target = kNoSegment;
  std::uint32_t source = run.first;
  for (std::uint32_t i = 0; i < run.length; ++i) {
    const std::uint32_t next = info(source).next;
    if (!compact_segment(source, &target)) return i > 1;
    source = next;
  }
  return true;
}

// Moves what lives in `source` to `*target` and to further segments before it. False if there is no memory
// for a target; what has been moved until then is in its place.
bool Shard::compact_segment(std::uint32_t source, std::uint32_t* target) {
  const std::uint32_t queue = info(source).queue;
  const Hand hand = queues_[queue].hand;
  bool hand_is_here = hand.segment == source;
  bool has_memory = true;
  std::byte* const source_base = memory_.arena.segment_at(source);
  for_each_live(source, [&](std::uint32_t offset, std::uint32_t head) CANDOR_NO_TSA {
    if (!has_memory) return;
    if (is_doomed(offset, head)) return remove_doomed(offset, head);
    const EntryRef from = entry_at(offset);
    const std::uint32_t padded = memory_.arena.padded(from.bytes(head));
    if (*target == kNoSegment || info(*target).used + padded > memory_.arena.segment_bytes()) {
      const std::uint32_t fresh = take_segment_for_move();
      if (fresh == kNoSegment) {
        has_memory = false;
        return;
      }
      adopt(fresh, queue, source);
      *target = fresh;
    }
    SegmentInfo& to_segment = info(*target);
    if (hand_is_here && static_cast<std::uint32_t>(from.at() - source_base) >= hand.at) {
      queues_[queue].hand = Hand{*target, to_segment.used};
      hand_is_here = false;
    }
    const std::uint64_t hash = hash_of(offset, head);
    const Located entry = locate_offset(hash, offset);
    std::byte* const to = memory_.arena.segment_at(*target) + to_segment.used;
    to_segment.used += padded;
    from.copy_to(to, entry.head, entry.head & entry_bits::kAccess);
    const std::uint32_t to_offset = memory_.arena.offset_of(to);
    count_live(to_offset, entry_at(to_offset).head());
    table()->replace(entry.slot, to_offset);
    kill(offset, entry.head, true);
    ++changes_;
  });
  return has_memory;
}

}  // namespace candor::l1
