// `candor rules`: the budgets of a configuration for Prometheus.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/alert_rules.h"
#include "app/tool.h"
#include "app/tool_config.h"
#include "base/units.h"

namespace candor::app {
namespace {

// Beyond it Prometheus itself forgets a series between two scrapes (its lookback is five minutes).
constexpr Duration kScrapeIntervalMax = 5min;
constexpr Duration kScrapeIntervalLeast = 1s;

struct RulesOptions {
  std::string file;
  std::string scrape_interval = "1m";
};

void rules(const RulesOptions& options, ToolRun& run) {
  const auto interval = parse_duration(options.scrape_interval);
  if (!interval || *interval < kScrapeIntervalLeast || *interval > kScrapeIntervalMax)
    throw CLI::ValidationError("--scrape-interval", interval ? "from 1s to 5m" : interval.error().message);
  const auto config = read_budgets(run, "rules", options.file);
  if (!config) return;
  const RuleFile file = alert_rules(*config, *interval);
  fmt::print("{}", run.json ? rules_json(file) : rules_yaml(file));
}

}  // namespace

void add_rules(CLI::App& tool, ToolRun& run) {
  auto options = std::make_shared<RulesOptions>();
  CLI::App* command = tool.add_subcommand(
      "rules", "Prints recording and alert rules for Prometheus that judge each budget as the daemon does");
  command->add_option("FILE", options->file, "The configuration")->required();
  command
      ->add_option("--scrape-interval", options->scrape_interval,
                   "How often Prometheus reads /metrics; no window is shorter than four of them")
      ->capture_default_str();
  add_json_flag(*command, run);
  command->footer(
      "Exit code 1 when no feature has a budget, 2 when the configuration has errors. docs/alerting.md\n"
      "explains each alert. Prometheus 2.42 or later.\n"
      "Example:\n"
      "  candor rules candor.toml > /etc/prometheus/rules/candor.yml\n"
      "  promtool check rules /etc/prometheus/rules/candor.yml");
  command->callback([options, &run] { rules(*options, run); });
}

}  // namespace candor::app
