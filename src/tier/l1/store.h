// L1: the concurrent in-memory store. The part of Candor that must be faster than anything a user could pick.
//
// Layout (docs/decisions/0003-l1-layout.md has the sum):
//   - Index: per shard an open-addressing table of 64-byte buckets: 12 one-byte tags, 12 four-byte entry
//   offsets,
//     4 bytes of bookkeeping. 5 bytes a slot, about 6.5 bytes an entry at the usual load. Grown in small
//     steps.
//   - Entries: a 20-byte header, key bytes, value bytes, packed in fixed-size segments of one reserved arena
//     (4-byte units: an offset of 32 bits reaches 16 GiB; larger limits use larger units). Large values have
//     segments of their own. Entries are immutable but for one word of access bits.
//   - Eviction: by EvictionPolicy per shard; memory returns by compacting segments with dead space.
//
// Invariants
//   - bytes_used() <= memory_limit at every moment: segments, index, policy state, everything the store
//   holds.
//   - A reader sees either a whole entry or none. An EntryView stays valid while its ReadGuard lives.
//   - Reads take no lock, allocate nothing, make no system call; they write shared memory only to raise an
//     entry's access bits, and not once these are saturated.
//
// Thread safety: every method may be called from any thread. Times are milliseconds of one monotonic clock
// that the caller passes in; callers may use a coarse, cached clock.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "tier/l1/entry_view.h"
#include "tier/l1/hit_path.h"

namespace candor::l1 {

class EvictionPolicy;
class EvictionSink;
// Makes the policy of one shard.
using PolicyFactory = std::function<std::unique_ptr<EvictionPolicy>(std::uint64_t seed)>;

enum class PolicyKind : std::uint8_t { kDefault, kS3Fifo, kSieve, kLru, kWTinyLfu };

struct StoreOptions {
  std::size_t memory_limit = std::size_t{256} << 20;
  PolicyKind policy = PolicyKind::kDefault;
  unsigned shards = 0;             // 0: chosen from the limit; a power of two
  std::uint64_t hash_seed = 0;     // drawn at start
  std::size_t features_max = 64;   // size of the per-feature accounting
  std::size_t reserved_bytes = 0;  // of the limit, for what others hold on this tier's account
  unsigned access_stripes = 0;     // of access_log(); 0: nobody can follow keys
  std::size_t stripe_accesses = 1024;
  EvictionSink* evicted = nullptr;  // is shown what eviction takes; null: nobody. Outlives the store's users
};

enum class PutMode : std::uint8_t { kAlways, kOnlyIfAbsent, kOnlyIfPresent };

struct FeatureUsage {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;  // entry bytes, headers included
  std::uint64_t evictions = 0;
  std::uint64_t expirations = 0;
};

struct StoreStats {
  std::size_t bytes_used = 0;
  std::size_t memory_limit = 0;  // now; see set_memory_limit()
  std::size_t index_bytes = 0;
  std::size_t segment_bytes = 0;
  std::size_t live_entry_bytes = 0;
  std::size_t policy_bytes = 0;
  std::uint64_t entries = 0;
  std::uint64_t evictions = 0;
  std::uint64_t expirations = 0;
  std::uint64_t rejected = 0;
};

class Store {
 public:
  explicit Store(const StoreOptions& options);
  // With a policy of one's own; `options.policy` is not looked at.
  Store(const StoreOptions& options, const PolicyFactory& policy);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Pins what readers see. Cheap (one store to a cache line of this thread); nestable; hold it for one
  // request or one pipeline batch, never across a wait: memory is not given back while a guard lives. Writing
  // under one's own guard is allowed, but what such writes replace and evict stays until the guard ends:
  // after about an eighth of the store they are rejected (kNoRoom). Let go of the guard before a batch of
  // writes.
  class ReadGuard {
   public:
    explicit ReadGuard(const Store& /*store*/) : slot_(EpochDomain::instance().enter()) {}
    ~ReadGuard() { EpochDomain::leave(slot_); }
    ReadGuard(const ReadGuard&) = delete;
    ReadGuard& operator=(const ReadGuard&) = delete;

   private:
    friend class Store;
    EpochDomain::Slot* slot_;
  };

  [[nodiscard]] [[gnu::always_inline]] KeyHash hash(FeatureId feature, std::string_view key) const {
    return KeyHash{hash_key(feature, key, hit_path_->seed)};
  }

  // True and `out` filled when the key has an unexpired entry. Counts as an access for the policy.
  // Cost: two dependent cache misses on a large store, about 100 ns; 20 ns when cached.
  [[nodiscard]] [[gnu::always_inline]] bool find(const ReadGuard& guard, KeyHash hash, FeatureId feature,
                                                 std::string_view key, Millis now, EntryView* out) const {
    const bool found = hit_path_->find<true>(*guard.slot_, hash.value, feature, key, now, out);
    hit_path_->note_read(*guard.slot_, hash.value, feature,
                         found ? access_bytes(key.size(), out->value.size()) : 0);
    return found;
  }

  // The same without being an access (EXISTS, TTL, explain).
  [[nodiscard]] bool peek(const ReadGuard& guard, KeyHash hash, FeatureId feature, std::string_view key,
                          Millis now, EntryView* out) const {
    return hit_path_->find<false>(*guard.slot_, hash.value, feature, key, now, out);
  }

  struct Lookup {
    KeyHash hash;
    FeatureId feature;
    std::string_view key;
    // Results:
    bool found = false;
    EntryView view;
  };
  // Many lookups with their cache misses overlapped (prefetch of buckets, then of entries).
  void find_many(const ReadGuard&, std::span<Lookup> lookups, Millis now) const;

  struct PutRequest {
    KeyHash hash;
    FeatureId feature;
    std::string_view key;
    std::string_view value;
    EntryMeta meta;
    PutMode mode = PutMode::kAlways;
    Millis now = 0;
  };
  enum class PutResult : std::uint8_t { kStored, kConditionFailed, kTooLarge, kNoRoom };
  // Stores, replacing any entry of the key; evicts by policy as needed. kTooLarge: the entry cannot fit in
  // this store at all. kNoRoom: the room that eviction made is held up by readers' guards (counted as
  // rejected; never blocks for it). After both an old entry of the key has been removed, so that it cannot be
  // served as current.
  PutResult put(const PutRequest& request);

  // Atomic read-modify-write of one key under its shard's lock, for counters, APPEND, EXPIRE and conditional
  // fills. `current` is null when the key has no unexpired entry. `decide` must be short and must not call
  // the store. It may be called again when room had to be made elsewhere; the last call counts. Returns
  // kConditionFailed for kKeep, kStored for kErase.
  struct Update {
    enum class Action : std::uint8_t { kKeep, kErase, kStore } action = Action::kKeep;
    std::string value;  // for kStore
    EntryMeta meta;     // for kStore
  };
  PutResult update(KeyHash hash, FeatureId feature, std::string_view key, Millis now,
                   const std::function<Update(const EntryView* current)>& decide);

  // True if an unexpired entry was there. `accesses`: what the policy's bits held of its reads since it was
  // stored, 0 … kAccessMax; a hint, as those bits are.
  bool erase(KeyHash hash, FeatureId feature, std::string_view key, Millis now, unsigned* accesses = nullptr);

  // Forgets every entry of a feature (O(entries) in the background of the caller's thread, in bounded steps
  // per lock hold).
  void erase_feature(FeatureId feature);
  void clear();

  // Shrinks the tier, or lets it grow again up to the limit it was made with; a part of it stays. Growing,
  // and giving up what nobody holds, is done at once; else maintain() makes entries leave by the policy, an
  // eighth of the store in a second, and the limit follows what is used. Never above the limit on the way.
  void set_memory_limit(std::size_t bytes);
  static constexpr std::size_t kMemoryLimitPart = 16;  // of the limit stays at least

  // Which keys' accesses are recorded, and what was.
  [[nodiscard]] AccessLog& access_log() const { return *hit_path_->accesses; }

  // One step of background work: removes expired entries that nobody touches, compacts, gives memory back.
  // Called by the owner about every 100 ms; holds a shard's lock at most about a millisecond at a time.
  // Every expired entry is gone at the latest `kExpirySweepPeriod` after its time.
  void maintain(Millis now);
  static constexpr Millis kExpirySweepPeriodMs = 10'000;

  // Calls `visit` for every live entry, in no order; entries that move meanwhile may be seen twice or not at
  // all. Used for SCAN, snapshots and reconciliation. `cursor` 0 starts; returns the next cursor, 0 at the
  // end.
  struct Visited {
    FeatureId feature;
    std::string_view key;
    EntryView view;
    unsigned accesses = 0;  // what the policy's bits hold of its reads, 0 … kAccessMax
  };
  std::uint64_t scan(std::uint64_t cursor, std::size_t count, Millis now,
                     const std::function<void(const Visited&)>& visit) const;

  [[nodiscard]] StoreStats stats() const;
  [[nodiscard]] FeatureUsage usage(FeatureId feature) const;
  // Bytes that this entry costs, header and index share included (MEMORY USAGE); 0 if absent.
  [[nodiscard]] std::size_t entry_cost(KeyHash hash, FeatureId feature, std::string_view key,
                                       Millis now) const;

  // For tests: walks everything and asserts the invariants above.
  void check_invariants() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
  const HitPath* hit_path_;  // inside of impl_
};

}  // namespace candor::l1
