#include "tier/l1/shard.h"

#include <algorithm>
#include <new>

#include "base/assert.h"
#include "tier/l1/shard_walk.h"

namespace candor::l1 {

namespace {
// Value blocks and tables live in a range of this many limits, so that fragmentation of addresses never
// matters.
constexpr std::size_t kPageRangeFactor = 4;
// A value longer than this part of a segment gets a block: what is left over at the end of segments stays
// below it.
constexpr std::size_t kInlinePart = 8;
}  // namespace

StoreMemory::StoreMemory(std::size_t limit, std::size_t segment_bytes, unsigned shards)
    : budget(limit),
      arena(budget, segment_bytes),
      pages(limit * kPageRangeFactor + 2 * kValueBytesMax),
      segments(std::make_unique<SegmentInfo[]>(arena.segment_count())),
      reserve_bytes(segment_bytes * shards),
      fair_share(limit / shards),
      inline_value_max(segment_bytes / kInlinePart),
      inline_entry_max(segment_bytes / 2) {}

Shard::Shard(StoreMemory& memory, ShardView& view, std::unique_ptr<EvictionPolicy> policy, std::uint32_t id,
             const HashSeed& hash_seed, std::size_t features)
    : memory_(memory),
      view_(view),
      epochs_(EpochDomain::instance()),
      id_(id),
      hash_seed_(hash_seed),
      policy_(std::move(policy)),
      queue_count_(policy_->queue_count()),
      hit_log_(std::make_unique<HitLog>()),
      usage_(features) {
  CANDOR_ASSERT(queue_count_ >= 1 && queue_count_ <= kQueuesMax);
  view_.hits = hit_log_.get();
  memory_.budget.charge(sizeof(Shard) + sizeof(ShardView) + sizeof(HitLog) + features * sizeof(FeatureUsage));
  const MutexLock lock(mutex);
  void* pages = memory_.pages.allocate(kPageBytes);
  CANDOR_ASSERT(pages != nullptr);
  memory_.budget.charge(kPageBytes);
  view_.table.store(TableRef(new (pages) IndexTable(kPageBytes / sizeof(Bucket) - 1)),
                    std::memory_order_release);
  refresh_policy();
}

// The ranges are unmapped as a whole; only what lies outside of them needs an end.
Shard::~Shard() = default;

Shard::Located Shard::locate(std::uint64_t hash, FeatureId feature, std::string_view key) const {
  Located result;
  const std::uint32_t identity = EntryRef::identity(feature, key.size());
  result.found = table()->find(
      hash,
      [&](std::uint32_t offset) {
        const EntryRef entry = entry_at(offset);
        result.offset = offset;
        result.head = entry.head();
        return entry.matches(result.head, identity, key);
      },
      &result.slot);
  return result;
}

Shard::Located Shard::locate_offset(std::uint64_t hash, std::uint32_t offset) const {
  Located result;
  result.offset = offset;
  result.found =
      table()->find(hash, [&](std::uint32_t candidate) { return candidate == offset; }, &result.slot);
  CANDOR_ASSERT(result.found);
  result.head = entry_at(offset).head();
  return result;
}

// --- entries
// -----------------------------------------------------------------------------------------------------------

Shard::PutOutcome Shard::put(const Store::PutRequest& request, const EntryShape& shape, ValueBlock* block) {
  now_ = std::max(now_, request.now);
  drain_hits();
  Located old = locate(request.hash.value, request.feature, request.key);
  const bool present = old.found && !entry_at(old.offset).is_expired(old.head, request.now);
  if (request.mode == PutMode::kOnlyIfAbsent && present) return PutOutcome::kConditionFailed;
  if (request.mode == PutMode::kOnlyIfPresent && !present) return PutOutcome::kConditionFailed;

  const std::uint32_t padded = memory_.arena.padded(shape.bytes);
  const std::size_t cost = padded + (block != nullptr ? block->mapped_bytes : 0);
  // A replacement stays in its queue and keeps its accesses: it is the key that is hot, not the value.
  const std::uint32_t queue = old.found ? info(memory_.arena.segment_of(old.offset)).queue
                                        : policy_->on_insert(request.hash.value, cost);
  const unsigned accesses = old.found ? old.head & entry_bits::kAccess : 0;

  const std::uint64_t changes = changes_;
  if (!old.found && !ensure_slot()) return PutOutcome::kNeedsRoom;
  if (!ensure_tail(queue, padded, Purpose::kInsert)) return PutOutcome::kNeedsRoom;
  if (changes != changes_) old = locate(request.hash.value, request.feature, request.key);

  const std::uint32_t offset = append(queue, padded);
  encode_entry(memory_.arena.at(offset), shape, request.feature, request.key, request.value, block,
               request.meta, accesses);
  if (block != nullptr) add_footprint(static_cast<std::ptrdiff_t>(block->mapped_bytes));
  count_live(offset, entry_at(offset).head());
  if (old.found) {
    table()->replace(old.slot, offset);
    if (!present) {
      ++expirations_;
      ++usage_[request.feature.value].expirations;
    }
    kill(old.offset, old.head, false);
  } else {
    CANDOR_ASSERT(table()->insert(request.hash.value, offset));
  }
  ++changes_;
  return PutOutcome::kStored;
}

bool Shard::erase(std::uint64_t hash, FeatureId feature, std::string_view key, Millis now,
                  unsigned* accesses) {
  now_ = std::max(now_, now);
  const Located entry = locate(hash, feature, key);
  if (!entry.found) return false;
  if (accesses != nullptr) *accesses = entry.head & entry_bits::kAccess;
  const bool expired = entry_at(entry.offset).is_expired(entry.head, now);
  remove(entry, hash, expired ? Cause::kExpired : Cause::kErased);
  return !expired;
}

std::uint32_t Shard::append(std::uint32_t queue, std::uint32_t bytes) {
  const std::uint32_t tail = queues_[queue].list.tail;
  SegmentInfo& segment = info(tail);
  const std::uint32_t offset = memory_.arena.offset_of(memory_.arena.segment_at(tail) + segment.used);
  segment.used += bytes;
  return offset;
}

void Shard::count_live(std::uint32_t offset, std::uint32_t head) {
  SegmentInfo& segment = info(memory_.arena.segment_of(offset));
  const EntryRef entry = entry_at(offset);
  const std::uint32_t padded = memory_.arena.padded(entry.bytes(head));
  const std::size_t cost = cost_of(offset, head);
  segment.live_bytes += padded;
  ++segment.live_entries;
  if (const Millis expiry = entry.expires_at(head);
      (head & entry_bits::kNoExpiry) == 0 && expiry < segment.min_expiry.load(std::memory_order_relaxed)) {
    segment.min_expiry.store(expiry, std::memory_order_relaxed);
  }
  levels_[segment.queue].bytes += cost;
  ++levels_[segment.queue].entries;
  FeatureUsage& usage = usage_[entry.feature(head).value];
  usage.bytes += cost;
  ++usage.entries;
  live_bytes_ += padded;
  block_bytes_ += cost - padded;
  ++entries_;
}

// The opposite of count_live. The entry must be out of the index, or its slot must point to its successor.
void Shard::kill(std::uint32_t offset, std::uint32_t head, bool keep_block) {
  const std::uint32_t number = memory_.arena.segment_of(offset);
  SegmentInfo& segment = info(number);
  const EntryRef entry = entry_at(offset);
  const std::uint32_t padded = memory_.arena.padded(entry.bytes(head));
  const std::size_t cost = cost_of(offset, head);
  entry.mark_dead(head);
  segment.live_bytes -= padded;
  --segment.live_entries;
  levels_[segment.queue].bytes -= cost;
  --levels_[segment.queue].entries;
  FeatureUsage& usage = usage_[entry.feature(head).value];
  usage.bytes -= cost;
  --usage.entries;
  live_bytes_ -= padded;
  block_bytes_ -= cost - padded;
  --entries_;
  if (ValueBlock* block = entry.block(head); block != nullptr && !keep_block) retire_block(block);
  if (segment.live_entries == 0 && queues_[segment.queue].list.tail != number) retire_segment(number);
}

void Shard::remove(const Located& entry, std::uint64_t hash, Cause cause) {
  const FeatureId feature = entry_at(entry.offset).feature(entry.head);
  if (cause != Cause::kEvicted) {  // the policy knows whom it evicted
    policy_->on_remove(hash, cost_of(entry.offset, entry.head),
                       info(memory_.arena.segment_of(entry.offset)).queue);
  }
  table()->erase(hash, entry.slot);
  kill(entry.offset, entry.head, false);
  ++changes_;
  if (cause == Cause::kEvicted) {
    ++evictions_;
    ++usage_[feature.value].evictions;
  } else if (cause == Cause::kExpired) {
    ++expirations_;
    ++usage_[feature.value].expirations;
  }
}

void Shard::show_evicted(const Located& entry, std::uint64_t hash) const {
  const EntryRef ref = entry_at(entry.offset);
  EntryView view;
  ref.view(entry.head, &view);
  memory_.evicted->on_evicted(ref.feature(entry.head), KeyHash{hash}, ref.key(entry.head), view);
}

// False if there is no segment to move to; nothing has changed then.
bool Shard::move(const Located& entry, std::uint32_t queue, unsigned accesses) {
  const EntryRef from = entry_at(entry.offset);
  const std::uint32_t padded = memory_.arena.padded(from.bytes(entry.head));
  if (!ensure_tail(queue, padded, Purpose::kMove)) return false;
  const std::uint32_t to = append(queue, padded);
  from.copy_to(memory_.arena.at(to), entry.head, accesses);
  count_live(to, entry_at(to).head());
  table()->replace(entry.slot, to);
  kill(entry.offset, entry.head, true);
  ++changes_;
  return true;
}

// Expired by the latest time we know, or being erased with its feature.
bool Shard::is_doomed(std::uint32_t offset, std::uint32_t head) const {
  const EntryRef entry = entry_at(offset);
  if (entry.is_expired(head, now_)) return true;
  return erasing_ && (erasing_all_ || entry.feature(head) == erasing_feature_);
}

void Shard::remove_doomed(std::uint32_t offset, std::uint32_t head) {
  const std::uint64_t hash = hash_of(offset, head);
  remove(locate_offset(hash, offset), hash,
         entry_at(offset).is_expired(head, now_) ? Cause::kExpired : Cause::kErased);
}

// --- segments
// ----------------------------------------------------------------------------------------------------------

bool Shard::has_tail_room(std::uint32_t queue, std::uint32_t bytes) const {
  const std::uint32_t tail = queues_[queue].list.tail;
  return tail != kNoSegment && info(tail).used + bytes <= memory_.arena.segment_bytes();
}

bool Shard::ensure_tail(std::uint32_t queue, std::uint32_t bytes, Purpose purpose) {
  if (has_tail_room(queue, bytes)) [[likely]]
    return true;
  const std::uint32_t segment =
      purpose == Purpose::kMove ? take_segment_for_move() : take_segment_for_insert();
  if (segment == kNoSegment) return false;
  if (has_tail_room(queue, bytes)) {  // evictions on the way moved entries here and brought a tail with them
    memory_.arena.give_back(segment);
    add_footprint(-static_cast<std::ptrdiff_t>(memory_.arena.segment_bytes()));
    return true;
  }
  const std::uint32_t old_tail = queues_[queue].list.tail;
  adopt(segment, queue, kNoSegment);
  if (old_tail != kNoSegment && info(old_tail).live_entries == 0) retire_segment(old_tail);
  return true;
}

void Shard::adopt(std::uint32_t segment, std::uint32_t queue, std::uint32_t before) {
  SegmentInfo& fresh = info(segment);
  fresh.used = 0;
  fresh.live_bytes = 0;
  fresh.live_entries = 0;
  fresh.queue = queue;
  fresh.min_expiry.store(kNeverMs, std::memory_order_relaxed);
  queues_[queue].list.insert_before(memory_.segments.get(), before, segment);
  fresh.owner.store(id_, std::memory_order_relaxed);
}

// --- sweeps
// ------------------------------------------------------------------------------------------------------------

void Shard::sweep_expired(std::uint32_t segment, Millis now) {
  now_ = std::max(now_, now);
  SegmentInfo& swept = info(segment);
  if (swept.owner.load(std::memory_order_relaxed) != id_) return;
  Millis earliest = kNeverMs;
  for_each_live(segment, [&](std::uint32_t offset, std::uint32_t head) CANDOR_NO_TSA {
    if (is_doomed(offset, head)) {
      remove_doomed(offset, head);
    } else if ((head & entry_bits::kNoExpiry) == 0) {
      earliest = std::min(earliest, entry_at(offset).expires_at(head));
    }
  });
  if (swept.owner.load(std::memory_order_relaxed) == id_)
    swept.min_expiry.store(earliest, std::memory_order_relaxed);
}

void Shard::begin_erase(bool all, FeatureId feature) {
  erasing_ = true;
  erasing_all_ = all;
  erasing_feature_ = feature;
}

void Shard::sweep_erased(std::uint32_t segment) {
  if (info(segment).owner.load(std::memory_order_relaxed) != id_) return;
  for_each_live(segment, [&](std::uint32_t offset, std::uint32_t head) CANDOR_NO_TSA {
    if (is_doomed(offset, head)) remove_doomed(offset, head);
  });
}

void Shard::end_erase() { erasing_ = false; }

// --- figures
// -----------------------------------------------------------------------------------------------------------

void Shard::add_to(StoreStats* stats) const {
  stats->index_bytes += table()->bytes();
  for (const Queue& queue : queues_) stats->segment_bytes += queue.list.count * memory_.arena.segment_bytes();
  stats->live_entry_bytes += live_bytes_ + block_bytes_;
  stats->policy_bytes += policy_charged_;
  stats->entries += entries_;
  stats->evictions += evictions_;
  stats->expirations += expirations_;
  stats->rejected += rejected_;
}

std::size_t Shard::index_share() const { return entries_ == 0 ? 0 : table()->bytes() / entries_; }

void Shard::check_invariants() const {
  std::uint64_t entries = 0;
  std::size_t live_bytes = 0;
  std::array<QueueLevel, kQueuesMax> levels{};
  for (unsigned q = 0; q < kQueuesMax; ++q) {
    const SegmentList& list = queues_[q].list;
    std::uint32_t count = 0;
    for (std::uint32_t s = list.head; s != kNoSegment; s = info(s).next, ++count) {
      const SegmentInfo& segment = info(s);
      CANDOR_ASSERT(segment.owner.load() == id_ && segment.queue == q);
      CANDOR_ASSERT(segment.used <= memory_.arena.segment_bytes());
      CANDOR_ASSERT(segment.live_entries != 0 || s == list.tail);
      std::uint32_t in_segment = 0;
      std::uint32_t bytes_in_segment = 0;
      for_each_live(s, [&](std::uint32_t offset, std::uint32_t head) {
        const std::uint64_t hash = hash_of(offset, head);
        CANDOR_ASSERT(table()->find(hash, [&](std::uint32_t candidate) { return candidate == offset; }));
        const EntryRef entry = entry_at(offset);
        const std::uint32_t identity = EntryRef::identity(entry.feature(head), entry.key(head).size());
        CANDOR_ASSERT(entry.matches(head, identity, entry.key(head)));
        if ((head & entry_bits::kNoExpiry) == 0)
          CANDOR_ASSERT(segment.min_expiry.load() <= entry.expires_at(head));
        ++in_segment;
        bytes_in_segment += memory_.arena.padded(entry.bytes(head));
        levels[q].bytes += cost_of(offset, head);
      });
      CANDOR_ASSERT(in_segment == segment.live_entries && bytes_in_segment == segment.live_bytes);
      entries += in_segment;
      levels[q].entries += in_segment;
      live_bytes += bytes_in_segment;
    }
    CANDOR_ASSERT(count == list.count);
    CANDOR_ASSERT(levels[q].bytes == levels_[q].bytes && levels[q].entries == levels_[q].entries);
  }
  CANDOR_ASSERT(entries == entries_ && live_bytes == live_bytes_);
  std::uint64_t tags = 0;
  for (std::uint64_t b = 0; b < table()->bucket_count(); ++b) {
    for (const auto& offset : table()->bucket(b).offsets) tags += offset.load() != 0;
  }
  CANDOR_ASSERT(tags == entries_);
  FeatureUsage sum;
  for (const FeatureUsage& usage : usage_) {
    sum.entries += usage.entries;
    sum.bytes += usage.bytes;
  }
  CANDOR_ASSERT(sum.entries == entries_ && sum.bytes == live_bytes_ + block_bytes_);
}

}  // namespace candor::l1
