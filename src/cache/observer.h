// How others watch the cache without the cache knowing them: the monitor (later), traces, tests.
// Calls are made on the miss path's executor; they must be short and must not call back into the cache.
#pragma once

#include <optional>

#include "base/ids.h"
#include "base/time.h"
#include "version/stamp.h"

namespace candor {

enum class FillOutcome : std::uint8_t { kStored, kFenced, kRejected };

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_load(KeyRef, Duration /*took*/, bool /*ok*/) {}
  virtual void on_fill(KeyRef, Stamp, FillOutcome) {}
  virtual void on_invalidate(KeyRef, const char* /*cause*/) {}
  // Whatever is held of a feature may be old, or of all features (nullopt): a flush, a gap, a change whose
  // key nobody knows.
  virtual void on_invalidate_feature(std::optional<FeatureId>) {}
};

}  // namespace candor
