#include "app/tool_config.h"

#include <algorithm>

namespace candor::app {

std::optional<Config> read_budgets(ToolRun& run, const char* command, const std::string& file) {
  ConfigReading reading = read_config_without_secrets(file);
  const auto error = std::ranges::find_if(reading.findings, &Finding::is_error);
  if (error != reading.findings.end()) {
    report_failure(run, command, error->to_string() + "; `candor check` shows all that is wrong");
    run.exit_code = kExitUsage;
    return std::nullopt;
  }
  if (std::ranges::none_of(reading.config.features, [](const auto& f) { return f.budget.has_value(); })) {
    report_failure(run, command, file + ": no feature has a budget: add [features.NAME.budget]");
    return std::nullopt;
  }
  return std::move(reading.config);
}

}  // namespace candor::app
