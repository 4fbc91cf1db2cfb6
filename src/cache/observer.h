// How others watch the cache without the cache knowing them: the monitor (later), traces, tests.
// Calls are made on the miss path's executor; they must be short and must not call back into the cache.
#pragma once

#include <optional>
#include <string_view>

#include "base/ids.h"
#include "base/time.h"
#include "version/change.h"
#include "version/stamp.h"

namespace candor {

enum class FillOutcome : std::uint8_t { kStored, kFenced, kRejected };

// Why a tier held what the origin does not: found by the sweep (cache/reconciler.h).
enum class Divergence : std::uint8_t {
  kLost,     // the change was committed, everything of its time is applied here, and nobody told of it
  kTtlOnly,  // nobody listens for this feature's changes
  kRace,     // the change was applied here, and the old value is held all the same
  kL2Only,   // L1 is right; L2 holds an old value that a reader of L2 would be given
};

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_load(KeyRef, Duration /*took*/, bool /*ok*/) {}
  virtual void on_fill(KeyRef, Stamp, FillOutcome) {}
  virtual void on_invalidate(KeyRef, const char* /*cause*/) {}
  // Whatever is held of a feature may be old, or of all features (nullopt): a flush, a gap, a change whose
  // key nobody knows.
  virtual void on_invalidate_feature(std::optional<FeatureId>) {}
  // A change has been applied here: of one key, or of every key of the feature (nullopt).
  virtual void on_change_applied(FeatureId, std::optional<std::string_view> /*key*/, const Change&) {}
  // A value of a feature whose changes nobody hears of was loaded again, so long after the load before it.
  virtual void on_reload(KeyRef, Duration /*interval*/, bool /*changed*/) {}
  // What is held of the key is wrong, and is dropped now.
  virtual void on_divergence(KeyRef, Divergence) {}
  // Every change of this origin that was committed before `fresh_as_of` has been applied here.
  virtual void on_proven(std::string_view /*origin*/, MonoTime /*fresh_as_of*/) {}
};

}  // namespace candor
