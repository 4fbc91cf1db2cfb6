// What no single key can tell: references, limits that contradict each other, promises that cannot be kept.
#pragma once

#include <vector>

#include "app/config.h"

namespace candor::app {

// Appends findings; `config` has been filled from its table.
void check_config(const Config& config, std::vector<Finding>& findings);

}  // namespace candor::app
