// What the operating system says of this process, and the machine's name. From /proc: other systems give
// zeros.
#pragma once

#include <string>

#include "app/node_report.h"

namespace candor::app {

// `start_time`: when this process began, for process_start_time_seconds.
[[nodiscard]] ProcessReport process_report(WallTime start_time);
[[nodiscard]] std::string machine_name();

}  // namespace candor::app
