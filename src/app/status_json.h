// A node's report as JSON: /api/v1/status, /api/v1/features and the events of the dashboard.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "app/node_report.h"
#include "app/timeline.h"

namespace candor::app {

// At most `features_max` features, those with the most reads first.
[[nodiscard]] nlohmann::json status_json(const NodeReport& report, std::size_t features_max);
[[nodiscard]] nlohmann::json feature_json(const FeatureReport& feature);
[[nodiscard]] nlohmann::json point_json(const TimelinePoint& point);

// Bytes that are not UTF-8 are replaced: names come from a file, keys from clients.
[[nodiscard]] std::string dump_json(const nlohmann::json& value);

}  // namespace candor::app
