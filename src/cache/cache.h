// The cache of one node: server → cache → single flight → L1 → L2 → origin, and back, filling as it returns.
//
// Two halves
//   - The hit path, try_hit(): a plain function on the caller's thread. No coroutine, no lock, no allocation.
//   - The miss path, read() and the writes: tasks on one executor, the cache's home. Calls may come from any
//   thread;
//     each `done` runs on the home executor, and whoever needs the answer elsewhere posts it there.
//
// Invariants
//   - At most one load per key is under way on this node (single flight), and with a shared L2 one per region
//   (lease).
//   - A write is acknowledged only after the origin has it, this node's L1 forgot the old value, and L2 was
//   told; an L2 that does
//     not answer fails nobody's write: the key is owed to it and not read from it by this node until it was
//     told.
//   - A load that began before an invalidation of its key is never stored after it (the fence).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "cache/change_target.h"
#include "cache/feature.h"
#include "cache/freshness.h"
#include "cache/gap_repair.h"
#include "cache/observer.h"
#include "cache/read_tap.h"
#include "cache/reconciler.h"
#include "cache/region_barrier.h"
#include "cache/tier_copies.h"
#include "cache/write_behind.h"
#include "tier/l1/store.h"
#include "tier/l2.h"

namespace candor {

namespace disk {
class DiskTier;
}

enum class Tier : std::uint8_t { kL1, kDisk, kL2, kOrigin };
[[nodiscard]] std::string_view tier_name(Tier tier);                 // l1 disk l2 origin
[[nodiscard]] std::string_view consistency_name(Consistency level);  // eventual bounded session strong origin

struct ReadResult {
  // Shared because every waiter of one load gets the same bytes, on several threads. Null: no such row.
  std::shared_ptr<const std::string> value;
  Tier tier = Tier::kOrigin;
  Duration age{0};
  Duration ttl_left{0};            // 0: no expiry
  const char* degraded = nullptr;  // null or the reason ("origin down", "soft timeout"): a static string
  // How long ago the value can have been superseded, at most; nullopt: nothing is proven.
  std::optional<Duration> fresh_within{};
  StampBound stamp{};       // of the load that it came from
  bool is_pending = false;  // an acknowledged write that the origin may not have yet (write-behind)
};
using ReadDone = std::move_only_function<void(Result<ReadResult>)>;

struct WriteResult {
  std::uint64_t rows = 0;
  bool existed = false;  // for erase: an entry or a row was there
};
using WriteDone = std::move_only_function<void(Result<WriteResult>)>;

class CacheCore final : public ChangeTarget {
 public:
  struct Parts {
    const Clock* clock = nullptr;
    Executor* home = nullptr;  // the miss path's executor
    l1::Store* l1 = nullptr;
    disk::DiskTier* disk = nullptr;  // null: none. Takes what `l1` evicts
    L2* l2 = nullptr;                // null: none
    bool l2_is_shared = false;       // other nodes use the same L2 (anything but `memory:`)
    Observer* observer = nullptr;    // null: nobody watches
    ReadTap* tap = nullptr;          // is shown some of the reads; null: nobody measures
    std::uint64_t seed = 0;
    std::size_t waiters_max = 100'000;  // reads waiting on the miss path; beyond it OVERLOADED
  };
  explicit CacheCore(Parts parts);
  ~CacheCore() override;
  // Nothing is tried again from now on (debts to L2): what is under way can come to its end. On home.
  void close();
  CacheCore(const CacheCore&) = delete;
  CacheCore& operator=(const CacheCore&) = delete;

  // Before traffic. Names must be new. Returns the feature's id.
  // `watched_origin`: the origin's name if its changes are heard of (ChangeTarget below); empty: by ttl
  // alone.
  Result<FeatureId> add_feature(FeaturePolicy policy, std::unique_ptr<OriginFeature> origin,
                                std::string_view watched_origin = {});
  // Before traffic, and once for each feature that has tags.
  void set_tags(FeatureId feature, FeatureTags tags);
  // Replaces what can change while running (everything but name and plain); on the home executor.
  Result<void> update_policy(FeatureId id, FeaturePolicy policy);
  [[nodiscard]] const Feature* find_feature(std::string_view name) const;
  [[nodiscard]] const Feature& feature(FeatureId id) const;
  [[nodiscard]] std::size_t feature_count() const;

  // The clock of the hit path: milliseconds, cached by the caller per turn of its loop.
  [[nodiscard]] l1::Millis now_ms() const;

  // ---- hit path: any thread ----
  struct Hit {
    std::string_view value;  // valid while the guard lives
    l1::EntryMeta meta;
    bool negative = false;
    l1::Millis fresh_as_of = OriginTrust::kNever;  // read before the entry was looked up (Proof)
  };
  // True: the value may be served now at the feature's level. May ask for a background refresh of a hot
  // entry.
  [[nodiscard]] bool try_hit(const l1::Store::ReadGuard& guard, const Feature& feature, l1::KeyHash hash,
                             std::string_view key, l1::Millis now, Hit* out);
  // After Store::find_many(): the same decision for an entry already found. `proof`: of bounded features;
  // made before the lookup (proof_of).
  [[nodiscard]] bool may_serve(const Feature& feature, std::string_view key, const l1::EntryView& view,
                               l1::Millis now, const Proof& proof);
  [[nodiscard]] Proof proof_of(const Feature& feature, l1::Millis at) const {
    return {at, vouched_for(feature)};
  }
  // As try_hit() at another level than the feature's own: kEventual, kSession, or kBounded with its bound.
  [[nodiscard]] bool try_hit_at(const l1::Store::ReadGuard& guard, const Feature& feature, l1::KeyHash hash,
                                std::string_view key, l1::Millis now, Consistency level, Duration bound,
                                Hit* out);
  // How long ago what was hit can have been superseded, at most.
  [[nodiscard]] std::optional<Duration> fresh_within(const Feature& feature, const Hit& hit) const;
  // Callers count their hits in batches: cheaper than one by one.
  void count_hits(const Feature& feature, std::uint64_t hits, std::uint64_t negatives);

  // ---- miss path: any thread; `done` on home ----
  struct ReadOptions {
    Consistency level = Consistency::kSession;  // kOrigin bypasses the tiers
    bool use_feature_level = true;
    Duration bound{0};                    // of kBounded when it is not the feature's own level
    MonoTime deadline = MonoTime::max();  // the feature's hard timeout applies as well
  };
  void read(FeatureId feature, std::string key, ReadOptions options, ReadDone done);

  // ---- warming; on home ----
  enum class Warmed : std::uint8_t {
    kStored,   // loaded and kept
    kHeld,     // L1 had it already, or a pending write of it
    kAbsent,   // the origin has no such row; that is remembered, as for a reader
    kDropped,  // loaded, and not kept: a change came meanwhile, or there is no room
    kFailed,   // see the error
  };
  using WarmDone = std::move_only_function<void(Warmed, const Error* error)>;
  // As a reader's miss would load the key (flight, lease, L2, fence), but for nobody: its load stands behind
  // every reader's and is refused first, it counts as no read,
  // and is not answered with an old value. `done` may run within the call.
  void warm(FeatureId feature, std::string key, WarmDone done);

  // ---- writes: any thread; `done` on home. Origin, then L2, then L1, then done. ----
  void write(FeatureId feature, std::string key, std::string value, WriteDone done);
  void erase(FeatureId feature, std::string key, WriteDone done);
  // Drops the key from every tier of this node and from L2; never touches the origin.
  void invalidate(FeatureId feature, std::string key, WriteDone done);

  // ---- write-behind (cache/write_behind.h); on home ----
  // Takes up the log, with what it recovered: from now on readers see that. The feature has an origin that
  // can_apply().
  void use_write_behind(FeatureId feature, const write_behind::WriteBehind::Options& options,
                        std::unique_ptr<write_behind::Log> log, write_behind::Log::Recovered recovered,
                        BlockingPool* pool);
  // Safe at any time: of each key what is pending reaches the origin before a later write does.
  // kConfiguration: the feature has no log, or promises its readers what a pending write would break.
  [[nodiscard]] Result<void> set_write_mode(FeatureId feature, write_behind::WriteMode mode, Duration window);
  // Null: the feature has no log.
  [[nodiscard]] write_behind::WriteBehind* write_behind(FeatureId feature) const;
  // Until everything that was acknowledged before, of the features of this watched origin, is at the origin.
  [[nodiscard]] Task<Result<void>> settle_writes(std::string origin, MonoTime deadline) const;

  // ---- plain features (origin = "none") ----
  // True when a plain feature lives in L1 alone (no shared L2): the server then works on L1 directly, on its
  // own thread, with l1(); otherwise plain reads go through read() and plain changes through plain_write().
  [[nodiscard]] bool plain_is_local() const;
  void plain_write(FeatureId feature, std::string key, std::optional<std::string> value, Duration ttl,
                   WriteDone done);

  // A change that depends on the value, one atomic step among all nodes. `decide` sees the value as
  // Store::update() shows it, and answers in the same way. It runs on home, and again when another node was
  // faster: its last call counts.
  using PlainDecide = std::move_only_function<l1::Store::Update(const l1::EntryView* current)>;
  void plain_update(FeatureId feature, std::string key, PlainDecide decide, WriteDone done);

  // How synchronous writes (FeaturePolicy) hear that no live node serves the old value; null: there is no
  // other node. Outlives this. Before traffic.
  void set_region_barrier(RegionBarrier* barrier);

  // Drops every key that has the tag, here and in L2; one step in each, however many they are.
  void invalidate_tag(std::string tag, WriteDone done);
  // Features of which all keys, or some, may have it.
  [[nodiscard]] std::vector<FeatureId> features_with_tag(std::string_view tag) const;

  // Drops what is cached, everywhere this node can reach; never the origin.
  void flush(std::optional<FeatureId> feature, WriteDone done);

  // ---- the change river; on home (change_target.h) ----
  void apply_change(std::string_view origin, const Change& change) override;
  void raise_floor(std::string_view origin, std::string_view feature, Suspects suspects) override;
  void settle_floor(std::string_view origin, MonoTime since) override;
  void prove(std::string_view origin, MonoTime fresh_as_of, ChangeId applied_up_to) override;
  void note_unheard(std::string_view origin, const std::vector<Unheard>& unheard) override;
  void lose_proof(std::string_view origin) override;
  void note_applied(std::string_view origin, Incarnation incarnation, Position position) override;
  void retire_markers(std::string_view origin, ChangeId visible, MonoTime asked, Position l2_told) override;
  void trust_l2(std::string_view origin, bool trusted) override;
  void note_l2_state(std::uint32_t generation, std::uint64_t told) override;
  void forget_name(std::string_view name) override;
  void forget_feature(std::string_view feature) override;
  void forget_tag(std::string_view tag) override;

  // Is L2 read for this feature now? Not while this node may lack what L2 was not told
  // (ChangeTarget::trust_l2). On home.
  [[nodiscard]] bool reads_l2(FeatureId feature) const;
  // What is proven about an origin; null: its changes are not heard of. Any thread; the object lives as long
  // as this.
  [[nodiscard]] const OriginTrust* trust(std::string_view origin) const;

  // What becomes of the suspects of this origin; nothing: its changes are not heard of. On home.
  [[nodiscard]] std::optional<RepairStatus> repair(std::string_view origin) const;
  // Suspects of this origin that are asked about in a second, 0: only when they are read. Before traffic.
  void set_repair_rate(std::string_view origin, unsigned keys_per_second);
  static constexpr unsigned kRepairRate = 2000;

  // ---- the sweep (reconciler.h); on home ----
  struct ReconcileOptions {
    unsigned keys_per_second = 0;  // 0: off
    Duration period = 10s;         // a pass begins at most once in it
    // Of which features? Null: of all that have an origin.
    std::function<bool(FeatureId)> concerns{};
    // Is its origin slow, away, or busy with others? Null: never.
    std::function<bool(FeatureId)> suffers{};
    // Was a change of the key that such a load does not include heard of here? Null: nobody remembers.
    std::function<bool(KeyRef, StampBound, MonoTime loaded_at)> was_told{};
    // What this node held was wrong: others may hold it as well. Null: this node is alone.
    std::function<void(std::string name)> tell_region{};
  };
  // Once, after the features were added.
  void reconcile(ReconcileOptions options);
  [[nodiscard]] ReconcileStatus reconciliation() const;
  // What a reader of the key may be served out of the tiers now, without being one. On home.
  [[nodiscard]] Task<TierCopies> copies(FeatureId feature, std::string key);

  // Names that carry a marker of this origin's changes. On home.
  [[nodiscard]] std::size_t markers(std::string_view origin) const;

  [[nodiscard]] l1::Store& l1() { return *parts_.l1; }
  [[nodiscard]] L2* l2() { return parts_.l2; }
  [[nodiscard]] std::size_t waiting() const;  // reads on the miss path now
  // Loads and questions under way, for readers, refreshes, repair and the sweep alike. On home.
  [[nodiscard]] std::size_t flights() const;
  [[nodiscard]] std::size_t owed_invalidations() const;  // keys whose invalidation L2 has not taken yet

 private:
  class MissPath;
  [[nodiscard]] bool serves_at(const Feature& feature, std::string_view key, const l1::EntryView& view,
                               l1::Millis now, Consistency level, Duration bound, const Proof& proof);
  [[nodiscard]] bool is_sent_past_tiers(const FeaturePolicy& policy);
  void ask_for_refresh(const Feature& feature, std::string_view key, const l1::EntryView& view,
                       l1::Millis now, l1::Millis until);
  Parts parts_;
  std::vector<std::unique_ptr<Feature>> features_;
  std::vector<std::unique_ptr<OriginTrust>> trusts_;
  // Shows this read to the tap.
  void show(const Feature& feature, std::string_view key, const l1::EntryView& view, l1::Millis now,
            Consistency level);
  // Made anew with each feature that is added. Null: nobody measures.
  std::unique_ptr<ReadLanes> lanes_;
  std::unique_ptr<TagTimes> tag_times_;  // null: no feature has tags of single keys
  std::unique_ptr<MissPath> miss_;
};

}  // namespace candor
