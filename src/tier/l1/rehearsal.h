// Rehearsal: every regime runs a small cache of its own on the same sample of the keys, so that their misses
// can be compared.
//
// A cache of C entries that sees all keys and one of C/R entries that sees one key in R (chosen by hash) miss
// about alike (Waldspurger et al., "Cache modeling and optimization using miniature simulations", ATC'17).
// Only hashes are kept.
//
// Memory: one pool of nodes serves all regimes, for most keys are in several of the small caches at once. A
// node is 24 bytes: the key's fingerprint, its chain in the directory, and for each regime one byte of state
// and two of link. In a queue the link is the next node; in a ghost it is the time of eviction, so that
// ghosts need no lists.
//
// Invariants (check_invariants)
//   - A node is in at most one queue of each regime; levels count the nodes in queues.
//   - Nodes that no regime holds are in the free list or are the present key's.
//   - Never more than `capacity` nodes in the queues of one regime.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/random.h"
#include "tier/l1/policy.h"
#include "tier/l1/regime.h"

namespace candor::l1 {

class Rehearsal {
 public:
  static constexpr unsigned kCaches = kRegimes.size();
  using Misses = std::uint32_t;  // bit i: regime i missed

  // Small caches of `capacity` entries each, 1 … kCapacityMax; empty.
  Rehearsal(std::size_t capacity, std::uint64_t seed);
  static constexpr std::size_t kCapacityMax = 16384;

  // A request for a sampled key, hit or miss in the shard: what would each regime have done?
  Misses request(std::uint64_t hash);
  // The key left the shard for another reason than eviction (erased, expired): whoever holds it loses it.
  void forget(std::uint64_t hash);

  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t memory_bytes() const;
  void check_invariants() const;

 private:
  using NodeIndex = std::uint16_t;
  static constexpr NodeIndex kNone = 0xFFFF;
  // Residents of all small caches plus what their ghosts remember: with six regimes 12 nodes an entry at
  // worst, 2 to 2.5 measured on all traces. When three do not suffice, ghosts are cut short, and at last new
  // keys are not rehearsed.
  static constexpr std::size_t kNodesPerEntry = 3;
  static constexpr std::size_t kSweepPerMiss = 3;  // nodes looked at for old ghosts on each miss

  // Where a node is in one regime's cache: bits 0…2 the place, bits 3…5 access bits, bit 6 set when the key
  // was forgotten while in a queue. A forgotten node keeps its place in line, for singly linked lists cannot
  // give one up in the middle: the next request is a miss that takes the place over.
  static constexpr std::uint8_t kAbsent = 0;
  static constexpr std::uint8_t kInGhost = 7;  // else 1 + queue
  static constexpr std::uint8_t kForgotten = 1 << 6;

  struct Node {
    std::uint32_t fingerprint = 0;
    NodeIndex chain = kNone;
    std::array<std::uint8_t, kCaches> state{};
    std::array<std::uint16_t, kCaches> link{};
  };
  struct List {
    NodeIndex head = kNone;
    NodeIndex tail = kNone;
  };
  struct Cache {
    std::array<List, kQueuesMax> lists;
    std::array<QueueLevel, kQueuesMax> levels;
    std::size_t entries = 0;
    std::size_t filled = 0;  // entries ever added while the cache had not yet been full
    bool was_full = false;
    std::uint16_t evictions = 0;  // the ghost's clock
  };

  [[nodiscard]] static std::uint8_t place(std::uint8_t state) { return state & 7; }
  [[nodiscard]] static bool is_resident(std::uint8_t state) {
    return place(state) != kAbsent && place(state) != kInGhost;
  }
  [[nodiscard]] static std::uint32_t fingerprint(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash >> 18);
  }
  [[nodiscard]] NodeIndex& bucket(std::uint32_t fingerprint) {
    return buckets_[fingerprint & (buckets_.size() - 1)];
  }

  [[nodiscard]] NodeIndex find(std::uint32_t fingerprint);
  [[nodiscard]] NodeIndex take_node(std::uint32_t fingerprint);
  void release(NodeIndex index);
  bool sweep_one(bool cut_ghosts);

  bool request_in(unsigned which, NodeIndex index);
  void insert(unsigned which, NodeIndex index, bool in_ghost);
  void make_room(unsigned which);
  void push(unsigned which, unsigned queue, NodeIndex index, unsigned accesses);
  NodeIndex pop(unsigned which, unsigned queue);
  [[nodiscard]] bool is_old_ghost(unsigned which, const Node& node) const;

  std::size_t capacity_;
  std::vector<Node> nodes_;
  std::vector<NodeIndex> buckets_;  // heads of the directory's chains; a power of two
  std::array<Cache, kCaches> caches_;
  NodeIndex free_ = kNone;
  NodeIndex present_ = kNone;  // the key being requested; not to be released under our feet
  NodeIndex sweep_ = 0;
  Random random_;
};

}  // namespace candor::l1
