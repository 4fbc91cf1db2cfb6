// What changed lately, by key: what a read's value did not include is looked up here. Bounded; what has been
// dropped is known, so that "no change" is never said of a time that is no longer covered.
//
// Commit times. A change carries its commit by the origin's clock, which may differ from this node's. Two
// local facts bracket it: everything committed before the proof that stood when it was applied had been
// applied by then, so that it was committed after; and it was committed before it was applied here. What the
// origin's clock says is believed within that bracket (the probes' period plus the lag, some 200 ms) and no
// further.
//
// Thread safety: none. Belongs to the monitor's executor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "version/stamp.h"

namespace candor {

struct HeardChange {
  ChangeId id;
  MonoTime committed;  // by this node's clock, as well as is known
  MonoTime applied;    // on this node
};

// Where in the bracket the commit lies. `told`: by the origin's clock; 0: the feed does not say.
[[nodiscard]] MonoTime commit_time(WallTime told, WallTime wall_now, MonoTime now, MonoTime proven_before);

class ChangeHistory {
 public:
  explicit ChangeHistory(std::size_t changes_max) : changes_max_(changes_max) {}

  // `key`: a hash of feature and key. In the order of application.
  void add(std::uint64_t key, const HeardChange& change);
  // Every key of a feature; `feature`: a hash of it, of another kind than keys'.
  void add_feature(std::uint64_t feature, const HeardChange& change) { add(feature, change); }

  // The first change of the key, in the order of commits, that a load with this stamp and beginning did not
  // include. nullopt: none is held.
  [[nodiscard]] std::optional<HeardChange> first_missing(std::uint64_t key, StampBound stamp,
                                                         MonoTime loaded_at) const;
  // Changes of this key heard since `since`.
  [[nodiscard]] std::size_t count_since(std::uint64_t key, MonoTime since) const;
  // Every change applied at or after this moment is held.
  [[nodiscard]] MonoTime complete_since() const { return complete_since_; }
  // Nothing applied before is held for certain: a gap, another history, a start.
  void begin_anew(MonoTime now);
  // Changes that nobody will ask for any more.
  void forget_before(MonoTime applied);
  [[nodiscard]] std::size_t size() const { return order_.size(); }

 private:
  struct Place {
    std::uint64_t key;
    MonoTime applied;
  };
  // Of one key, in the order of application, which for one key is that of its commits. What lies before
  // `head` has been dropped; the room is given back now and then, not one by one.
  struct OfKey {
    std::vector<HeardChange> changes;
    std::size_t head = 0;
  };
  void drop_oldest();

  std::size_t changes_max_;
  std::unordered_map<std::uint64_t, OfKey> by_key_;  // keys are seeded hashes
  std::deque<Place> order_;
  MonoTime complete_since_{0};
};

}  // namespace candor
