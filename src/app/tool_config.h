// The configuration of a subcommand that turns budgets into files for other programs.
#pragma once

#include <optional>
#include <string>

#include "app/config.h"
#include "app/tool.h"

namespace candor::app {

// None, with the reason said and the exit code set: a configuration with errors is wrong usage, one without a
// budget a finding. Passwords are not read.
[[nodiscard]] std::optional<Config> read_budgets(ToolRun& run, const char* command, const std::string& file);

}  // namespace candor::app
