// L1's markers of one origin: what a load must include to be stored on this node. Consulted when a value is
// to be stored, whether it came from the origin or from L2; never on the hit path.
//
//   writer: UPDATE commits, its change is decoded      reader: misses (the entry was dropped), loads …
//   the change is applied here: marker                 … the OLD row: PostgreSQL shows the commit to new
//   snapshots L1 and L2 drop the entry                              only when a synchronous standby has
//   answered
//                                                      fill: its snapshot does not include the change:
//                                                      refused
//
// Two reasons to be here
//   - a change that was applied: its ids. Ends when the change is visible to every load that may still store
//     (retire()), and L2, which may hold what it made old, was told of it.
//   - a load that a reader of this node has seen: its stamp. Until this node has applied everything that the
//   load saw,
//     nothing older may be stored, or a reader would step back. Ends with prove().
//
// Invariants
//   - Never more than `names_max` names. The oldest beyond it becomes part of its feature's marker:
//   conservative.
//   - allows() is false for every stamp that misses a change that was added and not retired.
// Pure; belongs to the cache's home executor.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/hash.h"
#include "base/time.h"
#include "version/marker.h"
#include "version/stamp.h"

namespace candor {

class KeyMarkers {
 public:
  KeyMarkers(std::size_t names_max, std::uint64_t seed)
      : names_max_(names_max), names_(16, SeededHash{seed}), features_(16, SeededHash{seed}) {}

  // `name` is `feature:key`. `l2_position`: stays until L2 has been told up to there; 0: L2 knows already.
  void add_change(std::string_view name, ChangeId change, Position l2_position);
  // Every key of the feature (its name, without a colon).
  void add_feature_change(std::string_view feature, ChangeId change, Position l2_position);
  // A reader was, or will be, given a value loaded under `stamp`, at `when`.
  void add_seen(std::string_view name, const Stamp& stamp, MonoTime when);

  [[nodiscard]] bool allows(std::string_view name, const Stamp& stamp) const;
  // May what this bound stands for stay where it is, after a change of its key? Conservative.
  [[nodiscard]] static bool keeps(StampBound bound, ChangeId change) { return bound.includes(change); }

  // Changes with ids up to `visible` are seen by every load that may still store; L2 was told up to
  // `l2_told`.
  void retire(ChangeId visible, Position l2_told);
  // Every change committed before `fresh_as_of` is applied here.
  void prove(MonoTime fresh_as_of);
  // Another history: no id can be compared any more.
  void clear();

  [[nodiscard]] std::size_t size() const { return names_.size() + features_.size(); }
  // What is asked of a load of this name; nothing: no marker. Of a feature's marker as well.
  struct Asked {
    ChangeId change{};            // it has to include this one; 0: none
    bool seen_by_reader = false;  // and all that a reader's load saw
    bool of_feature = false;      // the change was of the whole feature
  };
  [[nodiscard]] std::optional<Asked> asked_of(std::string_view name) const;

 private:
  struct Entry {
    Marker changes;
    Position l2_position;
    std::optional<Stamp> seen;
    MonoTime seen_at{0};
    std::uint64_t ticket = 0;  // the latest of its places in line_

    [[nodiscard]] bool done(ChangeId visible, Position l2_told, MonoTime proven) const {
      const bool changes_done = changes.empty() || (changes.highest() <= visible && l2_position <= l2_told);
      return changes_done && (!seen || seen_at < proven);
    }
  };
  using Table = std::unordered_map<std::string, Entry, SeededHash, std::equal_to<>>;
  // First in, first looked at: retiring looks at the front only. An entry that was renewed has a later place
  // and is skipped at its earlier one.
  struct Place {
    std::string name;
    std::uint64_t ticket = 0;
  };

  Entry& entry(std::string_view name);
  void make_room();
  void pass_front();
  void retire_features();

  std::size_t names_max_;
  Table names_;
  Table features_;
  std::deque<Place> line_;
  std::uint64_t next_ticket_ = 1;
  ChangeId visible_;
  Position l2_told_;
  MonoTime proven_{0};
};

}  // namespace candor
