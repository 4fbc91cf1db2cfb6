#include "tier/l1/queue_model.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/assert.h"
#include "base/random.h"

namespace candor::l1 {
namespace {

// An eviction examines each entry at most once for each access bit it can have and each queue it can pass.
constexpr std::uint64_t kExaminationsPerEntryMax = std::uint64_t{kAccessMax + 1} * (kQueuesMax + 1);
constexpr std::size_t kEntriesMax = std::size_t{1} << 31;
constexpr std::size_t kSlotsAtFirst = 64;
// A policy hears of another number of entries when it is off by this part, as the store tells it.
constexpr std::size_t kModelDrift = 4;
constexpr std::size_t kModelEntriesForMean = 64;

}  // namespace

QueueModel::QueueModel(std::unique_ptr<EvictionPolicy> policy, std::size_t capacity, std::uint64_t seed)
    : policy_(std::move(policy)),
      capacity_(std::clamp<std::size_t>(capacity, 1, kEntriesMax)),
      entries_max_(capacity_),
      is_weighted_(false),
      seed_(mix64(seed)),
      slots_(kSlotsAtFirst, kNone),
      queue_count_(policy_->queue_count()) {
  CANDOR_ASSERT(queue_count_ >= 1 && queue_count_ <= kQueuesMax);
  policy_->set_capacity(capacity_, capacity_);
}

QueueModel::QueueModel(std::unique_ptr<EvictionPolicy> policy, const Weighted& limits, std::uint64_t seed)
    : QueueModel(std::move(policy), limits.entries_max, seed) {
  capacity_ = std::max<std::size_t>(limits.capacity, 1);
  is_weighted_ = true;
  policy_->set_capacity(capacity_, entries_max_);
  told_entries_ = entries_max_;
}

bool QueueModel::request(std::uint64_t key, std::size_t weight) {
  if (touch(key)) return true;
  insert(key, weight, {});
  return false;
}

bool QueueModel::touch(std::uint64_t key) {
  const Index found = find(hash(key));
  if (found == kNone) return false;
  hit(found);
  return true;
}

void QueueModel::insert(std::uint64_t key, std::size_t weight, Label label) {
  if (weight > capacity_) return;
  const std::uint64_t key_hash = hash(key);
  tell_delayed_hits();
  tell_capacity();
  const unsigned queue = policy_->on_insert(key_hash, weight);
  while (entries_ >= entries_max_ || weight_ + weight > capacity_) evict_one();
  const Index index = take_node();
  nodes_[index].hash = key_hash;
  nodes_[index].weight = weight;
  nodes_[index].label = label.number;
  nodes_[index].group = label.group;
  index_insert(key_hash, index);
  append(queue, index, 0);
  ++entries_;
  weight_ += weight;
}

void QueueModel::resize(std::uint64_t key, std::size_t weight) {
  const Index index = find(hash(key));
  if (index == kNone) return;
  resize_node(index, weight);
  while (weight_ > capacity_) evict_one();
}

void QueueModel::resize_node(Index index, std::size_t weight) {
  Node& node = nodes_[index];
  weight_ += weight - node.weight;
  levels_[node.queue].bytes += weight - node.weight;
  node.weight = weight;
}

void QueueModel::reweigh(const std::function<std::size_t(Label, std::size_t)>& weigh) {
  for (unsigned queue = 0; queue < queue_count_; ++queue) {
    for (Index index = queues_[queue].head; index != kNone;) {
      const Node& node = nodes_[index];
      const Index next = node.next;
      const std::size_t weight = weigh({node.label, node.group}, node.weight);
      if (weight != 0) {
        resize_node(index, weight);
      } else {
        policy_->on_remove(node.hash, node.weight, node.queue);
        drop(index);
      }
      index = next;
    }
  }
  while (weight_ > capacity_) evict_one();
  tell_capacity();
}

void QueueModel::set_capacity(std::size_t capacity) {
  capacity_ = std::max<std::size_t>(capacity, 1);
  while (weight_ > capacity_) evict_one();
  told_entries_ = 0;
  tell_capacity();
}

void QueueModel::tell_capacity() {
  if (!is_weighted_ || entries_ < kModelEntriesForMean) return;
  const std::size_t mean = std::max<std::size_t>(weight_ / entries_, 1);
  const std::size_t expected = std::clamp<std::size_t>(capacity_ / mean, 1, entries_max_);
  const std::size_t off = expected > told_entries_ ? expected - told_entries_ : told_entries_ - expected;
  if (off <= told_entries_ / kModelDrift) return;
  policy_->set_capacity(capacity_, expected);
  told_entries_ = expected;
}

QueueModel::Index QueueModel::take_node() {
  if (free_.empty()) {
    if (nodes_.size() == nodes_.capacity()) nodes_.reserve(nodes_.size() + nodes_.size() / 8 + 64);
    nodes_.emplace_back();
    if (nodes_.size() * 3 > slots_.size() * 2) grow_index();
    return static_cast<Index>(nodes_.size() - 1);
  }
  const Index index = free_.back();
  free_.pop_back();
  return index;
}

void QueueModel::grow_index() {
  const std::vector<Index> held = std::exchange(slots_, std::vector<Index>(slots_.size() * 2, kNone));
  for (const Index index : held)
    if (index != kNone) index_insert(nodes_[index].hash, index);
}

std::size_t QueueModel::memory_bytes() const {
  return nodes_.capacity() * sizeof(Node) + (free_.capacity() + slots_.capacity()) * sizeof(Index) +
         policy_->memory_bytes();
}

bool QueueModel::erase(std::uint64_t key) {
  const std::uint64_t key_hash = hash(key);
  const Index index = find(key_hash);
  if (index == kNone) return false;
  policy_->on_remove(key_hash, nodes_[index].weight, nodes_[index].queue);
  drop(index);
  return true;
}

void QueueModel::hit(Index index) {
  Node& node = nodes_[index];
  if (node.accesses < kAccessMax) ++node.accesses;
  if ((node.hash & policy_->hit_sampling().mask) != 0) return;
  if (delayed_max_ == 0) {
    tell_hit(node.hash);
    return;
  }
  if (delayed_.size() == delayed_max_) delayed_.erase(delayed_.begin());
  delayed_.push_back(node.hash);
}

void QueueModel::tell_hit(std::uint64_t key_hash) {
  const Index index = find(key_hash);
  if (index == kNone) return;
  unsigned queue = nodes_[index].queue;
  if (!policy_->on_hit(key_hash, &queue)) return;
  unlink(index);
  append(queue, index, 0);
}

void QueueModel::tell_delayed_hits() {
  for (std::uint64_t key_hash : std::exchange(delayed_, {})) tell_hit(key_hash);
}

void QueueModel::evict_one() {
  for (std::uint64_t step = 0;; ++step) {
    CANDOR_ASSERT(step <= kExaminationsPerEntryMax *
                              std::max<std::size_t>(entries_, 1));  // the policy does not let evictions end
    const unsigned queue = policy_->pick_queue(std::span(levels_).first(queue_count_));
    CANDOR_ASSERT(queue < queue_count_ && levels_[queue].entries > 0);
    const Index index = under_hand(queue);
    Node& node = nodes_[index];
    ++examined_;
    const HeadDecision decision = policy_->on_head(
        {.hash = node.hash, .accesses = node.accesses, .bytes = node.weight, .queue = queue});
    switch (decision.action) {
      case HeadDecision::Action::kEvict:
        ++evictions_;
        drop(index);
        return;
      case HeadDecision::Action::kMove:
        unlink(index);
        append(decision.queue, index, decision.accesses);
        break;
      case HeadDecision::Action::kSkip:
        node.accesses = static_cast<std::uint8_t>(decision.accesses);
        queues_[queue].hand = node.next;  // kNone behind the last: the hand wraps to the head
        break;
    }
  }
}

void QueueModel::drop(Index index) {
  unlink(index);
  index_erase(nodes_[index].hash);
  free_.push_back(index);
  --entries_;
  weight_ -= nodes_[index].weight;
}

void QueueModel::append(unsigned queue, Index index, unsigned accesses) {
  CANDOR_ASSERT(queue < queue_count_);
  Queue& list = queues_[queue];
  Node& node = nodes_[index];
  node.queue = static_cast<std::uint8_t>(queue);
  node.accesses = static_cast<std::uint8_t>(accesses);
  node.prev = list.tail;
  node.next = kNone;
  (list.tail == kNone ? list.head : nodes_[list.tail].next) = index;
  list.tail = index;
  ++levels_[queue].entries;
  levels_[queue].bytes += node.weight;
}

void QueueModel::unlink(Index index) {
  const Node& node = nodes_[index];
  Queue& list = queues_[node.queue];
  (node.prev == kNone ? list.head : nodes_[node.prev].next) = node.next;
  (node.next == kNone ? list.tail : nodes_[node.next].prev) = node.prev;
  if (list.hand == index) list.hand = node.next;
  --levels_[node.queue].entries;
  levels_[node.queue].bytes -= node.weight;
}

QueueModel::Index QueueModel::under_hand(unsigned queue) const {
  const Queue& list = queues_[queue];
  return list.hand == kNone ? list.head : list.hand;
}

// --- index: the hash is a bijection of the key, so equal hashes are equal keys

std::uint64_t QueueModel::hash(std::uint64_t key) const { return mix64(key ^ seed_); }

std::size_t QueueModel::slot_of(std::uint64_t key_hash) const {
  return static_cast<std::size_t>(key_hash >> 24) & (slots_.size() - 1);
}

QueueModel::Index QueueModel::find(std::uint64_t key_hash) const {
  for (std::size_t slot = slot_of(key_hash);; slot = (slot + 1) & (slots_.size() - 1)) {
    if (slots_[slot] == kNone || nodes_[slots_[slot]].hash == key_hash) return slots_[slot];
  }
}

void QueueModel::index_insert(std::uint64_t key_hash, Index node) {
  std::size_t slot = slot_of(key_hash);
  while (slots_[slot] != kNone) slot = (slot + 1) & (slots_.size() - 1);
  slots_[slot] = node;
}

void QueueModel::index_erase(std::uint64_t key_hash) {
  const std::size_t last = slots_.size() - 1;
  std::size_t hole = slot_of(key_hash);
  while (nodes_[slots_[hole]].hash != key_hash) hole = (hole + 1) & last;
  // Close the hole, so that probing needs no tombstones: pull back whoever is not before its own slot there.
  for (std::size_t slot = (hole + 1) & last; slots_[slot] != kNone; slot = (slot + 1) & last) {
    const std::size_t home = slot_of(nodes_[slots_[slot]].hash);
    if (((slot - home) & last) < ((slot - hole) & last)) continue;
    slots_[hole] = slots_[slot];
    hole = slot;
  }
  slots_[hole] = kNone;
}

void QueueModel::check_invariants() const {
  std::size_t listed = 0;
  std::size_t weights = 0;
  for (unsigned queue = 0; queue < kQueuesMax; ++queue) {
    std::size_t in_queue = 0;
    std::size_t weight = 0;
    for (Index i = queues_[queue].head; i != kNone; i = nodes_[i].next) {
      CANDOR_ASSERT(nodes_[i].queue == queue);
      CANDOR_ASSERT(nodes_[i].accesses <= kAccessMax);
      CANDOR_ASSERT(find(nodes_[i].hash) == i);
      ++in_queue;
      weight += nodes_[i].weight;
    }
    CANDOR_ASSERT(in_queue == levels_[queue].entries && weight == levels_[queue].bytes);
    listed += in_queue;
    weights += weight;
  }
  CANDOR_ASSERT(listed == entries_ && entries_ <= entries_max_);
  CANDOR_ASSERT(weights == weight_ && weight_ <= capacity_);
}

}  // namespace candor::l1
