// The dashboard of a configuration's budgets, as Grafana 10 and later imports it. Pure, and the same for the
// same configuration. Every query names a metric of metrics.h's table.
#pragma once

#include <string>

#include "app/config.h"

namespace candor::app {

[[nodiscard]] std::string grafana_dashboard(const Config& config);

}  // namespace candor::app
