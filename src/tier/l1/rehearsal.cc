#include "tier/l1/rehearsal.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace candor::l1 {
namespace {

// Nodes looked at when none is free, before a new key is left out: keeps a request's cost bounded.
constexpr std::size_t kSearchMax = 64;

}  // namespace

Rehearsal::Rehearsal(std::size_t capacity, std::uint64_t seed)
    : capacity_(std::clamp<std::size_t>(capacity, 1, kCapacityMax)),
      nodes_(capacity_ * kNodesPerEntry + kSearchMax),
      buckets_(std::bit_ceil(nodes_.size()), kNone),
      random_(seed) {
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    nodes_[i].chain = free_;
    free_ = static_cast<NodeIndex>(i);
  }
}

Rehearsal::Misses Rehearsal::request(std::uint64_t hash) {
  constexpr Misses kAllMissed = (Misses{1} << kCaches) - 1;
  const std::uint32_t wanted = fingerprint(hash);
  NodeIndex index = find(wanted);
  if (index == kNone) index = take_node(wanted);
  if (index == kNone) return kAllMissed;
  present_ = index;
  Misses misses = 0;
  for (unsigned which = 0; which < kCaches; ++which) {
    if (request_in(which, index)) misses |= Misses{1} << which;
  }
  if (misses != 0) {
    for (std::size_t i = 0; i < kSweepPerMiss; ++i) (void)sweep_one(false);
  }
  present_ = kNone;
  return misses;
}

void Rehearsal::forget(std::uint64_t hash) {
  const NodeIndex index = find(fingerprint(hash));
  if (index == kNone) return;
  for (std::uint8_t& state : nodes_[index].state) {
    state = is_resident(state) ? static_cast<std::uint8_t>(place(state) | kForgotten) : kAbsent;
  }
}

std::size_t Rehearsal::memory_bytes() const {
  return sizeof(*this) + nodes_.capacity() * sizeof(Node) + buckets_.capacity() * sizeof(NodeIndex);
}

// --- one regime's cache

// True if it missed.
bool Rehearsal::request_in(unsigned which, NodeIndex index) {
  std::uint8_t& state = nodes_[index].state[which];
  if (is_resident(state)) {
    const bool forgotten = (state & kForgotten) != 0;
    if (forgotten) {
      state = place(state);
    } else if ((state >> 3) < kAccessMax) {
      state = static_cast<std::uint8_t>(state + (1U << 3));
    }
    return forgotten;
  }
  const bool in_ghost = place(state) == kInGhost && !is_old_ghost(which, nodes_[index]);
  state = kAbsent;
  insert(which, index, in_ghost);
  return true;
}

void Rehearsal::insert(unsigned which, NodeIndex index, bool in_ghost) {
  const Regime& regime = kRegimes[which];
  Cache& cache = caches_[which];
  const bool lucky = regime.luck_divisor != 0 && random_.below(regime.luck_divisor) == 0;
  unsigned queue = queue_for_new(regime, in_ghost, lucky);
  if (cache.entries >= capacity_) {
    cache.was_full = true;
    make_room(which);
  } else if (!cache.was_full && fills_main(regime, cache.filled++, capacity_)) {
    queue = kMainQueue;
  }
  push(which, queue, index, 0);
  ++cache.entries;
}

void Rehearsal::make_room(unsigned which) {
  Cache& cache = caches_[which];
  for (;;) {
    const unsigned queue = queue_to_examine(kRegimes[which], cache.levels);
    const NodeIndex index = pop(which, queue);
    Node& node = nodes_[index];
    const std::uint8_t state = node.state[which];
    const bool forgotten = (state & kForgotten) != 0;
    Verdict verdict = judge_head(kRegimes[which], queue, (state >> 3) & kAccessMax);
    if (forgotten) verdict = {.decision = {.action = HeadDecision::Action::kEvict}};
    if (verdict.decision.action == HeadDecision::Action::kMove) {
      push(which, verdict.decision.queue, index, verdict.decision.accesses);
      continue;
    }
    --cache.entries;
    if (verdict.remember) {
      node.state[which] = kInGhost;
      node.link[which] = cache.evictions++;
      return;
    }
    node.state[which] = kAbsent;
    const bool is_held =
        std::any_of(node.state.begin(), node.state.end(), [](std::uint8_t s) { return s != kAbsent; });
    if (!is_held && index != present_) release(index);
    return;
  }
}

void Rehearsal::push(unsigned which, unsigned queue, NodeIndex index, unsigned accesses) {
  Cache& cache = caches_[which];
  List& list = cache.lists[queue];
  nodes_[index].state[which] = static_cast<std::uint8_t>((queue + 1) | (accesses << 3));
  nodes_[index].link[which] = kNone;
  (list.head == kNone ? list.head : nodes_[list.tail].link[which]) = index;
  list.tail = index;
  ++cache.levels[queue].entries;
  ++cache.levels[queue].bytes;
}

Rehearsal::NodeIndex Rehearsal::pop(unsigned which, unsigned queue) {
  Cache& cache = caches_[which];
  List& list = cache.lists[queue];
  const NodeIndex index = list.head;
  CANDOR_ASSERT(index != kNone);
  list.head = nodes_[index].link[which];
  if (list.head == kNone) list.tail = kNone;
  --cache.levels[queue].entries;
  --cache.levels[queue].bytes;
  return index;
}

bool Rehearsal::is_old_ghost(unsigned which, const Node& node) const {
  const auto age = static_cast<std::uint16_t>(caches_[which].evictions - node.link[which]);
  return age > ghost_reach(capacity_);
}

// --- the directory

Rehearsal::NodeIndex Rehearsal::find(std::uint32_t wanted) {
  NodeIndex index = bucket(wanted);
  while (index != kNone && nodes_[index].fingerprint != wanted) index = nodes_[index].chain;
  return index;
}

Rehearsal::NodeIndex Rehearsal::take_node(std::uint32_t wanted) {
  for (std::size_t i = 0; free_ == kNone && i < kSearchMax; ++i) (void)sweep_one(true);
  if (free_ == kNone) return kNone;
  const NodeIndex index = free_;
  Node& node = nodes_[index];
  free_ = node.chain;
  node = Node{.fingerprint = wanted, .chain = bucket(wanted)};
  bucket(wanted) = index;
  return index;
}

void Rehearsal::release(NodeIndex index) {
  NodeIndex* at = &bucket(nodes_[index].fingerprint);
  while (*at != index) at = &nodes_[*at].chain;
  *at = nodes_[index].chain;
  nodes_[index] = Node{.chain = free_};
  free_ = index;
}

// Looks at one node: forgets what its ghosts need not remember any more (with `cut_ghosts`: nothing at all),
// and releases it when no regime holds it. True if released. Free nodes hold nothing and fall through.
bool Rehearsal::sweep_one(bool cut_ghosts) {
  sweep_ = static_cast<NodeIndex>(sweep_ + 1U == nodes_.size() ? 0 : sweep_ + 1);
  Node& node = nodes_[sweep_];
  bool held_before = false;
  bool held = false;
  for (unsigned which = 0; which < kCaches; ++which) {
    if (node.state[which] == kAbsent) continue;
    held_before = true;
    if (is_resident(node.state[which])) return false;
    if (cut_ghosts || is_old_ghost(which, node)) {
      node.state[which] = kAbsent;
    } else {
      held = true;
    }
  }
  if (!held_before || held || sweep_ == present_) return false;
  release(sweep_);
  return true;
}

void Rehearsal::check_invariants() const {
  std::size_t free_nodes = 0;
  for (NodeIndex i = free_; i != kNone; i = nodes_[i].chain) ++free_nodes;
  std::size_t known = 0;
  for (NodeIndex head : buckets_) {
    for (NodeIndex i = head; i != kNone; i = nodes_[i].chain) ++known;
  }
  CANDOR_ASSERT(free_nodes + known == nodes_.size());
  for (unsigned which = 0; which < kCaches; ++which) {
    const Cache& cache = caches_[which];
    CANDOR_ASSERT(cache.entries <= capacity_);
    std::size_t listed = 0;
    for (unsigned queue = 0; queue < kQueuesMax; ++queue) {
      std::size_t in_queue = 0;
      for (NodeIndex i = cache.lists[queue].head; i != kNone; i = nodes_[i].link[which]) {
        CANDOR_ASSERT(place(nodes_[i].state[which]) == queue + 1);
        ++in_queue;
      }
      CANDOR_ASSERT(in_queue == cache.levels[queue].entries && in_queue == cache.levels[queue].bytes);
      listed += in_queue;
    }
    CANDOR_ASSERT(listed == cache.entries);
  }
}

}  // namespace candor::l1
