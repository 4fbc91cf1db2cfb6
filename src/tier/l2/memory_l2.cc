#include "tier/l2/memory_l2.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/ids.h"

namespace candor::l2 {
namespace {

// An index node with its allocator header, its bucket and its place in the heap.
template <class IndexNode>
constexpr std::size_t node_overhead() {
  return sizeof(IndexNode) + 2 * sizeof(void*) + 16 + sizeof(void*) + sizeof(void*);
}
// A string's heap block: the allocator's header and its rounding to 16.
std::size_t heap_bytes(const std::string& s) {
  constexpr std::size_t kInline = 15;  // libstdc++'s short string
  return s.capacity() <= kInline ? 0 : (s.capacity() + 1 + 8 + 15) / 16 * 16;
}

// Expired nodes freed by each call: more than the one that a call can add, so that the dead never pile up.
constexpr int kReapPerCall = 8;
// Buckets visited in one step of clear(): below a millisecond.
constexpr int kClearStep = 2048;

std::string_view feature_of(std::string_view key) { return key.substr(0, key.find(':')); }

Task<void> next_turn(Executor* executor) {
  OneShot<bool> woken;
  executor->post([woken] { woken.set(true); });
  co_await woken;
}

}  // namespace

MemoryL2::MemoryL2(Executor* executor, Options options, std::uint64_t seed)
    : executor_(executor),
      options_(options),
      random_(mix64(seed)),
      nodes_(0, SeededHash{seed}),
      tags_(0, SeededHash{mix64(seed + 1)}),
      floors_(0, SeededHash{seed}) {}

MemoryL2::~MemoryL2() { *alive_ = false; }

// ---- calls ----

Task<Result<L2Lookup>> MemoryL2::get_or_lease(std::string key, Duration lease_ttl, bool refresh) {
  co_return lookup(key, lease_ttl, refresh);
}

Task<Result<std::optional<L2Entry>>> MemoryL2::get(std::string key) {
  const MonoTime now = executor_->now();
  reap(now);
  Node* node = find(key, now);
  std::optional<L2Entry> entry;
  if (node != nullptr && node->has_entry) entry = read(*node, now);
  ++(entry ? stats_.hits : stats_.misses);
  if (entry) link_newest(*node);
  co_return entry;
}

Task<Result<L2FillVerdict>> MemoryL2::fill(std::string key, LeaseToken token, L2Entry entry) {
  co_return fill_now(key, token, std::move(entry));
}

Task<Result<void>> MemoryL2::release(std::string key, LeaseToken token) {
  const MonoTime now = executor_->now();
  reap(now);
  Node* node = find(key, now);
  if (node != nullptr && holds_lease(*node, now) && node->token == token.value) {
    node->token = 0;
    settle(*node, now);
  }
  co_return Result<void>{};
}

Task<Result<void>> MemoryL2::put(std::string key, L2Entry entry) { co_return put_now(key, std::move(entry)); }

Task<Result<L2Seen>> MemoryL2::look(std::string key) { co_return look_now(key); }

Task<Result<L2Swap>> MemoryL2::swap(std::string key, std::string mark, std::optional<L2Entry> entry,
                                    bool keep_ttl) {
  L2Swap swap;
  swap.now = look_now(key);
  if (swap.now.mark != mark) co_return swap;
  swap.done = true;
  if (!entry) {
    (void)invalidate_now(key, L2Marker{});
    co_return swap;
  }
  if (keep_ttl && swap.now.entry) entry->ttl_left = swap.now.entry->ttl_left;
  auto stored = put_now(key, std::move(*entry));
  if (!stored) co_return std::unexpected(stored.error());
  co_return swap;
}

Task<Result<bool>> MemoryL2::invalidate(std::string key, L2Marker marker) {
  co_return Result<bool>{invalidate_now(key, marker)};
}

Task<Result<L2State>> MemoryL2::state() { co_return state_; }

Task<Result<L2State>> MemoryL2::advance(L2State at_least) {
  state_ = std::max(state_, at_least);
  ++state_.told;
  co_return state_;
}

Task<Result<L2State>> MemoryL2::raise_generation(L2State at_least) {
  state_ = std::max(state_, at_least);
  ++state_.generation;
  ++state_.told;
  co_return state_;
}

Task<Result<void>> MemoryL2::hold_marker(std::string key, ChangeId change, Duration hold) {
  const MonoTime now = executor_->now();
  reap(now);
  Node* node = find(key, now);
  if (node == nullptr || node->marker.empty()) co_return Result<void>{};
  const MonoTime until = now + hold;
  const bool alone = node->marker == Marker(change);
  if (until > node->marker_until || alone) node->marker_until = until;
  due_changed(*node);
  co_return Result<void>{};
}

Task<Result<void>> MemoryL2::invalidate_tag(std::string tag, Duration hold) {
  invalidate_tag_now(tag, hold);
  co_return Result<void>{};
}

// The walk goes by buckets. When the index grows under it, the walk begins anew: growth doubles, so that this
// happens a few times at most.
Task<Result<void>> MemoryL2::clear(std::string prefix) {
  ++lease_generation_;
  auto alive = alive_;
  std::size_t buckets = nodes_.bucket_count();
  for (std::size_t next = 0; next < buckets;) {
    const MonoTime now = executor_->now();
    for (int i = 0; i < kClearStep && next < buckets; ++i) clear_bucket(next++, prefix, now);
    if (next >= buckets) break;
    co_await next_turn(executor_);
    if (!*alive) break;
    if (nodes_.bucket_count() != buckets) {
      buckets = nodes_.bucket_count();
      next = 0;
    }
  }
  co_return Result<void>{};
}

L2Stats MemoryL2::stats() const {
  L2Stats stats = stats_;
  stats.bytes = bytes_;
  stats.bytes_limit = options_.bytes_limit;
  return stats;
}

// ---- what they do ----

Result<L2Lookup> MemoryL2::lookup(const std::string& key, Duration lease_ttl, bool refresh) {
  const MonoTime now = executor_->now();
  reap(now);
  Node* node = find(key, now);
  L2Lookup answer;
  answer.l2 = state_;
  const std::uint64_t mark = tag_mark_of(key);
  const bool is_current =
      node == nullptr || (node->generation == state_.generation && (mark == 0 || node->tag_mark == mark));
  if (node != nullptr && node->has_entry && !is_current) {
    drop_entry(*node);
    settle(*node, now);
    node = find(key, now);
  }
  if (node != nullptr && node->has_entry && !refresh) {
    ++stats_.hits;
    link_newest(*node);
    answer.state = L2Lookup::State::kHit;
    answer.entry = read(*node, now);
    return answer;
  }
  if (!refresh) ++stats_.misses;
  if (node != nullptr && holds_lease(*node, now)) return answer;  // kBusy
  if (node == nullptr) {
    if (!has_room_for_guard(key)) {
      ++stats_.errors;
      return fail(ErrorCode::kOverloaded,
                  fmt::format("embedded L2: no room for one more lease ({} keys are leased or "
                              "marked); the limit is a lease per waiting read",
                              nodes_.size() - entries_));
    }
    node = find_or_add(key);
  }
  do node->token = random_();
  while (node->token == 0);
  node->lease_until = now + lease_ttl;
  node->lease_generation = lease_generation_;
  due_changed(*node);
  answer.state = L2Lookup::State::kLease;
  answer.token.value = node->token;
  answer.tag_mark = mark;
  return answer;
}

Result<L2FillVerdict> MemoryL2::fill_now(const std::string& key, LeaseToken token, L2Entry entry) {
  const MonoTime now = executor_->now();
  reap(now);
  Node* node = find(key, now);
  if (node == nullptr || !holds_lease(*node, now) || node->token != token.value) {
    ++stats_.fills_refused;
    return L2FillVerdict::kLeaseLost;
  }
  node->token = 0;  // used, whatever comes of it
  if (marker_refuses(node, entry.stamp, now)) {
    ++stats_.fills_refused;
    settle(*node, now);
    return L2FillVerdict::kMarkerNewer;
  }
  const std::uint64_t mark = tag_mark_of(key);
  if (entry.generation != state_.generation || (mark != 0 && entry.tag_mark != mark)) {
    ++stats_.fills_refused;
    settle(*node, now);
    return L2FillVerdict::kLeaseLost;
  }
  // Under the key's one lease nobody else can store what this stamp's bound has passed.
  if (!node->marker.empty() && node->marker.passed_by(entry.stamp.bound())) node->marker = Marker{};
  settle(*node, now);
  auto stored = put_now(key, std::move(entry));
  if (!stored) return std::unexpected(stored.error());
  return L2FillVerdict::kStored;
}

L2Seen MemoryL2::look_now(const std::string& key) {
  const MonoTime now = executor_->now();
  reap(now);
  Node* node = find(key, now);
  L2Seen seen;
  if (node == nullptr || !node->has_entry) return seen;
  seen.entry = read(*node, now);
  seen.mark = fmt::format("{}:{}:{}", node->value.size(), hash_bytes(node->value, 0), node->expires_at.ns);
  return seen;
}

Result<void> MemoryL2::put_now(const std::string& key, L2Entry entry) {
  const MonoTime now = executor_->now();
  reap(now);
  const std::size_t cost = node_overhead<Index::value_type>() + key.size() + entry.value.size() + 64;
  if (cost > options_.bytes_limit) {
    ++stats_.errors;
    return fail(ErrorCode::kLimit,
                fmt::format("embedded L2: an entry of {} bytes is larger than the whole tier ({} "
                            "bytes); raise its limit",
                            entry.value.size(), options_.bytes_limit));
  }
  if (entry.value.capacity() > entry.value.size() + entry.value.size() / 8) entry.value.shrink_to_fit();
  Node& node = *find_or_add(key);
  store(node, std::move(entry), now);
  shrink_to(options_.bytes_limit, &node);
  // Markers of other keys fill the tier: without room for the entry there is no entry.
  if (bytes_ > options_.bytes_limit) {
    drop_entry(node);
    settle(node, now);
  }
  return {};
}

bool MemoryL2::invalidate_now(const std::string& key, L2Marker marker) {
  const MonoTime now = executor_->now();
  reap(now);
  Node* node = find(key, now);
  const bool existed = node != nullptr && node->has_entry;
  if (node != nullptr) {
    drop_entry(*node);
    node->token = 0;
    settle(*node, now);
    node = find(key, now);
  }
  if (marker.change.value == 0 || marker.hold <= Duration::zero()) return existed;
  if (node == nullptr && !has_room_for_guard(key)) {
    raise_floor(key, marker, now);
    return existed;
  }
  node = find_or_add(key);
  node->marker.add(marker.change);
  node->marker_until = std::max(node->marker_until, now + marker.hold);
  due_changed(*node);
  return existed;
}

// ---- tags ----

std::size_t MemoryL2::tag_bytes(const std::string& tag) {
  return node_overhead<Tags::value_type>() + heap_bytes(tag);
}

std::uint64_t MemoryL2::tag_mark_of(const std::string& key) const {
  if (tag_rules_ == nullptr) return 0;
  const auto names = tag_rules_->of_name(key);
  if (names.empty()) return 0;
  std::uint64_t mark = 0;
  for (const std::string& name : names) {
    const auto held = tags_.find(name);
    mark = mix64(mark + 1 + (held == tags_.end() ? 0 : held->second.drawn));
  }
  return std::max<std::uint64_t>(1, mark);
}

void MemoryL2::invalidate_tag_now(const std::string& tag, Duration hold) {
  const MonoTime now = executor_->now();
  const auto held = tags_.find(tag);
  if (held != tags_.end()) {
    held->second.drawn = random_();
    held->second.until = std::max(held->second.until, now + hold);
    return;
  }
  const std::size_t need = tag_bytes(tag);
  if (tags_.size() >= options_.tags_max) {
    for (auto it = tags_.begin(); it != tags_.end();) {
      const bool is_over = it->second.until <= now;
      if (is_over) bytes_ -= tag_bytes(it->first);
      it = is_over ? tags_.erase(it) : std::next(it);
    }
  }
  if (need <= options_.bytes_limit) shrink_to(options_.bytes_limit - need, nullptr);
  if (tags_.size() >= options_.tags_max || bytes_ + need > options_.bytes_limit) {
    for (const auto& [name, one] : tags_) bytes_ -= tag_bytes(name);
    tags_.clear();
    ++state_.generation;
    return;
  }
  bytes_ += tag_bytes(tags_.emplace(tag, Tag{random_(), now + hold}).first->first);
}

// ---- one node ----

MemoryL2::Node* MemoryL2::find(const std::string& key, MonoTime now) {
  auto it = nodes_.find(key);
  if (it == nodes_.end()) return nullptr;
  settle(it->second, now);
  it = nodes_.find(key);
  return it == nodes_.end() ? nullptr : &it->second;
}

MemoryL2::Node* MemoryL2::find_or_add(const std::string& key) {
  auto [it, added] = nodes_.try_emplace(key);
  Node& node = it->second;
  if (added) {
    node.key = &it->first;
    node.due_place = due_.size();
    due_.push_back(&node);
    due_changed(node);
    bytes_ += node_overhead<Index::value_type>() + heap_bytes(it->first);
  }
  return &node;
}

L2Entry MemoryL2::read(const Node& node, MonoTime now) {
  L2Entry entry;
  entry.value = node.value;
  entry.negative = node.negative;
  entry.stamp = node.stamp;
  entry.age = node.age_at_store + (now - node.stored_at);
  entry.generation = node.generation;
  entry.tag_mark = node.tag_mark;
  entry.ttl_left = node.expires_at == MonoTime::max() ? Duration{0} : node.expires_at - now;
  return entry;
}

void MemoryL2::store(Node& node, L2Entry entry, MonoTime now) {
  drop_entry(node);
  node.token = 0;
  node.has_entry = true;
  node.negative = entry.negative;
  node.value = std::move(entry.value);
  node.stamp = std::move(entry.stamp);
  node.generation = entry.generation;
  node.tag_mark = entry.tag_mark;
  node.age_at_store = entry.age;
  node.stored_at = now;
  node.expires_at = entry.ttl_left > Duration::zero() ? now + entry.ttl_left : MonoTime::max();
  bytes_ += heap_bytes(node.value);
  ++entries_;
  link_newest(node);
  due_changed(node);
}

bool MemoryL2::marker_refuses(const Node* node, const Stamp& stamp, MonoTime now) const {
  if (!floors_.empty() &&
      (floor_refuses(feature_of(*node->key), stamp, now) || floor_refuses({}, stamp, now))) {
    return true;
  }
  return node->marker_until > now && !node->marker.passed_by(stamp);
}

bool MemoryL2::floor_refuses(std::string_view feature, const Stamp& stamp, MonoTime now) const {
  const auto found = floors_.find(feature);
  return found != floors_.end() && found->second.until > now && !found->second.marker.passed_by(stamp);
}

void MemoryL2::raise_floor(std::string_view key, L2Marker marker, MonoTime now) {
  std::erase_if(floors_, [&](const auto& one) { return one.second.until <= now; });
  const std::string_view feature = feature_of(key);
  const bool has_room = floors_.size() < kFloorsMax || floors_.contains(feature);
  Floor& floor = floors_[std::string(has_room ? feature : std::string_view())];
  floor.marker.add_all_up_to(marker.change);
  floor.until = std::max(floor.until, now + marker.hold);
}

bool MemoryL2::holds_lease(const Node& node, MonoTime now) const {
  return node.token != 0 && node.lease_generation == lease_generation_ && node.lease_until > now;
}

bool MemoryL2::has_room_for_guard(const std::string& key) {
  if (nodes_.size() - entries_ >= options_.guards_max) return false;
  const std::size_t need = node_overhead<Index::value_type>() + key.size() + 64;
  if (need > options_.bytes_limit) return false;
  shrink_to(options_.bytes_limit - need, nullptr);
  return bytes_ + need <= options_.bytes_limit;
}

void MemoryL2::drop_entry(Node& node) {
  if (!node.has_entry) return;
  bytes_ -= heap_bytes(node.value);
  std::string().swap(node.value);
  node.has_entry = false;
  node.expires_at = MonoTime::max();
  unlink(node);
  --entries_;
}

// Drops what has ended on the node, and the node if that was all. The reference may be dangling afterwards.
void MemoryL2::settle(Node& node, MonoTime now) {
  if (node.has_entry && node.expires_at <= now) drop_entry(node);
  if (node.token != 0 && !holds_lease(node, now)) node.token = 0;
  if (!node.marker.empty() && node.marker_until <= now) node.marker = Marker{};
  if (node.has_entry || node.token != 0 || !node.marker.empty()) return due_changed(node);
  due_remove(node);
  bytes_ -= node_overhead<Index::value_type>() + heap_bytes(*node.key);
  nodes_.erase(nodes_.find(*node.key));
}

void MemoryL2::reap(MonoTime now) {
  for (int i = 0; i < kReapPerCall && !due_.empty() && due(*due_.front()) <= now; ++i)
    settle(*due_.front(), now);
}

void MemoryL2::clear_bucket(std::size_t bucket, std::string_view prefix, MonoTime now) {
  std::vector<Node*> found;
  for (auto it = nodes_.begin(bucket); it != nodes_.end(bucket); ++it) found.push_back(&it->second);
  for (Node* node : found) {
    if (std::string_view{*node->key}.starts_with(prefix)) drop_entry(*node);
    settle(*node, now);
  }
}

void MemoryL2::shrink_to(std::size_t bytes, const Node* keep) {
  const MonoTime now = executor_->now();
  while (bytes_ > bytes && oldest_ != nullptr && oldest_ != keep) {
    Node& victim = *oldest_;
    drop_entry(victim);
    settle(victim, now);
  }
}

// ---- LRU list ----

void MemoryL2::link_newest(Node& node) {
  if (newest_ == &node) return;
  unlink(node);
  node.older = newest_;
  if (newest_ != nullptr) newest_->newer = &node;
  newest_ = &node;
  if (oldest_ == nullptr) oldest_ = &node;
}

void MemoryL2::unlink(Node& node) {
  if (node.newer != nullptr) node.newer->older = node.older;
  if (node.older != nullptr) node.older->newer = node.newer;
  if (newest_ == &node) newest_ = node.older;
  if (oldest_ == &node) oldest_ = node.newer;
  node.newer = node.older = nullptr;
}

// ---- heap of what ends next ----

MonoTime MemoryL2::due(const Node& node) {
  MonoTime at = node.has_entry ? node.expires_at : MonoTime::max();
  if (node.token != 0) at = std::min(at, node.lease_until);
  if (!node.marker.empty()) at = std::min(at, node.marker_until);
  return at;
}

void MemoryL2::due_swap(std::size_t a, std::size_t b) {
  std::swap(due_[a], due_[b]);
  due_[a]->due_place = a;
  due_[b]->due_place = b;
}

void MemoryL2::due_changed(Node& node) {
  std::size_t i = node.due_place;
  while (i > 0 && due(*due_[i]) < due(*due_[(i - 1) / 2])) {
    due_swap(i, (i - 1) / 2);
    i = (i - 1) / 2;
  }
  for (;;) {
    std::size_t least = i;
    for (const std::size_t child : {2 * i + 1, 2 * i + 2}) {
      if (child < due_.size() && due(*due_[child]) < due(*due_[least])) least = child;
    }
    if (least == i) return;
    due_swap(i, least);
    i = least;
  }
}

void MemoryL2::due_remove(Node& node) {
  const std::size_t place = node.due_place;
  due_swap(place, due_.size() - 1);
  due_.pop_back();
  if (place < due_.size()) due_changed(*due_[place]);
}

void MemoryL2::check_invariants() const {
  std::size_t bytes = 0, entries = 0;
  for (const auto& [key, node] : nodes_) {
    bytes +=
        node_overhead<Index::value_type>() + heap_bytes(key) + (node.has_entry ? heap_bytes(node.value) : 0);
    entries += node.has_entry ? 1 : 0;
    CANDOR_ASSERT(node.key == &key);
    CANDOR_ASSERT(node.due_place < due_.size() && due_[node.due_place] == &node);
    CANDOR_ASSERT(node.has_entry || node.token != 0 || !node.marker.empty());
  }
  for (const auto& [name, tag] : tags_) bytes += tag_bytes(name);
  CANDOR_ASSERT(bytes == bytes_ && entries == entries_ && due_.size() == nodes_.size());
  CANDOR_ASSERT(bytes_ <= options_.bytes_limit);
  for (std::size_t i = 1; i < due_.size(); ++i) CANDOR_ASSERT(due(*due_[(i - 1) / 2]) <= due(*due_[i]));
  std::size_t linked = 0;
  for (const Node* n = newest_; n != nullptr; n = n->older) {
    CANDOR_ASSERT(n->has_entry && (n->older != nullptr || n == oldest_));
    ++linked;
  }
  CANDOR_ASSERT(linked == entries_);
}

}  // namespace candor::l2
