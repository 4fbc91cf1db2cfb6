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
#include "cache/owed_invalidations.h"
#include "cache/single_flight.h"
#include "cache/unsettled_writes.h"

namespace candor {

// What a load brought back. Not nested in MissPath: clang wants the class around a default member initializer
// complete before Result<> may ask whether it can be made from nothing.
struct LoadedValue {
  std::shared_ptr<const std::string> value;  // null: no such row
  Stamp stamp;
  Tier tier = Tier::kOrigin;
  Duration age{0};
  Duration ttl{0};  // left, 0: none
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

  // ---- write_path.cc ----
  enum class Change : std::uint8_t { kStore, kErase };
  Task<Result<WriteResult>> write(Feature* feature, std::string key, std::string value, Change change);
  Task<Result<WriteResult>> plain_write(Feature* feature, std::string key, std::optional<std::string> value,
                                        Duration ttl);
  // ---- plain_path.cc ----
  void plain_update(Feature* feature, const std::string& key, PlainDecide decide, WriteDone done);
  Task<Result<WriteResult>> invalidate(Feature* feature, std::string key, const char* cause);
  Task<Result<WriteResult>> flush(std::optional<FeatureId> id);

  [[nodiscard]] Feature* feature(FeatureId id) const { return features_[id.value].get(); }

  // Counted on home, read anywhere.
  std::atomic<std::size_t> waiting{0};
  std::atomic<std::size_t> owed{0};
  std::atomic<unsigned> refreshes_asked{0};  // early refreshes posted and not yet looked at

 private:
  // One reader of a flight.
  struct Waiter {
    ReadDone done;
    MonoTime asked;
    bool served = false;  // by its own deadline or the soft timeout
    TimerId timer;
  };
  using Flights = SingleFlight<std::shared_ptr<Waiter>>;
  using FlightPtr = Flights::FlightPtr;

  using Loaded = LoadedValue;

  Task<void> run_flight(FlightPtr flight, std::string key);
  Task<Result<Loaded>> fetch(Feature* feature, std::string key, FlightPtr flight);
  // May what this flight brings be stored? Not after an invalidation, nor while a write of the key is in
  // doubt.
  [[nodiscard]] bool may_keep(const Flights::Flight& flight) const;
  Task<Result<Loaded>> fetch_plain(Feature* feature, std::string name);
  // The L2 part of fetch(): an entry, or a lease to load under, or neither (L2 is away: load without a
  // lease).
  struct L2Answer {
    std::optional<Loaded> hit;
    LeaseToken lease;
  };
  Task<L2Answer> ask_l2(Feature* feature, std::string name, MonoTime deadline, bool refresh);
  Task<Result<Loaded>> load_from_origin(Feature* feature, std::string key, MonoTime deadline);
  // Stores into L2 under the lease; false when a newer invalidation forbids to store this load anywhere.
  Task<bool> fill_l2(Feature* feature, std::string name, LeaseToken lease, Loaded loaded);
  void fill_l1(const Feature& feature, std::string_view key, const Loaded& loaded);
  Task<void> bypass(Feature* feature, std::string key, std::shared_ptr<Waiter> waiter, MonoTime deadline);

  std::shared_ptr<Waiter> admit(Feature& feature, ReadDone done);
  void arm(const FlightPtr& flight, const std::shared_ptr<Waiter>& waiter, const std::string& key,
           MonoTime deadline);
  void answer(const Feature& feature, Waiter& waiter, Result<ReadResult> result);
  std::optional<ReadResult> stale_copy(const Feature& feature, std::string_view key, const char* reason);
  std::optional<ReadResult> l1_copy(const Feature& feature, std::string_view key);

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
  OwedInvalidations owed_;
  UnsettledWrites unsettled_;
  bool repaying_ = false;
  // By name; a key in it has a task that works through its list.
  std::unordered_map<std::string, std::deque<PlainChange>, SeededHash> plain_changes_;
  std::size_t plain_changes_waiting_ = 0;
};

}  // namespace candor
