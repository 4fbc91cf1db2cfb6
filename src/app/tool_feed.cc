// `candor feed install|remove|status`: the change log of SQLite origins; what PostgreSQL and Redis do by
// themselves.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/config.h"
#include "app/river.h"
#include "app/tool.h"
#include "change/sqlite_install.h"
#include "origin/sqlite_connection.h"

namespace candor::app {
namespace {

using nlohmann::json;

enum class FeedVerb : std::uint8_t { kInstall, kRemove, kStatus };

struct FeedArguments {
  std::string file, origin;
};

const char* verb_name(FeedVerb verb) {
  return verb == FeedVerb::kInstall  ? "feed install"
         : verb == FeedVerb::kRemove ? "feed remove"
                                     : "feed status";
}

json to_json(const SqliteFeedState& state) {
  json watches = json::array();
  for (const SqliteWatchState& w : state.watches)
    watches.push_back({{"table", w.table},
                       {"columns", w.columns},
                       {"installed", w.installed},
                       {"problem", w.problem},
                       {"warnings", w.warnings}});
  return {{"has_log", state.has_log},
          {"incarnation", fmt::format("{:016x}", state.incarnation.value)},
          {"position", state.position.value},
          {"log_rows", state.log_rows},
          {"watches", std::move(watches)}};
}

void print_state(const std::string& origin, const SqliteFeedState& state) {
  fmt::print("origin {}: {}\n", origin,
             state.has_log ? fmt::format("change log at {}, {} rows", state.position.value, state.log_rows)
                           : std::string("no change log"));
  for (const SqliteWatchState& w : state.watches) {
    fmt::print("  {} ({}): {}\n", w.table, w.columns,
               w.installed          ? "triggers installed"
               : !w.problem.empty() ? w.problem
                                    : "no triggers; run candor feed install");
    for (const std::string& warning : w.warnings) fmt::print("  warning: {}\n", warning);
  }
}

Result<void> run_sqlite(FeedVerb verb, const OriginConfig& origin, const std::vector<Watch>& watches,
                        bool is_json, json* out, ToolRun& run) {
  const auto file = parse_sqlite_url(origin.name, origin.url);
  if (!file) return std::unexpected(file.error());
  Result<SqliteFeedState> state;
  if (verb == FeedVerb::kRemove) {
    if (auto done = remove_sqlite_feed(file->path); !done) return done;
    std::error_code ignored;
    for (const char* suffix : {"-candor", "-candor-wal", "-candor-shm"})
      std::filesystem::remove(file->path + suffix, ignored);
    state = sqlite_feed_state(file->path, {});
  } else {
    state = verb == FeedVerb::kInstall ? install_sqlite_feed(file->path, watches)
                                       : sqlite_feed_state(file->path, watches);
  }
  if (!state) return std::unexpected(state.error());
  for (const SqliteWatchState& w : state->watches)
    if (!w.installed) run.exit_code = kExitFinding;
  if (is_json)
    (*out)[origin.name] = to_json(*state);
  else
    print_state(origin.name, *state);
  return {};
}

// The seam for the other kinds of origin.
std::string said_of(const OriginConfig& origin) {
  if (origin.url.starts_with("postgres"))
    return "candord makes its publication and its replication slot by itself where its rights allow, and "
           "prints the exact SQL where they do not; see docs/change-feeds.md";
  return "nothing is installed for this kind of origin; see docs/change-feeds.md";
}

Result<void> run_one(FeedVerb verb, const Config& config, const OriginConfig& origin, ToolRun& run,
                     json* out) {
  const auto watches = watches_of(config, origin.name);
  if (origin.url.starts_with("sqlite:")) {
    if (watches.empty() && verb == FeedVerb::kInstall) {
      if (!run.json) fmt::print("origin {}: no feature has `watch`: nothing to install\n", origin.name);
      return {};
    }
    return run_sqlite(verb, origin, watches, run.json, out, run);
  }
  if (run.json)
    (*out)[origin.name] = {{"note", said_of(origin)}};
  else
    fmt::print("origin {}: {}\n", origin.name, said_of(origin));
  return {};
}

void feed(FeedVerb verb, const FeedArguments& arguments, ToolRun& run) {
  const ConfigReading reading = read_config_file(arguments.file);
  if (reading.has_errors())
    return report_failure(run, verb_name(verb),
                          fmt::format("{} has errors; run candor check {}", arguments.file, arguments.file));
  if (!arguments.origin.empty() && reading.config.find_origin(arguments.origin) == nullptr)
    return report_failure(run, verb_name(verb), fmt::format("no origin is named \"{}\"", arguments.origin));
  json out = json::object();
  for (const OriginConfig& origin : reading.config.origins) {
    if (!arguments.origin.empty() && origin.name != arguments.origin) continue;
    if (auto done = run_one(verb, reading.config, origin, run, &out); !done)
      return report_failure(run, verb_name(verb),
                            fmt::format("origin {}: {}", origin.name, done.error().message));
  }
  if (run.json) fmt::print("{}\n", out.dump(2, ' ', false, json::error_handler_t::replace));
}

void add_verb(CLI::App& feeds, ToolRun& run, FeedVerb verb, const char* name, const char* what) {
  auto arguments = std::make_shared<FeedArguments>();
  CLI::App* command = feeds.add_subcommand(name, what);
  command->add_option("CONFIG", arguments->file, "The configuration")->required();
  command->add_option("--origin", arguments->origin, "Only this origin; default: all");
  add_json_flag(*command, run);
  command->callback([arguments, verb, &run] { feed(verb, *arguments, run); });
}

}  // namespace

void add_feed(CLI::App& tool, ToolRun& run) {
  CLI::App* feeds =
      tool.add_subcommand("feed", "Change feeds: triggers in SQLite files, and what others need");
  feeds->require_subcommand(1);
  add_verb(*feeds, run, FeedVerb::kInstall, "install",
           "Puts the change log and its triggers into SQLite origins; again is harmless");
  add_verb(*feeds, run, FeedVerb::kRemove, "remove",
           "Takes the change log and its triggers away again; stop candord first");
  add_verb(*feeds, run, FeedVerb::kStatus, "status", "Says which watched tables have their triggers");
  feeds->footer(
      "candord never changes a schema by itself: where triggers are missing it says so and goes on without.\n"
      "Examples:\n  candor feed install candor.toml\n  candor feed status candor.toml --json");
}

}  // namespace candor::app
