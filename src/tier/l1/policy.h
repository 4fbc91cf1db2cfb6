// The eviction policy of one shard: which entry goes when room is needed. Pure: no clock, no I/O, no locks of
// its own.
//
// The store keeps entries in queues: logs of segments in order of arrival. An entry joins a queue at its tail
// and is examined when it reaches the head. A read only raises the entry's access bits (0 … kAccessMax,
// saturating), without a lock; nothing moves on a hit. So a policy costs no memory per entry and no work per
// read: lazy promotion, quick demotion (Yang et al., "FIFO queues are all you need for cache eviction",
// SOSP'23; "SIEVE is simpler than LRU", NSDI'24).
//
// For each eviction the store asks pick_queue(), examines the head of that queue, asks on_head(), does what
// it says, and repeats until enough room is free. A policy must let this end: along any run of decisions
// access bits go down or entries leave.
//
// Policies that must see hits (exact LRU, adaptive ones) say so with hit_sampling(); the store then records
// hits of the sampled keys in small lossy per-thread buffers and hands them over later, under the shard's
// lock, with on_hit().
//
// Thread safety: none. Every call is made under the shard's lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "tier/l1/store.h"

namespace candor::l1 {

inline constexpr unsigned kAccessMax = 7;  // three bits in the entry header
inline constexpr unsigned kQueuesMax = 4;

struct QueueLevel {
  std::size_t bytes = 0;  // live bytes in the queue (in unit mode: entries)
  std::size_t entries = 0;
};

struct HeadEntry {
  std::uint64_t hash = 0;  // 64-bit hash of feature and key
  unsigned accesses = 0;   // access bits now
  std::size_t bytes = 0;   // what leaving frees (in unit mode: 1)
  unsigned queue = 0;
};

struct HeadDecision {
  enum class Action : std::uint8_t {
    kEvict,  // leaves the store
    kMove,   // joins `queue` at its tail with `accesses` as its access bits (may be the same queue:
             // reinsertion)
    kSkip,   // stays where it is; the queue's hand moves on to the entry behind it (SIEVE). The hand wraps.
  } action = Action::kEvict;
  unsigned queue = 0;
  unsigned accesses = 0;
};

// How a policy wants to hear of hits: of keys with (hash & mask) == 0; mask 0 means all, ~0 means none.
struct HitSampling {
  std::uint64_t mask = ~std::uint64_t{0};
};

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;

  // Queues in use, 1 … kQueuesMax.
  [[nodiscard]] virtual unsigned queue_count() const = 0;

  // The shard may hold `capacity` bytes of entries (unit mode: entries), an estimate that may change at any
  // time; `expected_entries` follows from the mean entry size and sizes ghosts and sketches.
  virtual void set_capacity(std::size_t capacity, std::size_t expected_entries) = 0;

  // A key that was absent is inserted (a miss was filled): which queue does it join?
  [[nodiscard]] virtual unsigned on_insert(std::uint64_t hash, std::size_t bytes) = 0;

  // Room is needed: whose head is examined next? At least one queue is not empty; the answer must not be an
  // empty one.
  [[nodiscard]] virtual unsigned pick_queue(std::span<const QueueLevel> queues) = 0;
  [[nodiscard]] virtual HeadDecision on_head(const HeadEntry& head) = 0;

  // A hit of a sampled key, delivered late and possibly lossy. `*queue` is the queue that the entry is in;
  // returns true if the store shall move the entry to the tail of `*queue` (which the policy may have
  // changed) now, with access bits 0 (LRU). Only for keys that are still present.
  [[nodiscard]] virtual bool on_hit(std::uint64_t /*hash*/, unsigned* /*queue*/) { return false; }
  [[nodiscard]] virtual HitSampling hit_sampling() const { return {}; }

  // A key left for another reason than eviction (erased, expired).
  virtual void on_remove(std::uint64_t /*hash*/, std::size_t /*bytes*/, unsigned /*queue*/) {}

  // Bytes that the policy itself holds (ghosts, sketches, shadows); counted against the store's limit.
  [[nodiscard]] virtual std::size_t memory_bytes() const = 0;
};

[[nodiscard]] std::unique_ptr<EvictionPolicy> make_policy(PolicyKind kind, std::uint64_t seed);
[[nodiscard]] std::string_view policy_name(
    PolicyKind kind);  // "default", "s3fifo", "sieve", "lru", "wtinylfu"
[[nodiscard]] Result<PolicyKind> parse_policy(std::string_view name);

}  // namespace candor::l1
