// What is known of one key on this node, for people: what each tier holds, whether a reader would be given it
// now and why not, and what stands in the way of a load. The reasons are static strings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "version/stamp.h"

namespace candor {

enum class Consistency : std::uint8_t;

struct TierExplanation {
  bool exists = false;  // this node has the tier, and the feature uses it
  std::string problem;  // why it could not be looked at; empty: it was
  bool held = false;
  bool negative = false;  // "no such row"
  std::size_t value_bytes = 0;
  std::size_t cost_bytes = 0;            // with key, header and share of the index; 0: not known
  Stamp stamp;                           // of L1 its bound only
  Duration age{0};                       // since the load began
  std::optional<Duration> ttl_left;      // below zero: past it; nothing: no expiry
  std::optional<Duration> fresh_within;  // how long ago it can have been superseded, at most
  bool is_pending = false;               // an acknowledged write that the origin may not have yet
  bool age_is_l2s = false;               // told by L2's clock: no proof
  bool served = false;  // to a reader at the feature's level who asks now, if nobody above answers
  const char* why = "";
};

// What a load of the key has to include to be stored here.
struct MarkerExplanation {
  ChangeId change;              // 0: none
  bool of_feature = false;      // the change was of the whole feature
  bool seen_by_reader = false;  // and all that a load saw which was given to a reader
};

struct KeyExplanation {
  Consistency level{};
  TierExplanation l1, disk, l2;

  // ---- the proof ----
  bool is_watched = false;             // the origin's changes are heard of
  bool is_heard = false;               // and this feature's among them, now
  std::optional<Duration> proven_ago;  // every change committed before then is applied here
  Position applied;                    // of the origin's stream, here
  bool floor_is_unsettled = false;     // nothing of the feature is trusted
  std::optional<Duration> floor_ago;   // what was loaded before then is suspect
  std::optional<Duration> load_cost;   // a load of the feature takes, on average

  // ---- the state of the key ----
  std::optional<MarkerExplanation> marker;
  bool is_loading = false;     // a load that would be stored is under way
  std::size_t waiting = 0;     // readers of it
  bool is_owed_to_l2 = false;  // L2 has not been told of an invalidation: not read from it
  bool is_unsettled = false;   // a write timed out and may still commit: nothing of the key is kept
  bool is_pending = false;     // an acknowledged write waits for its batch
};

}  // namespace candor
