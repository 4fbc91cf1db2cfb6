// How a shard makes room: reclaiming what readers left, compacting, evicting by policy, growing and shrinking
// its index.
#include <algorithm>
#include <new>
#include <thread>

#include "base/assert.h"
#include "tier/l1/shard.h"
#include "tier/l1/shard_walk.h"

namespace candor::l1 {

namespace {

// Index: grown at 85 % (12-slot buckets then overflow in one of five), by 2 while small, by 1.2 when it
// matters.
constexpr double kGrowAt = 0.85;
constexpr double kFullAt = 0.95;  // without memory to grow, entries leave from here on
constexpr double kShrinkAt = 0.25;
constexpr double kShrinkTo = 0.60;
constexpr std::size_t kSmallIndexBytes = std::size_t{64} << 10;
constexpr double kIndexGrowth = 1.2;

// A reader holds a guard for microseconds, so a short spin nearly always suffices; one that was preempted
// inside its guard needs a turn of the scheduler, which is milliseconds: few of these, since the shard's
// writers wait as well.
constexpr int kReaderSpins = 32;
constexpr int kReaderYields = 4;
constexpr int kPausesPerSpin = 32;  // about 1 µs
// What may wait in limbo beyond the room asked for: a part of the shard's share. More would empty the cache
// for one slow reader, less would make writers wait for one.
constexpr std::size_t kLimboPart = 8;

void pause_briefly() {
  for (int i = 0; i < kPausesPerSpin; ++i) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
}

// How far before the hand of a queue buckets are asked for: about ten small entries, a trip to memory's worth
// of work on them.
constexpr std::uint32_t kLookAheadBytes = 1024;

// What a reader asks for beside an entry's first line: up to this byte.
constexpr std::size_t kPrefetchEndMin = 65;
constexpr std::size_t kPrefetchEndMax = 256;

// A policy hears of a new capacity when it is off by this much.
constexpr std::size_t kCapacityDrift = 8;        // an eighth
constexpr std::size_t kEntriesDrift = 4;         // a quarter
constexpr std::size_t kAssumedEntryBytes = 256;  // until enough entries are there to take the mean
constexpr std::size_t kEntriesForMean = 256;

std::uint64_t buckets_in(std::size_t bytes) { return PageHeap::page_rounded(bytes) / sizeof(Bucket) - 1; }

}  // namespace

// --- limbo
// -------------------------------------------------------------------------------------------------------------

void Shard::retire_segment(std::uint32_t segment) {
  SegmentInfo& retired = info(segment);
  Queue& queue = queues_[retired.queue];
  if (queue.hand.segment == segment) queue.hand = Hand{retired.next, 0};
  if (queue.ahead.segment == segment) queue.ahead = Hand{};  // when it is back, its entries begin elsewhere
  queue.list.remove(memory_.segments.get(), segment);
  retired.owner.store(kNoOwner, std::memory_order_relaxed);
  retired.next = kNoSegment;
  retired.retired_epoch = epochs_.tag();
  (limbo_head_ == kNoSegment ? limbo_head_ : info(limbo_tail_).next) = segment;
  limbo_tail_ = segment;
  limbo_bytes_ += memory_.arena.segment_bytes();
  retired_bytes_ += memory_.arena.segment_bytes();
}

void Shard::retire_block(ValueBlock* block) {
  block->next = nullptr;
  block->retired_epoch = epochs_.tag();
  (limbo_blocks_ == nullptr ? limbo_blocks_ : limbo_blocks_tail_->next) = block;
  limbo_blocks_tail_ = block;
  limbo_bytes_ += block->mapped_bytes;
  retired_bytes_ += block->mapped_bytes;
}

void Shard::retire_table(IndexTable* table) {
  table->next = nullptr;
  table->retired_epoch = epochs_.tag();
  (limbo_tables_ == nullptr ? limbo_tables_ : limbo_tables_tail_->next) = table;
  limbo_tables_tail_ = table;
  limbo_bytes_ += table->bytes();
}

void Shard::retire_empty_tails() {
  for (const Queue& queue : queues_) {
    const std::uint32_t tail = queue.list.tail;
    if (tail != kNoSegment && info(tail).live_entries == 0) retire_segment(tail);
  }
}

bool Shard::reclaim() {
  if (limbo_bytes_ == 0) return false;
  const std::uint64_t limit = epochs_.advance();
  const std::size_t before = limbo_bytes_;
  while (limbo_head_ != kNoSegment && info(limbo_head_).retired_epoch < limit) {
    const std::uint32_t segment = limbo_head_;
    limbo_head_ = info(segment).next;
    limbo_bytes_ -= memory_.arena.segment_bytes();
    add_footprint(-static_cast<std::ptrdiff_t>(memory_.arena.segment_bytes()));
    memory_.arena.give_back(segment);
  }
  while (limbo_blocks_ != nullptr && limbo_blocks_->retired_epoch < limit) {
    ValueBlock* block = limbo_blocks_;
    limbo_blocks_ = block->next;
    const std::size_t bytes = block->mapped_bytes;
    limbo_bytes_ -= bytes;
    add_footprint(-static_cast<std::ptrdiff_t>(bytes));
    memory_.pages.free(block, bytes);
    memory_.budget.release(bytes);
  }
  while (limbo_tables_ != nullptr && limbo_tables_->retired_epoch < limit) {
    IndexTable* table = limbo_tables_;
    limbo_tables_ = table->next;
    const std::size_t bytes = table->bytes();
    limbo_bytes_ -= bytes;
    memory_.pages.free(table, bytes);
    memory_.budget.release(bytes);
  }
  return limbo_bytes_ != before;
}

bool Shard::can_evict_more(std::size_t wanted) const {
  return limbo_bytes_ < wanted + std::max(2 * memory_.arena.segment_bytes(), memory_.fair_share / kLimboPart);
}

bool Shard::wait_for_readers() {
  if (EpochDomain::this_thread_reads()) return false;  // it would wait for itself
  for (int i = 0; i < kReaderSpins + kReaderYields; ++i) {
    i < kReaderSpins ? pause_briefly() : std::this_thread::yield();
    if (reclaim()) return true;
  }
  return false;
}

bool Shard::release_room(std::size_t bytes) {
  if (reclaim()) return true;
  if (!can_evict_more(bytes)) return wait_for_readers();
  if (!evict_bytes(bytes)) return false;
  reclaim();
  return true;
}

// --- segments
// ----------------------------------------------------------------------------------------------------------

// May use the reserve: a move gives back more than it takes, only later.
std::uint32_t Shard::take_segment_for_move() {
  std::uint32_t segment = memory_.arena.take(0);
  if (segment == kNoSegment && reclaim()) segment = memory_.arena.take(0);
  if (segment != kNoSegment) add_footprint(static_cast<std::ptrdiff_t>(memory_.arena.segment_bytes()));
  return segment;
}

std::uint32_t Shard::take_segment_for_insert() {
  const std::size_t wanted = memory_.arena.segment_bytes();
  refresh_policy();
  // Once: a compaction that gained less than it promised must not be repeated for ever.
  bool may_compact = true;
  for (;;) {
    if (const std::uint32_t segment = memory_.arena.take(memory_.reserve_bytes); segment != kNoSegment) {
      add_footprint(static_cast<std::ptrdiff_t>(wanted));
      return segment;
    }
    if (reclaim()) continue;
    if (memory_.fair_share < memory_.budget.limit() && footprint() < memory_.fair_share / 2) {
      return kNoSegment;  // the others have more than their share
    }
    if (!can_evict_more(wanted)) {
      if (wait_for_readers()) continue;
      return kNoSegment;
    }
    if (may_compact && compact_if_sparse()) {
      may_compact = false;
      continue;
    }
    if (!evict_bytes(wanted)) return kNoSegment;
  }
}

// --- eviction
// ----------------------------------------------------------------------------------------------------------

bool Shard::evict_bytes(std::size_t bytes) {
  const std::uint64_t start = retired_bytes_;
  // Policies must come to an end by themselves: each turn over the entries lowers access bits. This is for
  // one that does not.
  std::uint64_t patience = (kAccessMax + 2) * entries_ + 64;
  while (retired_bytes_ - start < bytes && entries_ != 0) {
    evict_one(patience == 0);
    if (patience != 0) --patience;
  }
  if (entries_ == 0) retire_empty_tails();
  return retired_bytes_ != start;
}

bool Shard::evict_one(bool by_force) {
  if (entries_ == 0) return false;
  std::uint32_t queue = policy_->pick_queue(std::span(levels_).first(queue_count_));
  CANDOR_ASSERT(queue < queue_count_ && levels_[queue].entries != 0);
  Located entry = head_entry(queue);
  const EntryRef ref = entry_at(entry.offset);
  Hand& hand = queues_[queue].hand;
  const std::uint32_t padded = memory_.arena.padded(ref.bytes(entry.head));
  if (is_doomed(entry.offset, entry.head)) {
    hand.at += padded;
    remove_doomed(entry.offset, entry.head);
    return true;
  }
  const std::uint64_t hash = hash_of(entry.offset, entry.head);
  HeadDecision decision;
  if (!by_force) {
    decision = policy_->on_head(
        HeadEntry{hash, entry.head & entry_bits::kAccess, cost_of(entry.offset, entry.head), queue});
  }
  hand.at += padded;
  if (decision.action == HeadDecision::Action::kSkip) {
    ref.set_access(entry.head, decision.accesses);
    return true;
  }
  entry = locate_offset(hash, entry.offset);
  if (decision.action == HeadDecision::Action::kMove) {
    CANDOR_ASSERT(decision.queue < queue_count_);
    if (move(entry, decision.queue, decision.accesses & entry_bits::kAccess)) return true;
  }
  if (memory_.evicted != nullptr) show_evicted(entry, hash);
  remove(entry, hash, Cause::kEvicted);  // also where a move finds no segment
  return true;
}

// The live entry at the queue's hand. The queue is not empty.
Shard::Located Shard::head_entry(std::uint32_t queue) {
  Hand& hand = queues_[queue].hand;
  for (;;) {
    if (hand.segment == kNoSegment) hand = Hand{queues_[queue].list.head, 0};
    const SegmentInfo& segment = info(hand.segment);
    std::byte* const base = memory_.arena.segment_at(hand.segment);
    while (hand.at < segment.used) {
      const EntryRef entry(base + hand.at);
      const std::uint32_t head = entry.head();
      if ((head & entry_bits::kDead) == 0) {
        look_ahead(queues_[queue]);
        Located found;
        found.found = true;
        found.offset = memory_.arena.offset_of(base + hand.at);
        found.head = head;
        return found;
      }
      hand.at += memory_.arena.padded(entry.bytes(head));
    }
    hand = Hand{segment.next, 0};
  }
}

// Who leaves or moves needs its bucket, and buckets of neighbours in a segment lie anywhere: one trip to
// memory for each, unless they are on their way before the hand arrives. Stays inside the hand's segment.
void Shard::look_ahead(Queue& queue) {
  const Hand hand = queue.hand;
  if (queue.ahead.segment != hand.segment || queue.ahead.at < hand.at) queue.ahead = hand;
  const std::byte* const base = memory_.arena.segment_at(hand.segment);
  const std::uint32_t end = std::min(info(hand.segment).used, hand.at + kLookAheadBytes);
  const TableRef index = view_.table.load(std::memory_order_relaxed);
  while (queue.ahead.at < end) {
    const std::uint32_t offset = memory_.arena.offset_of(base + queue.ahead.at);
    const EntryRef entry = entry_at(offset);
    const std::uint32_t head = entry.head();
    if ((head & entry_bits::kDead) == 0) __builtin_prefetch(&index.home(hash_of(offset, head)), 1);
    queue.ahead.at += memory_.arena.padded(entry.bytes(head));
  }
}

// --- index
// -------------------------------------------------------------------------------------------------------------

bool Shard::ensure_slot() {
  const auto limit = [&](double part) {
    return static_cast<std::uint64_t>(static_cast<double>(table()->slot_count()) * part);
  };
  if (entries_ + 1 <= limit(kGrowAt)) [[likely]]
    return true;
  const std::size_t bytes = table()->bytes();
  const double factor = bytes < kSmallIndexBytes ? 2.0 : kIndexGrowth;
  if (rebuild_index(buckets_in(static_cast<std::size_t>(static_cast<double>(bytes) * factor)), true))
    return true;
  while (entries_ + 1 > limit(kFullAt)) evict_one(false);
  return true;
}

bool Shard::charge_by_evicting(std::size_t bytes) {
  for (;;) {
    if (memory_.budget.try_charge(bytes, memory_.reserve_bytes)) return true;
    if (reclaim() || memory_.arena.resident_free_bytes() != 0) {
      memory_.arena.trim(0);
      continue;
    }
    if (!can_evict_more(bytes)) {
      if (wait_for_readers()) continue;
      return false;
    }
    if (!evict_bytes(memory_.arena.segment_bytes())) return false;
  }
}

bool Shard::rebuild_index(std::uint64_t buckets, bool may_evict) {
  const std::size_t bytes = IndexTable::bytes_for(buckets);
  if (may_evict ? !charge_by_evicting(bytes) : !memory_.budget.try_charge(bytes, memory_.reserve_bytes))
    return false;
  void* pages = memory_.pages.allocate(bytes);
  if (pages == nullptr) {
    memory_.budget.release(bytes);
    return false;
  }
  auto* fresh = new (pages) IndexTable(buckets);
  // In the order of the segments, not of the old index: entries are read sequentially.
  for (const Queue& queue : queues_) {
    for (std::uint32_t segment = queue.list.head; segment != kNoSegment; segment = info(segment).next) {
      for_each_live(segment, [&](std::uint32_t offset, std::uint32_t head) {
        CANDOR_ASSERT(fresh->insert(hash_of(offset, head), offset));
      });
    }
  }
  IndexTable* old = table();
  view_.table.store(TableRef(fresh), std::memory_order_release);
  retire_table(old);
  ++changes_;  // slots that a caller has located are in the old table
  return true;
}

// --- policy
// ------------------------------------------------------------------------------------------------------------

void Shard::drain_hits() {
  if (hit_log_->is_empty()) return;
  hit_log_->drain([this](std::uint64_t hash) CANDOR_NO_TSA { heard_hit(hash); });
}

void Shard::heard_hit(std::uint64_t hash) {
  Located entry;
  entry.found = table()->find(
      hash,
      [&](std::uint32_t offset) {
        entry.offset = offset;
        entry.head = entry_at(offset).head();
        return hash_of(offset, entry.head) == hash;
      },
      &entry.slot);
  if (!entry.found || is_doomed(entry.offset, entry.head)) return;
  const std::uint32_t segment = memory_.arena.segment_of(entry.offset);
  unsigned queue = info(segment).queue;
  if (!policy_->on_hit(hash, &queue)) return;
  CANDOR_ASSERT(queue < queue_count_);
  // In the youngest segment already: a copy would change the order by less than a segment and cost as much as
  // any.
  if (queues_[queue].list.tail == segment) return;
  move(entry, queue, entry.head & entry_bits::kAccess);
}

std::size_t Shard::capacity_estimate() const {
  const MemoryBudget& budget = memory_.budget;
  const bool is_full = budget.used() + memory_.reserve_bytes + memory_.arena.segment_bytes() > budget.limit();
  const std::size_t live = live_bytes_ + block_bytes_;
  const std::size_t share = memory_.fair_share - memory_.fair_share / 8;
  return is_full ? std::max(live, share / 8) : std::max(live, share);
}

void Shard::refresh_policy() {
  const std::size_t capacity = capacity_estimate();
  const std::size_t mean = entries_ < kEntriesForMean
                               ? kAssumedEntryBytes
                               : std::max<std::size_t>((live_bytes_ + block_bytes_) / entries_, 1);
  const std::size_t expected = std::max<std::size_t>(capacity / mean, 1);
  const auto far = [](std::size_t a, std::size_t b, std::size_t part) {
    return (a > b ? a - b : b - a) > b / part;
  };
  if (!far(capacity, told_capacity_, kCapacityDrift) && !far(expected, told_entries_, kEntriesDrift)) {
    account_policy();
    return;
  }
  // The policy will grow about as the number of entries does: that much must be there before.
  if (told_entries_ != 0 && expected > told_entries_) {
    const auto growth =
        static_cast<std::size_t>(static_cast<double>(policy_charged_) *
                                 (static_cast<double>(expected) / static_cast<double>(told_entries_) - 1));
    if (!memory_.budget.try_charge(growth)) {
      reclaim();
      memory_.arena.trim(0);
      if (!memory_.budget.try_charge(growth)) return;
    }
    policy_charged_ += growth;
  }
  policy_->set_capacity(capacity, expected);
  told_capacity_ = capacity;
  told_entries_ = expected;
  account_policy();
}

void Shard::account_policy() {
  if (entries_ != 0) {
    const std::size_t mean = live_bytes_ / entries_;
    view_.usual_end.store(static_cast<std::uint32_t>(std::clamp(mean, kPrefetchEndMin, kPrefetchEndMax) - 1),
                          std::memory_order_relaxed);
  }
  const std::size_t bytes = policy_->memory_bytes();
  if (bytes > policy_charged_) memory_.budget.charge(bytes - policy_charged_);
  if (bytes < policy_charged_) memory_.budget.release(policy_charged_ - bytes);
  policy_charged_ = bytes;
  view_.sample_mask.store(policy_->hit_sampling().mask, std::memory_order_relaxed);
}

// --- housekeeping
// ------------------------------------------------------------------------------------------------------

bool Shard::tidy(Millis now) {
  now_ = std::max(now_, now);
  drain_hits();
  for (const Queue& queue : queues_) {
    const std::uint32_t tail = queue.list.tail;
    if (tail != kNoSegment && info(tail).live_entries == 0 && info(tail).used != 0) retire_segment(tail);
  }
  refresh_policy();
  const auto slots = static_cast<double>(table()->slot_count());
  if (static_cast<double>(entries_) < slots * kShrinkAt && table()->bytes() > kPageBytes) {
    const double wanted = static_cast<double>(entries_) / kShrinkTo / kBucketSlots * sizeof(Bucket);
    rebuild_index(buckets_in(static_cast<std::size_t>(wanted) + 2 * sizeof(Bucket)), false);
  }
  const bool compacted = compact_if_sparse();
  reclaim();
  return compacted;
}

}  // namespace candor::l1
