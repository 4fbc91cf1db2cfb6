// One shard of the store: an index, the queues of one policy, and the work of putting, evicting, expiring and
// compacting.
//
// Invariants (check_invariants)
//   - The index holds exactly the live entries of the queues' segments.
//   - Levels, feature usage and live counts are the sums over live entries.
//   - A segment that is not the tail of its queue holds a live entry.
//   - What has been unlinked is in limbo until no reader can reach it.
//
// Thread safety: every method under `mutex`, except footprint().
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "tier/l1/entry.h"
#include "tier/l1/epoch.h"
#include "tier/l1/eviction_sink.h"
#include "tier/l1/hit_log.h"
#include "tier/l1/hit_path.h"
#include "tier/l1/index.h"
#include "tier/l1/memory.h"
#include "tier/l1/policy.h"
#include "tier/l1/segment.h"
#include "tier/l1/store.h"

namespace candor::l1 {

// What the shards of a store have in common.
struct StoreMemory {
  StoreMemory(std::size_t limit, std::size_t segment_bytes, unsigned shards);

  MemoryBudget budget;
  SegmentArena arena;
  PageHeap pages;
  std::unique_ptr<SegmentInfo[]> segments;
  // Kept free for moves and compaction, which need a segment before they can free one: one segment for each
  // shard.
  std::size_t reserve_bytes;
  std::size_t
      fair_share;  // of one shard; below half of it a shard takes from the richest instead of from itself
  std::size_t inline_value_max;
  std::size_t inline_entry_max;
  EvictionSink* evicted = nullptr;
};

class alignas(64) Shard {
 public:
  Mutex mutex;

  Shard(StoreMemory& memory, ShardView& view, std::unique_ptr<EvictionPolicy> policy, std::uint32_t id,
        const HashSeed& hash_seed, std::size_t features);
  ~Shard();
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  enum class PutOutcome : std::uint8_t { kStored, kConditionFailed, kNeedsRoom };
  // kNeedsRoom: this shard cannot make room out of itself. Nothing was stored.
  PutOutcome put(const Store::PutRequest& request, const EntryShape& shape, ValueBlock* block)
      CANDOR_REQUIRES(mutex);
  bool erase(std::uint64_t hash, FeatureId feature, std::string_view key, Millis now,
             unsigned* accesses = nullptr) CANDOR_REQUIRES(mutex);
  // The entry of a key, expired or not.
  struct Located {
    bool found = false;
    Slot slot;
    std::uint32_t offset = 0;
    std::uint32_t head = 0;
  };
  [[nodiscard]] Located locate(std::uint64_t hash, FeatureId feature, std::string_view key) const
      CANDOR_REQUIRES(mutex);
  [[nodiscard]] EntryRef entry_at(std::uint32_t offset) const { return EntryRef(memory_.arena.at(offset)); }
  // What an entry costs: its padded bytes and its block.
  [[nodiscard]] std::size_t cost_of(std::uint32_t offset, std::uint32_t head) const;

  // Gives room to others: frees what readers have left, else evicts about `bytes`. False if nothing can leave
  // now.
  bool release_room(std::size_t bytes) CANDOR_REQUIRES(mutex);

  // Removes the expired entries of a segment if it is still this shard's.
  void sweep_expired(std::uint32_t segment, Millis now) CANDOR_REQUIRES(mutex);
  // Between begin and end, entries of the feature are dropped wherever a move would have carried them past
  // the sweep.
  void begin_erase(bool all, FeatureId feature) CANDOR_REQUIRES(mutex);
  void sweep_erased(std::uint32_t segment) CANDOR_REQUIRES(mutex);
  void end_erase() CANDOR_REQUIRES(mutex);
  // Housekeeping in one short step. True if another step would find work.
  bool tidy(Millis now) CANDOR_REQUIRES(mutex);

  void add_to(StoreStats* stats) const CANDOR_REQUIRES(mutex);
  [[nodiscard]] const FeatureUsage& usage(FeatureId feature) const CANDOR_REQUIRES(mutex) {
    return usage_[feature.value];
  }
  [[nodiscard]] std::size_t index_share() const CANDOR_REQUIRES(mutex);  // bytes of index for one entry
  void count_rejection() CANDOR_REQUIRES(mutex) { ++rejected_; }
  // Bytes of segments and blocks, limbo included. Any thread; may be a moment old.
  [[nodiscard]] std::size_t footprint() const { return footprint_.load(std::memory_order_relaxed); }

  void check_invariants() const CANDOR_REQUIRES(mutex);

 private:
  struct Hand {  // where eviction looks next; kNoSegment: at the head of the queue
    std::uint32_t segment = kNoSegment;
    std::uint32_t at = 0;
  };
  struct Queue {
    SegmentList list;
    Hand hand;
    Hand ahead;  // up to here the index has been asked for; where an entry begins, in a segment of this queue
  };
  enum class Cause : std::uint8_t { kEvicted, kExpired, kErased };
  enum class Purpose : std::uint8_t { kInsert, kMove };

  // Entries
  [[nodiscard]] std::uint64_t hash_of(std::uint32_t offset, std::uint32_t head) const;
  [[nodiscard]] Located locate_offset(std::uint64_t hash, std::uint32_t offset) const CANDOR_REQUIRES(mutex);
  std::uint32_t append(std::uint32_t queue, std::uint32_t bytes) CANDOR_REQUIRES(mutex);
  void count_live(std::uint32_t offset, std::uint32_t head) CANDOR_REQUIRES(mutex);
  void kill(std::uint32_t offset, std::uint32_t head, bool keep_block) CANDOR_REQUIRES(mutex);
  void remove(const Located& entry, std::uint64_t hash, Cause cause) CANDOR_REQUIRES(mutex);
  void show_evicted(const Located& entry, std::uint64_t hash) const;
  bool move(const Located& entry, std::uint32_t queue, unsigned accesses) CANDOR_REQUIRES(mutex);
  [[nodiscard]] bool is_doomed(std::uint32_t offset, std::uint32_t head) const CANDOR_REQUIRES(mutex);
  void remove_doomed(std::uint32_t offset, std::uint32_t head) CANDOR_REQUIRES(mutex);

  // Segments
  [[nodiscard]] SegmentInfo& info(std::uint32_t segment) const { return memory_.segments[segment]; }
  [[nodiscard]] bool has_tail_room(std::uint32_t queue, std::uint32_t bytes) const CANDOR_REQUIRES(mutex);
  [[nodiscard]] bool ensure_tail(std::uint32_t queue, std::uint32_t bytes, Purpose purpose)
      CANDOR_REQUIRES(mutex);
  void adopt(std::uint32_t segment, std::uint32_t queue, std::uint32_t before) CANDOR_REQUIRES(mutex);
  [[nodiscard]] std::uint32_t take_segment_for_move() CANDOR_REQUIRES(mutex);
  [[nodiscard]] std::uint32_t take_segment_for_insert() CANDOR_REQUIRES(mutex);
  void retire_segment(std::uint32_t segment) CANDOR_REQUIRES(mutex);
  void retire_block(ValueBlock* block) CANDOR_REQUIRES(mutex);
  void retire_table(IndexTable* table) CANDOR_REQUIRES(mutex);
  void retire_empty_tails() CANDOR_REQUIRES(mutex);
  template <class Visit>
  void for_each_live(std::uint32_t segment, Visit&& visit) const CANDOR_REQUIRES(mutex);

  // Room
  // Evicts until `bytes` have gone to limbo. False if nothing went.
  bool evict_bytes(std::size_t bytes) CANDOR_REQUIRES(mutex);
  // Frees what readers cannot reach any more. True if there was something.
  bool reclaim() CANDOR_REQUIRES(mutex);
  [[nodiscard]] bool can_evict_more(std::size_t wanted) const CANDOR_REQUIRES(mutex);
  [[nodiscard]] bool wait_for_readers() CANDOR_REQUIRES(mutex);
  bool evict_one(bool by_force) CANDOR_REQUIRES(mutex);
  [[nodiscard]] Located head_entry(std::uint32_t queue) CANDOR_REQUIRES(mutex);
  void look_ahead(Queue& queue) CANDOR_REQUIRES(mutex);
  bool compact_if_sparse() CANDOR_REQUIRES(mutex);
  struct Run {
    std::uint32_t queue = 0;
    std::uint32_t first = kNoSegment;
    std::uint32_t length = 0;
    double score = 0;
  };
  [[nodiscard]] Run sparsest_run() const CANDOR_REQUIRES(mutex);
  bool compact(const Run& run) CANDOR_REQUIRES(mutex);
  [[nodiscard]] bool compact_segment(std::uint32_t source, std::uint32_t* target) CANDOR_REQUIRES(mutex);
  [[nodiscard]] std::size_t wasted_bytes() const CANDOR_REQUIRES(mutex);

  // Index
  [[nodiscard]] IndexTable* table() const { return view_.table.load(std::memory_order_relaxed).table(); }
  [[nodiscard]] bool ensure_slot() CANDOR_REQUIRES(mutex);
  [[nodiscard]] bool charge_by_evicting(std::size_t bytes) CANDOR_REQUIRES(mutex);
  bool rebuild_index(std::uint64_t buckets, bool may_evict) CANDOR_REQUIRES(mutex);

  // Policy
  void drain_hits() CANDOR_REQUIRES(mutex);
  void heard_hit(std::uint64_t hash) CANDOR_REQUIRES(mutex);
  void refresh_policy() CANDOR_REQUIRES(mutex);
  void account_policy() CANDOR_REQUIRES(mutex);
  [[nodiscard]] std::size_t capacity_estimate() const CANDOR_REQUIRES(mutex);

  void add_footprint(std::ptrdiff_t bytes) {
    footprint_.store(footprint_.load(std::memory_order_relaxed) + static_cast<std::size_t>(bytes),
                     std::memory_order_relaxed);
  }

  StoreMemory& memory_;
  ShardView& view_;
  EpochDomain& epochs_;
  const std::uint32_t id_;
  const HashSeed hash_seed_;
  std::unique_ptr<EvictionPolicy> policy_ CANDOR_GUARDED_BY(mutex);
  const unsigned queue_count_;
  std::unique_ptr<HitLog> hit_log_;

  std::array<Queue, kQueuesMax> queues_ CANDOR_GUARDED_BY(mutex);
  std::array<QueueLevel, kQueuesMax> levels_ CANDOR_GUARDED_BY(mutex);
  std::vector<FeatureUsage> usage_ CANDOR_GUARDED_BY(mutex);
  std::uint64_t entries_ CANDOR_GUARDED_BY(mutex) = 0;
  std::size_t live_bytes_ CANDOR_GUARDED_BY(mutex) = 0;   // in segments
  std::size_t block_bytes_ CANDOR_GUARDED_BY(mutex) = 0;  // of live entries
  std::uint64_t evictions_ CANDOR_GUARDED_BY(mutex) = 0;
  std::uint64_t expirations_ CANDOR_GUARDED_BY(mutex) = 0;
  std::uint64_t rejected_ CANDOR_GUARDED_BY(mutex) = 0;
  std::uint64_t changes_ CANDOR_GUARDED_BY(mutex) =
      0;                                     // removals and moves: a Located from before may be stale
  Millis now_ CANDOR_GUARDED_BY(mutex) = 0;  // the latest time a caller told

  bool erasing_ CANDOR_GUARDED_BY(mutex) = false;
  bool erasing_all_ CANDOR_GUARDED_BY(mutex) = false;
  FeatureId erasing_feature_ CANDOR_GUARDED_BY(mutex);

  // Limbo, oldest first.
  std::uint32_t limbo_head_ CANDOR_GUARDED_BY(mutex) = kNoSegment;
  std::uint32_t limbo_tail_ CANDOR_GUARDED_BY(mutex) = kNoSegment;
  ValueBlock* limbo_blocks_ CANDOR_GUARDED_BY(mutex) = nullptr;
  ValueBlock* limbo_blocks_tail_ CANDOR_GUARDED_BY(mutex) = nullptr;
  IndexTable* limbo_tables_ CANDOR_GUARDED_BY(mutex) = nullptr;
  IndexTable* limbo_tables_tail_ CANDOR_GUARDED_BY(mutex) = nullptr;
  std::size_t limbo_bytes_ CANDOR_GUARDED_BY(mutex) = 0;
  std::uint64_t retired_bytes_ CANDOR_GUARDED_BY(mutex) = 0;  // ever; what eviction measures its progress by

  std::size_t policy_charged_ CANDOR_GUARDED_BY(mutex) = 0;
  std::size_t told_capacity_ CANDOR_GUARDED_BY(mutex) = 0;
  std::size_t told_entries_ CANDOR_GUARDED_BY(mutex) = 0;

  std::atomic<std::size_t> footprint_{0};
};

inline std::uint64_t Shard::hash_of(std::uint32_t offset, std::uint32_t head) const {
  const EntryRef entry = entry_at(offset);
  return hash_key(entry.feature(head), entry.key(head), hash_seed_);
}

inline std::size_t Shard::cost_of(std::uint32_t offset, std::uint32_t head) const {
  const EntryRef entry = entry_at(offset);
  const ValueBlock* block = entry.block(head);
  return memory_.arena.padded(entry.bytes(head)) + (block != nullptr ? block->mapped_bytes : 0);
}

}  // namespace candor::l1
