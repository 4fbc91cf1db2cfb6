// The command line tool, `candor`. Each subcommand is a file of its own (tool_*.cc) that adds itself to the
// parser. Exit codes: 0 good, 1 a finding or a failure, 2 wrong usage.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace candor::app {

inline constexpr int kExitGood = 0;
inline constexpr int kExitFinding = 1;
inline constexpr int kExitUsage = 2;

// What subcommands share: the answer's form, and the exit code that the one that ran leaves.
struct ToolRun {
  bool json = false;
  int exit_code = kExitGood;
};

// Adds --json to a subcommand.
void add_json_flag(CLI::App& command, ToolRun& run);
// "candor get: what, what to do" on standard error, or {"error": …} on standard output; leaves kExitFinding.
void report_failure(ToolRun& run, const char* command, const std::string& message);

void add_check(CLI::App& tool, ToolRun& run);
void add_plan(CLI::App& tool, ToolRun& run);
void add_status(CLI::App& tool, ToolRun& run);
void add_capacity(CLI::App& tool, ToolRun& run);
void add_get(CLI::App& tool, ToolRun& run);
void add_replay(CLI::App& tool, ToolRun& run);
void add_feed(CLI::App& tool, ToolRun& run);
void add_writes(CLI::App& tool, ToolRun& run);
void add_sim(CLI::App& tool, ToolRun& run);
void add_hash_password(CLI::App& tool, ToolRun& run);
void add_budget(CLI::App& tool, ToolRun& run);
void add_rules(CLI::App& tool, ToolRun& run);
void add_grafana(CLI::App& tool, ToolRun& run);
void add_warm(CLI::App& tool, ToolRun& run);

[[nodiscard]] int run_tool(int argc, char** argv);

}  // namespace candor::app
