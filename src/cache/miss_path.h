// The miss path: what happens when L1 has no answer, and every change of what is cached. Tasks on one
// executor, the cache's home; nothing here has a lock. CacheCore posts requests here from any thread.
//
// Where to start: fetch() in read_path.cc is the read river on one page; write() in write_path.cc is the
// write path.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/random.h"
#include "base/task.h"
#include "cache/cache.h"
#include "cache/key_markers.h"
#include "cache/loads_under_way.h"
#include "cache/owed_invalidations.h"
#include "cache/single_flight.h"
#include "cache/unsettled_writes.h"

namespace candor {

namespace disk {
struct Hit;
}

// A reader's miss is confirmed, not loaded, from values of this size on. By itself the question costs more
// than loading a small row (docs/benchmarks.md, "Gap repair"), and a row that has changed costs both.
inline constexpr std::size_t kConfirmsOnReadFrom = 16 * 1024;

// What a load brought back. Not nested in MissPath: clang wants the class around a default member initializer
// complete before Result<> may ask whether it can be made from nothing.
struct LoadedValue {
  std::shared_ptr<const std::string> value;  // null: no such row
  Stamp stamp;
  Tier tier = Tier::kOrigin;
  // When the load began that the value came from, by this node's clock (of L2 hits: as L2 tells its age). A
  // moment, not an age: what waits between load and store, for L2 say, must not make the value younger.
  MonoTime as_of{0};
  Duration ttl{0};                       // left, 0: none
  std::optional<Duration> origin_ttl{};  // OriginRow::ttl_left, from the load's beginning
  std::uint32_t l2_generation = 0;       // when the lease for this load was given
  std::uint64_t l2_tag_mark = 0;         // the same
  std::uint8_t flags = 0;                // EntryMeta::user_flags of what the disk held
  Duration in_origin{0};                 // of its load
};

// How a failed write is told: a writer must be able to tell that nothing happened from that nobody knows. L2
// is the home of plain features' values: one that cannot be reached is to them what an origin is to others.
[[nodiscard]] std::unexpected<Error> write_failed(Error error);
// The same for a write that had not begun.
[[nodiscard]] std::unexpected<Error> nothing_written(Error error);

class CacheCore::MissPath {
 public:
  MissPath(Parts parts, const std::vector<std::unique_ptr<Feature>>& features);
  ~MissPath();

  // ---- read_path.cc ----
  void read(FeatureId id, std::string key, ReadOptions options, ReadDone done);
  // `expires_at`: of the entry that was to be refreshed; if L1 holds another by now, there is nothing to do.
  void refresh(FeatureId id, std::string key, l1::Millis expires_at);

  // ---- warm.cc ----
  void warm(FeatureId id, std::string key, WarmDone done);

  // ---- write_path.cc ----
  void close();
  enum class Change : std::uint8_t { kStore, kErase };
  Task<Result<WriteResult>> write(Feature* feature, std::string key, std::string value, Change change);
  Task<Result<WriteResult>> write_through(Feature* feature, std::string key, std::string value,
                                          Change change);
  Task<Result<WriteResult>> plain_write(Feature* feature, std::string key, std::optional<std::string> value,
                                        Duration ttl);
  // ---- behind_path.cc ----
  void use_write_behind(Feature* feature, const write_behind::WriteBehind::Options& options,
                        std::unique_ptr<write_behind::Log> log, write_behind::Log::Recovered recovered,
                        BlockingPool* pool);
  // ---- plain_path.cc ----
  void plain_update(Feature* feature, const std::string& key, PlainDecide decide, WriteDone done);
  Task<Result<WriteResult>> invalidate(Feature* feature, std::string key, const char* cause);
  Task<Result<WriteResult>> flush(std::optional<FeatureId> id);
  Task<Result<WriteResult>> invalidate_tag(std::string tag);

  [[nodiscard]] Feature* feature(FeatureId id) const { return features_[id.value].get(); }

  // ---- changes.cc: the change river ----
  void watch_origin(OriginTrust* trust);
  [[nodiscard]] std::size_t markers(std::string_view origin) const;
  [[nodiscard]] std::size_t flights() const {
    return flights_.size() + tasks_ + (reconciler_ == nullptr ? 0 : reconciler_->under_way());
  }
  void apply_change(std::string_view origin, const candor::Change& change);
  void raise_floor(std::string_view origin, std::string_view only, Suspects suspects);
  void settle_floor(std::string_view origin, MonoTime since);
  void note_unheard(std::string_view origin, const std::vector<Unheard>& unheard);
  void trust_l2(std::string_view origin, bool trusted);
  [[nodiscard]] bool l2_is_believed(const Feature& feature) const;
  void prove(std::string_view origin, MonoTime fresh_as_of);
  void retire_markers(std::string_view origin, ChangeId visible, MonoTime asked, Position l2_told);
  void note_l2_state(L2State state) { l2_heard_ = std::max(l2_heard_, state); }
  void forget_name(std::string_view name);
  void forget_feature(std::string_view feature);
  void forget_tag(std::string_view tag);

  // ---- disk_path.cc ----
  [[nodiscard]] std::uint64_t history_of(FeatureId id, l1::Millis loaded_at) const;
  void forget_on_disk(std::optional<FeatureId> feature);

  // ---- repair.cc: suspects after a gap ----
  void note_history(std::string_view origin);
  void set_repair_rate(std::string_view origin, unsigned keys_per_second);
  [[nodiscard]] std::optional<RepairStatus> repair(std::string_view origin) const;

  // ---- reconcile.cc: is what the tiers hold still true? ----
  void reconcile(ReconcileOptions options);
  [[nodiscard]] ReconcileStatus reconciliation() const {
    return reconciler_ == nullptr ? ReconcileStatus{} : reconciler_->status();
  }
  [[nodiscard]] Task<TierCopies> copies(Feature* feature, std::string key);

  // ---- explain.cc ----
  [[nodiscard]] Task<KeyExplanation> explain(Feature* feature, std::string key);

  // Counted on home, read anywhere.
  std::atomic<std::size_t> waiting{0};
  std::atomic<std::size_t> owed{0};
  std::atomic<std::uint64_t> l2_lost_writes{0};  // lookups that found an L2 which had forgotten invalidations
  std::atomic<unsigned> refreshes_asked{0};      // early refreshes posted and not yet looked at
  // By readers near an expiry, and of features of which some reads go past the tiers.
  std::atomic<std::uint64_t> draws{0};
  RegionBarrier* barrier = nullptr;  // null: there is no other node
  ReadLanes* lanes = nullptr;        // CacheCore's; null: nobody measures

 private:
  // One reader of a flight.
  struct Waiter {
    ReadDone done;
    MonoTime asked;
    bool served = false;    // by its own deadline or the soft timeout
    bool is_reader = true;  // else it warms: nothing is counted, measured or rescued
    // kBounded, kStrong with an origin: never an old value, whatever fails. `bound`: of kBounded.
    Consistency level = Consistency::kSession;
    Duration bound{0};
    LoadClass load_class = LoadClass::kNormal;
    [[nodiscard]] bool is_strict() const {
      return level == Consistency::kBounded || level == Consistency::kStrong;
    }
    TimerId timer;
    Duration in_l2{0}, in_origin{0};  // as in ReadResult
  };
  using Flights = SingleFlight<std::shared_ptr<Waiter>>;
  using FlightPtr = Flights::FlightPtr;

  using Loaded = LoadedValue;

  Task<void> run_flight(FlightPtr flight, std::string key);
  Task<Result<Loaded>> fetch(Feature* feature, std::string key, FlightPtr flight);
  Task<std::optional<Loaded>> ask_disk(Feature* feature, std::string key, FlightPtr flight,
                                       MonoTime deadline);
  // After L1 has forgotten the key, or is about to hold a newer load of it.
  void forget_on_disk(const Feature& feature, std::string_view key);
  [[nodiscard]] bool is_servable(const Feature& feature, std::string_view key, const disk::Hit& hit,
                                 const Flights::Flight& flight) const;
  [[nodiscard]] static bool is_in_doubt(const Feature& feature, const disk::Hit& hit);
  [[nodiscard]] std::optional<HeldRow> confirmable(const Feature& feature, const disk::Hit& hit) const;
  // May what this flight brings be stored? Not after an invalidation, nor while a write of the key is in
  // doubt.
  [[nodiscard]] bool may_keep(const Flights::Flight& flight) const;
  // Does it include every change that this node has heard of and every load that its readers have seen?
  [[nodiscard]] bool markers_allow(const Feature& feature, std::string_view name, const Stamp& stamp) const;
  // A reader is about to see what this load brought: nothing older of the key is served or stored from now
  // on.
  void note_seen(const Feature& feature, std::string_view key, std::string_view name, const Stamp& stamp);
  [[nodiscard]] bool proof_holds(const Feature& feature, Duration bound) const;
  [[nodiscard]] KeyMarkers* markers_of(const Feature& feature) const;
  Task<Result<Loaded>> fetch_plain(Feature* feature, std::string name);
  // How long L2 has to remember that the tag was invalidated: until nothing is left that was filled before.
  [[nodiscard]] Duration tag_hold(std::string_view tag) const;
  // The L2 part of fetch(): an entry, or a lease to load under, or neither (L2 is away: load without a
  // lease).
  struct L2Answer {
    std::optional<Loaded> hit;
    LeaseToken lease;
    std::uint32_t generation = 0;
    std::uint64_t tag_mark = 0;
  };
  enum class FromL2 : std::uint8_t {
    kAny,    // what it holds, if it is good enough
    kNewer,  // what another node has loaded lately
    kLease,  // nothing but the right to load, and only if nobody else loads
  };
  Task<L2Answer> ask_l2(Feature* feature, std::string name, MonoTime deadline, FromL2 wanted);
  Task<Result<Loaded>> load_from_origin(Feature* feature, std::string key, MonoTime deadline,
                                        LoadUrgencyPtr urgency);
  // What the origin may be asked to confirm of this entry; nothing: no word of it would prove anything.
  [[nodiscard]] std::optional<HeldRow> held_row(const Feature& feature, const l1::EntryMeta& meta) const;
  // A suspect entry that is worth asking about, for this flight.
  [[nodiscard]] std::optional<l1::EntryMeta> confirmable(const Feature& feature, std::string_view key,
                                                         bool repairs) const;
  // The same, with the origin's word of just now; nothing: it changed, is in doubt, or was dropped meanwhile.
  Task<std::optional<Loaded>> confirm_suspect(Feature* feature, std::string key, l1::EntryMeta asked_about,
                                              MonoTime deadline);
  [[nodiscard]] std::shared_ptr<const std::string> held_value(const Feature& feature, std::string_view key,
                                                              const l1::EntryMeta& wanted) const;
  Task<Result<Loaded>> confirm_or_load(Feature* feature, std::string key, bool repairs, MonoTime deadline,
                                       LoadUrgencyPtr urgency);
  [[nodiscard]] bool holds_suspect(const Feature& feature, std::string_view key) const;
  [[nodiscard]] GapRepair::Verdict judge(const OriginTrust* trust, const l1::Store::Visited& entry) const;
  Task<Repaired> repair_key(FeatureId id, std::string key);
  [[nodiscard]] bool is_reconciled(const Feature& feature) const;
  [[nodiscard]] bool is_servable(const Feature& feature, std::string_view key,
                                 const l1::EntryMeta& meta) const;
  [[nodiscard]] std::optional<TierCopy> copy_in_l1(const Feature& feature, std::string_view key) const;
  Task<std::optional<TierCopy>> copy_in_l2(Feature* feature, std::string key);
  // The origin's word on the version of the row; nullopt: the value has to be compared.
  Task<std::optional<Result<bool>>> confirmed(Feature* feature, std::string key, TierCopies held);
  Task<Reconciler::Looked> look(Feature* feature, std::string key);
  [[nodiscard]] bool is_ripe(const ReconcileDoubt& doubt) const;
  Task<Reconciled> judge_doubt(ReconcileDoubt doubt);
  [[nodiscard]] Divergence cause_of(const Feature& feature, const ReconcileDoubt& doubt) const;
  // Stores into L2 under the lease; false when a newer invalidation forbids to store this load anywhere.
  Task<bool> fill_l2(Feature* feature, std::string name, LeaseToken lease, Loaded loaded);
  void note_reload(const Feature& feature, std::string_view key, const Loaded& loaded);
  void fill_l1(const Feature& feature, std::string_view key, const Loaded& loaded);
  // How long a load of just now may be kept: by the policy, and never longer than the origin keeps it.
  [[nodiscard]] Duration ttl_of(const Feature& feature, const Loaded& loaded);
  // Null: there is none, or the feature's stamps may not be compared there.
  [[nodiscard]] L2* l2_of(const Feature& feature) const {
    const bool stays_out = feature.origin() != nullptr && feature.origin()->has_local_order();
    return stays_out ? nullptr : parts_.l2;
  }
  // The last acknowledged write of the key that the origin may not have yet; null: none.
  [[nodiscard]] static const write_behind::Queue::Pending* pending(const Feature& feature,
                                                                   std::string_view key);
  [[nodiscard]] static bool is_pending(const Feature& feature, std::string_view name);
  void answer_pending(Feature& feature, std::string_view key, Waiter& waiter,
                      const write_behind::Queue::Pending& write);
  Task<void> read_behind(Feature* feature, std::string key, ReadOptions options,
                         std::shared_ptr<Waiter> waiter, MonoTime deadline);
  void show_pending(const Feature& feature, const std::string& key,
                    const write_behind::Queue::Pending& write);
  Task<Result<WriteResult>> write_behind_of(Feature* feature, std::string key, std::string value,
                                            Change change);
  void read_past_pending(Feature& feature, std::string key, ReadOptions options,
                         std::shared_ptr<Waiter> waiter, MonoTime deadline);
  Task<void> read_strong(Feature* feature, std::string key, std::shared_ptr<Waiter> waiter,
                         MonoTime deadline);
  void read_bounded(Feature& feature, std::string key, std::shared_ptr<Waiter> waiter, MonoTime deadline);
  void join_flight(Feature& feature, std::string key, const std::shared_ptr<Waiter>& waiter,
                   MonoTime deadline, bool past_tiers = false);
  // Keeps what a read past the tiers brought, if that is allowed. `forgets`: the feature's when the load
  // began.
  void keep_bypassed(const Feature& feature, std::string_view key, const Loaded& loaded,
                     std::uint64_t forgets);
  [[nodiscard]] Result<ReadResult> strictly(const Feature& feature, const Waiter& waiter,
                                            Result<ReadResult> result) const;
  // L1's, with a proof that is good enough for this bounded reader.
  std::optional<ReadResult> proven_copy(const Feature& feature, std::string_view key, const Waiter& waiter);
  Task<void> bypass(Feature* feature, std::string key, std::shared_ptr<Waiter> waiter, MonoTime deadline);

  std::shared_ptr<Waiter> admit(Feature& feature, std::string_view key, const ReadOptions& options,
                                ReadDone done);
  void count_shed(const Feature& feature, const Error& error, std::size_t readers) const;
  void arm(const FlightPtr& flight, const std::shared_ptr<Waiter>& waiter, const std::string& key,
           MonoTime deadline);
  void answer(const Feature& feature, std::string_view key, Waiter& waiter, Result<ReadResult> result);
  void show(const Feature& feature, std::string_view key, Consistency level, const ReadResult& result);
  void tell_answered(const Feature& feature, std::string_view key, const Waiter& waiter,
                     const Result<ReadResult>& result) const;
  void tell_l2_hit(const Feature& feature, std::string_view key, const Loaded& hit, bool keeps) const;
  [[nodiscard]] TierExplanation explain_l1(const Feature& feature, std::string_view key) const;
  Task<TierExplanation> explain_disk(Feature* feature, std::string key);
  Task<TierExplanation> explain_l2(Feature* feature, std::string key);
  void explain_state(const Feature& feature, std::string_view key, KeyExplanation* out) const;
  std::optional<ReadResult> stale_copy(const Feature& feature, std::string_view key, const char* reason);
  std::optional<ReadResult> rescue(const Feature& feature, std::string_view key, const char* reason,
                                   std::size_t readers);
  [[nodiscard]] ReadResult copy_of(const Feature& feature, const l1::EntryView& view) const;
  [[nodiscard]] std::optional<Duration> within_of(const Feature& feature, const Loaded& loaded,
                                                  MonoTime began) const;
  std::optional<ReadResult> l1_copy(const Feature& feature, std::string_view key);

  // ---- levers.cc ----
  [[nodiscard]] bool is_sent_past_tiers(const Feature& feature, bool is_held);
  void refresh_changed(Feature& feature, const std::string& key, unsigned accesses);
  Task<void> refresh_and_count(FlightPtr flight, std::string key);
  Task<void> wait_for_region(Feature* feature, std::string name, bool in_l2);

  // A change of a plain value that waits for its turn on its key.
  struct PlainChange {
    PlainDecide decide;
    WriteDone done;
  };
  Task<void> run_plain_changes(Feature* feature, std::string name);
  Task<Result<void>> change_in_l2(Feature* feature, std::string name, std::vector<PlainChange>* changes);
  Task<void> pause_for_others();

  // Fences loads of the key, then forgets it in L2, then in L1. False: L2 did not take it; it is owed, unless
  // the feature is plain.
  Task<bool> forget(Feature* feature, std::string key, ChangeId change, const char* cause);
  void doubt(Feature* feature, const std::string& key);
  Task<void> drop_again(Feature* feature, std::string key);
  void owe_features(std::optional<FeatureId> only);
  void schedule_repayment();
  Task<void> repay();
  Task<bool> pay(std::vector<OwedInvalidations::Debt> debts);

  [[nodiscard]] l1::Millis now_ms() const { return parts_.home->now().ms(); }
  [[nodiscard]] static std::string name_of(const Feature& feature, std::string_view key);

  Parts parts_;
  const std::vector<std::unique_ptr<Feature>>& features_;
  Random random_;
  Flights flights_;
  std::size_t tasks_ = 0;  // that wait for L2 or the region: whoever ends the cache has to wait for them
  OwedInvalidations owed_;
  UnsettledWrites unsettled_;
  // An origin whose changes are heard of.
  struct Watched {
    OriginTrust* trust;
    KeyMarkers markers;
    bool l2_trusted = false;   // ChangeTarget::trust_l2()
    bool has_settled = false;  // ChangeTarget::settle_floor(), once
    // The highest id up to which every transaction is visible to whoever asks the origin from now on.
    ChangeId visible_to_all{};
    std::unique_ptr<GapRepair> repair{};
    // The last retire_markers() that waits for loads from before it was asked.
    ChangeId visible{};
    MonoTime visible_asked{0};
    Position l2_told{};
  };
  void watch_suspects(Watched* source);
  [[nodiscard]] Watched* watched(std::string_view origin) const;
  [[nodiscard]] Watched* watched(const Feature& feature) const;
  void retire_what_may(Watched& origin);
  std::vector<std::unique_ptr<Watched>> watched_;
  ReconcileOptions reconcile_;
  std::unique_ptr<Reconciler> reconciler_;  // null: nothing is swept
  LoadsUnderWay loads_;
  L2State l2_heard_;  // the highest state of L2 that the stream has told
  bool repaying_ = false;
  bool is_closing_ = false;            // debts are not tried again
  std::size_t refreshes_changed_ = 0;  // under way, because a change dropped what was read
  // By name; a key in it has a task that works through its list.
  std::unordered_map<std::string, std::deque<PlainChange>, SeededHash> plain_changes_;
  std::size_t plain_changes_waiting_ = 0;
};

}  // namespace candor
