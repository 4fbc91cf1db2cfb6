// `candor writes list|replay|drop`: writes that the origin refused, of a running daemon.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/tool.h"
#include "app/tool_daemon.h"

namespace candor::app {
namespace {

using nlohmann::json;

// Replays wait for the log's sync, one after the other.
constexpr Duration kReplayAnswerTimeout = 60s;

struct WritesArguments {
  std::string file, feature;
  std::optional<std::uint64_t> position;
  bool all = false;
};

void print_letters(const std::string& verb, const json& letters) {
  const char* done = verb == "replay" ? "replayed" : verb == "drop" ? "dropped" : "";
  for (const json& one : letters) {
    const auto problem = one["problem"].get<std::string>();
    fmt::print("{:<16} {:>16} {} {}:{} ({} bytes)  {}{}\n", one["feature"].get<std::string>(),
               one["position"].get<std::uint64_t>(), one["what"].get<std::string>(),
               one["feature"].get<std::string>(),
               json(one["key"]).dump(-1, ' ', true, json::error_handler_t::replace),
               one["value_bytes"].get<std::uint64_t>(), one["reason"].get<std::string>(),
               !problem.empty() ? "  FAILED: " + problem
               : *done != '\0'  ? fmt::format("  {}", done)
                                : "");
  }
  if (letters.empty()) fmt::print("no dead letters\n");
}

void writes(const std::string& verb, const WritesArguments& arguments, ToolRun& run) {
  const std::string command = "writes " + verb;
  if (verb != "list" && !arguments.all && !arguments.position)
    return report_failure(run, command.c_str(),
                          "name one with --position N (and --feature NAME), or say --all");
  if (arguments.position && arguments.feature.empty())
    return report_failure(run, command.c_str(), "positions count by feature; add --feature NAME");
  json body = {{"do", verb}};
  if (!arguments.feature.empty()) body["feature"] = arguments.feature;
  if (arguments.position) body["position"] = *arguments.position;
  const auto answer = post_to_daemon(arguments.file, "/api/v1/writes", body, kReplayAnswerTimeout);
  if (!answer) return report_failure(run, command.c_str(), answer.error().message);
  const json& letters = (*answer)["dead_letters"];
  for (const json& one : letters)
    if (verb == "list" || !one["problem"].get<std::string>().empty()) run.exit_code = kExitFinding;
  if (run.json)
    fmt::print("{}\n", answer->dump(2, ' ', false, json::error_handler_t::replace));
  else
    print_letters(verb, letters);
}

void add_verb(CLI::App& parent, ToolRun& run, const char* verb, const char* what) {
  auto arguments = std::make_shared<WritesArguments>();
  CLI::App* command = parent.add_subcommand(verb, what);
  command->add_option("CONFIG", arguments->file, "The configuration of the running candord")->required();
  command->add_option("--feature", arguments->feature, "Only of this feature; default: of all");
  command->add_option("--position", arguments->position, "Only the one with this number, from `list`");
  if (std::string_view(verb) != "list") command->add_flag("--all", arguments->all, "All of them");
  add_json_flag(*command, run);
  command->callback([arguments, verb, &run] { writes(verb, *arguments, run); });
}

}  // namespace

void add_writes(CLI::App& tool, ToolRun& run) {
  CLI::App* parent =
      tool.add_subcommand("writes", "Dead letters of write-behind: writes that the origin refused");
  parent->require_subcommand(1);
  add_verb(*parent, run, "list", "Lists them, and why each was refused; exit code 1 when there are any");
  add_verb(*parent, run, "replay", "Writes them once more, after everything that came since");
  add_verb(*parent, run, "drop", "Gives them up");
  parent->footer(
      "A replayed write takes the place of what was written to its key since. See docs/write-behind.md.\n"
      "Examples:\n  candor writes list candor.toml\n  candor writes replay candor.toml --feature profile "
      "--position 17");
}

}  // namespace candor::app
