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
enum class Tier : std::uint8_t;
enum class Consistency : std::uint8_t;

// How a read that left L1 was answered, and what its time went into. The rest of `took` is the line: waiting
// for home, for another's load, for a place at the origin's limit.
struct AnsweredRead {
  Tier tier{};
  Consistency level{};
  bool negative = false;
  const char* degraded = nullptr;  // a static string
  std::string_view error;          // of static storage; empty: none
  Duration took{0}, in_l2{0}, in_origin{0};
  Duration age{0};
  std::optional<Duration> fresh_within{};
  std::size_t value_bytes = 0;
};

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
  // L2 held it; the load that it came from was so long ago.
  virtual void on_l2_hit(KeyRef, Stamp, Duration /*age*/, FillOutcome) {}
  virtual void on_answered(KeyRef, const AnsweredRead&) {}
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
