// Drives an eviction policy the way the store does, on keys alone, without values. In unit mode every entry
// counts one and the limit is a number of entries: for replaying traces and for tests of policies. With
// weights the limit is a sum of them, bytes say: for models of a store (capacity/miniature.h).
//
// What it mirrors of the store: queues in order of arrival, the loop of pick_queue() and on_head() until
// there is room, a hand for each queue that skips and wraps, access bits that saturate, hits of sampled keys
// told to the policy.
//
// Thread safety: none.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "tier/l1/policy.h"

namespace candor::l1 {

class QueueModel {
 public:
  // At least one entry, at most 2^31. `seed` is the policy's and the hash's.
  QueueModel(std::unique_ptr<EvictionPolicy> policy, std::size_t capacity, std::uint64_t seed);
  // With weights; never more than `entries_max` entries, whatever they weigh.
  struct Weighted {
    std::size_t capacity = 1;
    std::size_t entries_max = 1;
  };
  QueueModel(std::unique_ptr<EvictionPolicy> policy, const Weighted& limits, std::uint64_t seed);

  // The store tells sampled hits late: its readers leave them in a small ring that the next writer empties.
  // By default the model tells them at once; with `hits` > 0 it keeps that many, forgets the oldest beyond,
  // and tells them at the next miss.
  void delay_hits(std::size_t hits) { delayed_max_ = hits; }

  // A request: true if it hit. A miss inserts the key.
  bool request(std::uint64_t key, std::size_t weight = 1);
  // The two halves of a request: true if it hit; a key that is absent comes in, if it fits at all.
  bool touch(std::uint64_t key);
  struct Label {  // whatever the caller wants to know of an entry later
    std::uint32_t number = 0;
    std::uint16_t group = 0;
  };
  void insert(std::uint64_t key, std::size_t weight, Label label);
  // A key that is there weighs something else now, or is evicted for it.
  void resize(std::uint64_t key, std::size_t weight);
  void set_capacity(std::size_t capacity);
  // Every entry weighs from now on what this says; 0: it leaves.
  void reweigh(const std::function<std::size_t(Label label, std::size_t weight)>& weigh);
  // True if the key was there.
  bool erase(std::uint64_t key);
  [[nodiscard]] bool contains(std::uint64_t key) const { return find(hash(key)) != kNone; }

  [[nodiscard]] std::size_t entries() const { return entries_; }
  [[nodiscard]] std::size_t weight() const { return weight_; }
  [[nodiscard]] std::size_t memory_bytes() const;
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] const EvictionPolicy& policy() const { return *policy_; }
  // Heads examined so far: what evictions cost.
  [[nodiscard]] std::uint64_t examined() const { return examined_; }
  [[nodiscard]] std::uint64_t evictions() const { return evictions_; }
  void check_invariants() const;

 private:
  using Index = std::uint32_t;
  static constexpr Index kNone = 0xFFFFFFFF;

  struct Node {
    std::uint64_t hash = 0;
    std::size_t weight = 1;
    Index prev = kNone;
    Index next = kNone;
    std::uint32_t label = 0;
    std::uint16_t group = 0;
    std::uint8_t queue = 0;
    std::uint8_t accesses = 0;
  };
  struct Queue {
    Index head = kNone;
    Index tail = kNone;
    Index hand = kNone;  // kNone: at the head
  };

  [[nodiscard]] std::uint64_t hash(std::uint64_t key) const;
  [[nodiscard]] Index find(std::uint64_t hash) const;
  void index_insert(std::uint64_t hash, Index node);
  void index_erase(std::uint64_t hash);
  [[nodiscard]] std::size_t slot_of(std::uint64_t hash) const;

  void hit(Index index);
  void tell_hit(std::uint64_t hash);
  void tell_delayed_hits();
  void evict_one();
  void tell_capacity();
  Index take_node();
  void grow_index();
  void drop(Index index);
  void append(unsigned queue, Index index, unsigned accesses);
  void unlink(Index index);
  void resize_node(Index index, std::size_t weight);
  [[nodiscard]] Index under_hand(unsigned queue) const;

  std::unique_ptr<EvictionPolicy> policy_;
  std::size_t capacity_;
  std::size_t entries_max_;
  bool is_weighted_;
  std::uint64_t seed_;
  std::vector<Node> nodes_;
  std::vector<Index> free_;
  std::vector<Index> slots_;  // open addressing with linear probing; at most two thirds full
  std::array<Queue, kQueuesMax> queues_;
  std::array<QueueLevel, kQueuesMax> levels_{};
  unsigned queue_count_;
  std::size_t entries_ = 0;
  std::size_t weight_ = 0;
  std::size_t told_entries_ = 0;
  std::uint64_t examined_ = 0;
  std::uint64_t evictions_ = 0;
  std::size_t delayed_max_ = 0;
  std::vector<std::uint64_t> delayed_;
};

}  // namespace candor::l1
