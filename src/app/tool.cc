#include "app/tool.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "app/version.h"

namespace candor::app {
namespace {

constexpr const char* kFooter =
    "Examples:\n"
    "  candor check candor.toml               everything that is wrong with a configuration\n"
    "  candor plan candor.toml --rates r.toml can each budget be kept, by what, at what cost\n"
    "  candor status                          what the daemon on this machine is doing\n"
    "  candor capacity                        what more or less memory would do\n"
    "  candor get profile:42                  a value, the tier it came from, and its age\n"
    "  candor replay t.csv.gz --format csvkey:1 --objects 1000\n"
    "                                         the miss ratio of a trace on the real cache\n"
    "  candor feed install candor.toml        the triggers that tell of changes in SQLite files\n"
    "  candor budget                          every budget: predicted, measured, what is left of it\n"
    "  candor rules candor.toml               the same budgets as rules for Prometheus\n"
    "  candor grafana candor.toml             and as a dashboard for Grafana\n"
    "  candor warm candor.toml                load what will be read, and watch how far it is\n"
    "  candor sim --seed 1 --hours 10         every promise, against simulated faults\n"
    "Each command explains itself: candor COMMAND --help. Exit codes: 0 good, 1 a finding, 2 wrong usage.";

}  // namespace

void add_json_flag(CLI::App& command, ToolRun& run) {
  command.add_flag("--json", run.json, "Answer as one JSON document");
}

void report_failure(ToolRun& run, const char* command, const std::string& message) {
  run.exit_code = kExitFinding;
  if (run.json)
    fmt::print("{}\n", nlohmann::json{{"error", message}}.dump(2, ' ', false,
                                                               nlohmann::json::error_handler_t::replace));
  else
    fmt::print(stderr, "candor {}: {}\n", command, message);
}

int run_tool(int argc, char** argv) {
  CLI::App tool("The tool of Candor, a cache that knows how stale it is.", "candor");
  tool.set_version_flag("--version", std::string("candor ") + kVersion);
  tool.footer(kFooter);
  tool.require_subcommand(1);
  ToolRun run;
  add_check(tool, run);
  add_plan(tool, run);
  add_status(tool, run);
  add_capacity(tool, run);
  add_get(tool, run);
  add_replay(tool, run);
  add_feed(tool, run);
  add_writes(tool, run);
  add_sim(tool, run);
  add_hash_password(tool, run);
  add_budget(tool, run);
  add_rules(tool, run);
  add_grafana(tool, run);
  add_warm(tool, run);
  try {
    tool.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return tool.exit(error) == 0 ? kExitGood : kExitUsage;
  }
  return run.exit_code;
}

}  // namespace candor::app
