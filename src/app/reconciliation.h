// The sweep of one node: wired to its origins, its monitor and its region, and how it is told.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/node_report.h"
#include "app/region_desk.h"
#include "cache/cache.h"

namespace candor::app {

// `concerned`: the features of the configuration, by FeatureId; what is loaded by a function of the program
// is not asked for behind its back. The rest outlives the cache.
struct ReconcileWiring {
  const std::vector<FeatureConfig>* concerned = nullptr;
  std::function<bool(std::string_view origin)> origin_suffers{};
  std::function<bool(KeyRef, StampBound, MonoTime)> was_told{};
  std::function<RegionDesk*()> region{};  // null: this node is alone
};
[[nodiscard]] CacheCore::ReconcileOptions reconcile_options(const ReconcileConfig& config,
                                                            ReconcileWiring wiring);

// `divergence_per_million` is null where nothing was judged: not measured is not zero.
[[nodiscard]] nlohmann::json reconciliation_json(const NodeReport& report);

}  // namespace candor::app
