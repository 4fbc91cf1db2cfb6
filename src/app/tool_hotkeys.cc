// `candor hotkeys`: the hottest keys of a running daemon, with the bounds of each figure.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/explain_json.h"
#include "app/terminal_text.h"
#include "app/tool.h"
#include "app/tool_daemon.h"

namespace candor::app {
namespace {

using nlohmann::json;

struct HotKeysOptions {
  std::string feature;
  std::size_t count = 20;
  std::string by = "reads";
  RespAddress resp;
};

// "1.2k (1.1k-1.3k)"
std::string figure_text(const json& figure) {
  if (!figure.is_object()) return "-";
  return fmt::format("{} ({}-{})", short_number(figure["per_second"].get<double>()),
                     short_number(figure["low"].get<double>()), short_number(figure["high"].get<double>()));
}

void print_hot_keys(const json& answer) {
  if (!answer.value("enabled", false))
    return fmt::print("this daemon does not look for hot keys: [hotkeys] enabled is false\n");
  const std::string by = answer["by"].get<std::string>();
  fmt::print("by {}; a second, with the bounds of the truth; what is a minute old counts half\n\n", by);
  fmt::print("{:<44} {:>22} {:>22} {:>22} {:>22}\n", "key", "reads", "bytes", "misses", "changes");
  for (const json& one : answer["keys"])
    fmt::print("{:<44} {:>22} {:>22} {:>22} {:>22}\n",
               printable_within(one["feature"].get<std::string>() + ":" + one["key"].get<std::string>(), 44),
               figure_text(one["reads"]), figure_text(one["bytes"]), figure_text(one["misses"]),
               figure_text(one["changes"]));
  if (answer["keys"].empty()) fmt::print("none yet\n");
  fmt::print("\n");
  for (const json& one : answer["features"])
    fmt::print("{}: {} {} a second in all; a key that is not followed has at most {}\n",
               printable(one["feature"].get<std::string>()), short_number(one["per_second"].get<double>()),
               by, short_number(one["unlisted_at_most"].get<double>()));
}

void hot_keys(const HotKeysOptions& options, ToolRun& run) {
  std::vector<std::string> command = {"CANDOR.HOTKEYS"};
  if (!options.feature.empty()) command.push_back(options.feature);
  command.insert(command.end(), {std::to_string(options.count), "BY", options.by});
  auto answer = resp_answer(options.resp, command);
  if (!answer) return report_failure(run, "hotkeys", answer.error().message);
  if (!run.json) return print_hot_keys(*answer);
  mark_binary_keys(*answer);
  fmt::print("{}\n", answer->dump(2, ' ', false, json::error_handler_t::replace));
}

}  // namespace

void add_hotkeys(CLI::App& tool, ToolRun& run) {
  auto options = std::make_shared<HotKeysOptions>();
  CLI::App* command = tool.add_subcommand(
      "hotkeys", "Lists the hottest keys of a running daemon: by reads, bytes, misses or changes");
  command->add_option("FEATURE", options->feature, "Of this feature only");
  command->add_option("-n,--count", options->count, "How many")
      ->capture_default_str()
      ->check(CLI::Range(std::size_t{1}, std::size_t{1000}));
  command->add_option("--by", options->by, "What counts")
      ->capture_default_str()
      ->check(CLI::IsMember({"reads", "bytes", "misses", "changes"}));
  add_resp_options(*command, options->resp);
  add_json_flag(*command, run);
  command->footer(
      "Reads come from a sample, misses (loads at the origin) and changes are counted one by one.\n"
      "Examples:\n  candor hotkeys\n  candor hotkeys profile -n 5 --by changes --json");
  command->callback([options, &run] { hot_keys(*options, run); });
}

}  // namespace candor::app
