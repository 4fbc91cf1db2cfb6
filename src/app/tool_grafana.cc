// `candor grafana`: the budgets of a configuration as a dashboard.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/grafana.h"
#include "app/tool.h"
#include "app/tool_config.h"

namespace candor::app {

void add_grafana(CLI::App& tool, ToolRun& run) {
  auto file = std::make_shared<std::string>();
  CLI::App* command = tool.add_subcommand("grafana", "Prints a dashboard for Grafana 10 or later, as JSON");
  command->add_option("FILE", *file, "The configuration")->required();
  add_json_flag(*command, run);
  command->footer(
      "Exit code 1 when no feature has a budget, 2 when the configuration has errors.\n"
      "Example:\n"
      "  candor grafana candor.toml > candor.json     then import it: Dashboards, New, Import");
  command->callback([file, &run] {
    if (const auto config = read_budgets(run, "grafana", *file)) fmt::print("{}", grafana_dashboard(*config));
  });
}

}  // namespace candor::app
