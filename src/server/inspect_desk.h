// What the server needs to look into the node, for CANDOR.EXPLAIN and CANDOR.HOTKEYS. The app implements it
// over the same figures that its API shows. Thread safety: any thread; each `done` runs once, on the cache's
// home executor, unless the node ends first.
#pragma once

#include <cstddef>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "base/ids.h"
#include "monitor/hot_keys.h"

namespace candor::server {

class InspectDesk {
 public:
  using Done = std::move_only_function<void(nlohmann::json)>;
  virtual ~InspectDesk() = default;
  // As GET /api/v1/keys/{f}/{key}; keys are bytes, whatever they are.
  virtual void explain(FeatureId feature, std::string key, Done done) = 0;
  // As GET /api/v1/hotkeys; of these features.
  virtual void hot_keys(std::vector<FeatureId> features, std::size_t count, HotBy by, Done done) = 0;
  static constexpr std::size_t kHotKeysMost = 1000;
};

}  // namespace candor::server
