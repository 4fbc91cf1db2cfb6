// Who is shown what L1 evicts, at the moment it leaves: the seam below which a larger, slower tier begins.
#pragma once

#include <string_view>

#include "base/ids.h"
#include "tier/l1/entry_view.h"

namespace candor::l1 {

class EvictionSink {
 public:
  virtual ~EvictionSink() = default;
  // Under the lock of the entry's shard, on whatever thread made room: it must not call the store, wait, or
  // take long. `view` is valid during the call. Only what eviction takes comes here: not what expired, was
  // erased or replaced.
  virtual void on_evicted(FeatureId feature, KeyHash hash, std::string_view key,
                          const EntryView& view) noexcept = 0;
};

}  // namespace candor::l1
