// /api/v1/capacity.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "app/node_report.h"

namespace candor::app {

// What is not known is null: a figure without reads is not zero.
[[nodiscard]] nlohmann::json capacity_json(const NodeReport& report);

}  // namespace candor::app
