// The daemon's log: one line a message, to standard error. Values and passwords never appear in it.
#pragma once

#include <string>

namespace candor::app {

void start_log();
// debug, info, warn or error.
void set_log_level(const std::string& level);

}  // namespace candor::app
