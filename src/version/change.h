// A change: one committed write at the origin to one key, by anyone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "version/stamp.h"

namespace candor {

// Which life of an origin's history positions and change ids belong to. An origin that was restored from a
// backup, failed over to a standby that lagged, or is another database altogether counts from elsewhere: its
// feed names a new incarnation, and nothing stamped under the old one is compared with it. Random, never 0
// once known.
struct Incarnation {
  std::uint64_t value = 0;
  friend constexpr bool operator==(Incarnation, Incarnation) = default;
};

struct Change {
  enum class Scope : std::uint8_t {
    kKey,      // `key` of the feature
    kFeature,  // every key of the feature: TRUNCATE, a change whose key the feed could not tell
  };
  std::string feature;  // by name: nodes may number their features differently
  std::string key;      // without the feature's prefix; columns of a composite key joined by ':'
  Scope scope = Scope::kKey;
  ChangeId id;
  Position position;  // of its commit: the same for all changes of one transaction
  WallTime
      committed;  // by the origin's clock: for lag figures and people only, never compared for correctness
  friend bool operator==(const Change&, const Change&) = default;
};

// A watched feature whose changes nobody hears of: its table is missing, or cannot be watched. It lives by
// its ttl, and nothing is proven of it; the other features of its origin are not concerned.
struct Unheard {
  std::string feature;  // empty: every feature of the origin
  std::string reason;   // for people
  friend bool operator==(const Unheard&, const Unheard&) = default;
};
[[nodiscard]] inline bool is_unheard(const std::vector<Unheard>& unheard, std::string_view feature) {
  for (const Unheard& one : unheard)
    if (one.feature.empty() || one.feature == feature) return true;
  return false;
}

// What an origin says about where it stands, read in one statement.
struct OriginProbe {
  Incarnation incarnation;
  Position position;   // every change that was committed before this was asked for lies at or below it
  ChangeId all_up_to;  // every transaction with an id up to this one has ended and is visible to new loads
  ChangeId next;       // ids from here on had not been given out
};

}  // namespace candor
