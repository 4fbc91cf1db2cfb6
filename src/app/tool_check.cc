#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/config.h"
#include "app/metrics.h"
#include "app/tool.h"

namespace candor::app {
namespace {

struct CheckOptions {
  std::string file;
  bool print_reference = false;
  bool print_metrics = false;
};

nlohmann::json to_json(const Finding& finding) {
  return {{"severity", finding.is_error() ? "error" : "warning"},
          {"file", finding.file},
          {"line", finding.line},
          {"key", finding.key},
          {"text", finding.text}};
}

void print_json(const ConfigReading& reading) {
  nlohmann::json findings = nlohmann::json::array();
  for (const Finding& finding : reading.findings) findings.push_back(to_json(finding));
  const nlohmann::json out = {{"good", !reading.has_errors()}, {"findings", findings}};
  fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_text(const ConfigReading& reading) {
  std::size_t errors = 0;
  for (const Finding& finding : reading.findings) {
    if (finding.is_error()) ++errors;
    fmt::print("{}\n", finding.to_string());
  }
  const std::size_t warnings = reading.findings.size() - errors;
  const auto plural = [](std::size_t n) { return n == 1 ? "" : "s"; };
  if (errors > 0)
    fmt::print("{} error{}, {} warning{}: candord will not start with this file\n", errors, plural(errors),
               warnings, plural(warnings));
  else
    fmt::print("{}: good, {} feature{}, {} warning{}\n", reading.config.file, reading.config.features.size(),
               plural(reading.config.features.size()), warnings, plural(warnings));
}

void check(const CheckOptions& options, ToolRun& run) {
  if (options.print_reference) return fmt::print("{}", config_reference());
  if (options.print_metrics) return fmt::print("{}", metrics_reference());
  if (options.file.empty()) {
    fmt::print(stderr, "candor check: name a file: candor check candor.toml\n");
    run.exit_code = kExitUsage;
    return;
  }
  const ConfigReading reading = read_config_file(options.file);
  if (run.json)
    print_json(reading);
  else
    print_text(reading);
  if (reading.has_errors()) run.exit_code = kExitFinding;
}

}  // namespace

void add_check(CLI::App& tool, ToolRun& run) {
  auto options = std::make_shared<CheckOptions>();
  CLI::App* command = tool.add_subcommand(
      "check", "Says everything that is wrong with a configuration, without starting anything");
  command->add_option("FILE", options->file, "The configuration");
  command->add_flag("--print-reference", options->print_reference,
                    "Print docs/configuration.md: every key, type and default");
  command->add_flag("--print-metrics", options->print_metrics, "Print docs/metrics.md: every metric");
  add_json_flag(*command, run);
  command->footer(
      "Every finding is one line, FILE:LINE: key: what is wrong; what to do. Warnings do not stop candord.\n"
      "Example:\n  candor check candor.toml && candord --config candor.toml");
  command->callback([options, &run] { check(*options, run); });
}

}  // namespace candor::app
