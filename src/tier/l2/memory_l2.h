// The embedded L2: what nodes of a region would share, kept in this process. The default for a single node,
// and what several caches in one process (tests, the simulator) share.
//
// Invariants
//   - bytes() never exceeds the limit after a call: entries, leases, markers, tags and the index are all
//   counted.
//   - A marker is never dropped before its hold has passed. When there is no room for one more, it becomes
//   part of
//     its feature's floor: for its hold, no fill of the feature that does not include it is stored. (One
//     floor for all would compare ids of different origins.) Refusing too much is slow; forgetting a marker
//     would be a lie.
//   - A lease is never given twice while it lasts.
//
// Eviction is LRU: this tier sees only what L1 missed, and its hit costs a load saved, not nanoseconds.
// Thread safety: none; one executor.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/executor.h"
#include "base/hash.h"
#include "base/random.h"
#include "tier/l2.h"
#include "version/marker.h"

namespace candor::l2 {

class MemoryL2 final : public L2 {
 public:
  struct Options {
    std::size_t bytes_limit = std::size_t{64} << 20;
    // Keys that hold only a lease or a marker. One a read waiting for its load, and the cache allows 100,000
    // of those.
    std::size_t guards_max = 100'000;
    // Tags that were invalidated and are held. Beyond it every entry becomes a miss.
    std::size_t tags_max = 10'000;
  };
  MemoryL2(Executor* executor, Options options, std::uint64_t seed);
  ~MemoryL2() override;
  MemoryL2(const MemoryL2&) = delete;
  MemoryL2& operator=(const MemoryL2&) = delete;

  Task<Result<L2Lookup>> get_or_lease(std::string key, Duration lease_ttl, bool refresh) override;
  Task<Result<std::optional<L2Entry>>> get(std::string key) override;
  Task<Result<L2FillVerdict>> fill(std::string key, LeaseToken token, L2Entry entry) override;
  Task<Result<void>> release(std::string key, LeaseToken token) override;
  Task<Result<void>> put(std::string key, L2Entry entry) override;
  Task<Result<L2Seen>> look(std::string key) override;
  Task<Result<L2Swap>> swap(std::string key, std::string mark, std::optional<L2Entry> entry,
                            bool keep_ttl) override;
  Task<Result<bool>> invalidate(std::string key, L2Marker marker) override;
  // This memory forgets nothing while it lives: advance() never finds a loss.
  Task<Result<L2State>> state() override;
  Task<Result<L2State>> advance(L2State at_least) override;
  Task<Result<L2State>> raise_generation(L2State at_least) override;
  Task<Result<void>> hold_marker(std::string key, ChangeId change, Duration hold) override;
  void use_tags(const TagRules* rules) override { tag_rules_ = rules; }
  Task<Result<void>> invalidate_tag(std::string tag, Duration hold) override;
  // Leases are cancelled at once, entries go in steps. Markers stay: they guard against loads, not against
  // readers.
  Task<Result<void>> clear(std::string prefix) override;
  [[nodiscard]] L2Stats stats() const override;
  [[nodiscard]] std::string describe() const override { return "memory"; }

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t keys() const { return nodes_.size(); }
  void check_invariants() const;

 private:
  struct Node {
    const std::string* key = nullptr;  // the index's own copy
    // The entry.
    bool has_entry = false;
    bool negative = false;
    std::string value;
    Stamp stamp;
    Duration age_at_store{0};
    MonoTime stored_at;
    MonoTime expires_at = MonoTime::max();
    // The lease; token 0: none.
    std::uint64_t token = 0;
    MonoTime lease_until;
    std::uint64_t lease_generation = 0;  // below lease_generation_: cancelled by clear()
    std::uint32_t generation = 0;
    std::uint64_t tag_mark = 0;
    Marker marker;
    MonoTime marker_until;
    // LRU list of nodes with an entry; place in the heap of what ends next.
    Node* newer = nullptr;
    Node* older = nullptr;
    std::size_t due_place = 0;
  };
  using Index = std::unordered_map<std::string, Node, SeededHash, std::equal_to<>>;
  struct Tag {
    std::uint64_t drawn = 0;  // at its last invalidation
    MonoTime until;
  };
  using Tags = std::unordered_map<std::string, Tag, SeededHash, std::equal_to<>>;

  // The markers of a feature's keys that had no room of their own.
  struct Floor {
    Marker marker;
    MonoTime until;
  };
  // Features that may have a floor of their own, some 150 bytes each; beyond them a floor holds for all.
  static constexpr std::size_t kFloorsMax = 256;

  Result<L2Lookup> lookup(const std::string& key, Duration lease_ttl, bool refresh);
  Result<L2FillVerdict> fill_now(const std::string& key, LeaseToken token, L2Entry entry);
  Result<void> put_now(const std::string& key, L2Entry entry);
  bool invalidate_now(const std::string& key, L2Marker marker);

  void invalidate_tag_now(const std::string& tag, Duration hold);
  // Of the tags that the key has now; 0: it has none.
  [[nodiscard]] std::uint64_t tag_mark_of(const std::string& key) const;
  [[nodiscard]] static std::size_t tag_bytes(const std::string& tag);

  // The node after everything on it that has ended was dropped; null if nothing is left.
  Node* find(const std::string& key, MonoTime now);
  Node* find_or_add(const std::string& key);
  [[nodiscard]] static L2Entry read(const Node& node, MonoTime now);
  L2Seen look_now(const std::string& key);
  void store(Node& node, L2Entry entry, MonoTime now);
  [[nodiscard]] bool marker_refuses(const Node* node, const Stamp& stamp, MonoTime now) const;
  [[nodiscard]] bool floor_refuses(std::string_view feature, const Stamp& stamp, MonoTime now) const;
  void raise_floor(std::string_view key, L2Marker marker, MonoTime now);
  [[nodiscard]] bool holds_lease(const Node& node, MonoTime now) const;
  [[nodiscard]] bool has_room_for_guard(const std::string& key);

  void drop_entry(Node& node);
  void drop_if_empty(Node& node);
  void settle(Node& node, MonoTime now);
  void reap(MonoTime now);
  void clear_bucket(std::size_t bucket, std::string_view prefix, MonoTime now);
  void shrink_to(std::size_t bytes, const Node* keep);

  void link_newest(Node& node);
  void unlink(Node& node);

  [[nodiscard]] static MonoTime due(const Node& node);
  void due_changed(Node& node);
  void due_swap(std::size_t a, std::size_t b);
  void due_remove(Node& node);

  Executor* executor_;
  Options options_;
  Random random_;
  const TagRules* tag_rules_ = nullptr;
  Index nodes_;
  Tags tags_;
  Node* newest_ = nullptr;
  Node* oldest_ = nullptr;
  std::vector<Node*> due_;  // binary heap by due()
  std::size_t bytes_ = 0;
  std::size_t entries_ = 0;
  std::uint64_t lease_generation_ = 1;
  L2State state_;
  std::unordered_map<std::string, Floor, SeededHash, std::equal_to<>> floors_;  // "": of all features
  L2Stats stats_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // shared with clear() while it waits
};

}  // namespace candor::l2
