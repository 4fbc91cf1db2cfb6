// `candor capacity`: is L1 large enough, what would more do, and who should have it.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/blocking_client.h"
#include "app/terminal_text.h"
#include "app/tool.h"
#include "base/units.h"

namespace candor::app {
namespace {

using nlohmann::json;

// The trend of a limit that is reached within this time is a finding.
constexpr double kSoonDays = 7;

struct CapacityOptions {
  std::string at = "127.0.0.1:8390";
};

std::string percent(const json& fraction) {
  if (!fraction.is_number()) return "-";
  return fmt::format("{:.1f}%", 100.0 * fraction.get<double>());
}

// Names come from a daemon that may be anything: what a terminal would obey becomes '?'.
std::string plain(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20U || c == 0x7F) c = '?';
  return text;
}

void print_row(const std::string& name, const json& one) {
  fmt::print("{:<20.20} {:>9.0f} {:>7}", name, one["reads_per_second"].get<double>(),
             percent(one["hit_ratio"]));
  if (!one["reads_l1"].get<bool>()) return fmt::print("   never reads L1\n");
  for (const json& size : one["at"])
    fmt::print("  {:>6} {:>7.1f}/s", percent(size["hit_ratio"]), size["loads_per_second"].get<double>());
  fmt::print("  {:>11} {:>11}\n", mebibytes(one["bytes"]), mebibytes(one["deserved_bytes"]));
}

void print_curves(const json& curves) {
  if (!curves.is_object()) return fmt::print("no curves: [capacity] share is 0, or L1 has less than 8 MiB\n");
  fmt::print(
      "hit ratio of L1, and loads of the origin, with so many times its memory (counts of the last {})\n\n",
      format_duration(std::chrono::seconds(curves["window_seconds"].get<std::int64_t>())));
  fmt::print("{:<20} {:>9} {:>7}", "feature", "reads/s", "now");
  for (const char* const factor : {"0.5x", "1x", "2x", "4x"}) fmt::print("  {:>6} {:>9}", factor, "loads");
  fmt::print("  {:>11} {:>11}\n", "has", "deserves");
  for (const json& one : curves["features"]) print_row(plain(one["feature"].get<std::string>()), one);
  print_row("all", curves["all"]);
  fmt::print("\n{} of reads no memory would answer: keys read for the first time or changed since.\n",
             percent(curves["all"]["cold_fraction"]));
}

void print_trends(const json& trends) {
  for (const json& trend : trends) {
    const auto of = trend["of"].get<std::string>();
    if (!trend["trend"].is_object()) {
      fmt::print("{:<22} no trend\n", of);
      continue;
    }
    fmt::print("{:<22} {:+.3g} an hour (fit {:.2f})", of, trend["trend"]["per_hour"].get<double>(),
               trend["trend"]["fit"].get<double>());
    if (trend.contains("days_to_limit") && trend["days_to_limit"].is_number())
      fmt::print(", at its limit in {:.1f} days", trend["days_to_limit"].get<double>());
    fmt::print("\n");
  }
}

void print_memory(const json& memory) {
  if (memory["source"].get<std::string>().empty()) return fmt::print("process: its limit is not known\n");
  fmt::print("process  {} of {} ({}); L1 gives back from {} on\n", mebibytes(memory["used_bytes"]),
             mebibytes(memory["limit_bytes"]), plain(memory["source"].get<std::string>()),
             mebibytes(memory["watermark_bytes"]));
  if (memory["l1_allowed_bytes"] < memory["l1_configured_bytes"])
    fmt::print("PRESSED: L1 may hold {} of its {}\n", mebibytes(memory["l1_allowed_bytes"]),
               mebibytes(memory["l1_configured_bytes"]));
}

bool has_finding(const json& answer) {
  if (answer["memory"]["l1_allowed_bytes"] < answer["memory"]["l1_configured_bytes"]) return true;
  for (const json& trend : answer["trends"])
    if (trend["of"] == "working_set_bytes" && trend.contains("days_to_limit") &&
        trend["days_to_limit"].is_number() && trend["days_to_limit"].get<double>() < kSoonDays)
      return true;
  return false;
}

void capacity(const CapacityOptions& options, ToolRun& run) {
  const auto got = http_get(options.at, "/api/v1/capacity", kPageTimeout);
  if (!got) return report_failure(run, "capacity", got.error().message);
  const json answer = json::parse(got->body, nullptr, false);
  if (got->status != 200 || !answer.is_object() || !answer.contains("memory"))
    return report_failure(
        run, "capacity",
        fmt::format("{} answered {} and nothing about its capacity; is it candord's HTTP address?",
                    options.at, got->status));
  if (run.json) {
    fmt::print("{}\n", answer.dump(2, ' ', false, json::error_handler_t::replace));
  } else {
    print_curves(answer["curves"]);
    fmt::print("\n");
    print_trends(answer["trends"]);
    print_memory(answer["memory"]);
  }
  if (has_finding(answer)) run.exit_code = kExitFinding;
}

}  // namespace

void add_capacity(CLI::App& tool, ToolRun& run) {
  auto options = std::make_shared<CapacityOptions>();
  CLI::App* command = tool.add_subcommand(
      "capacity", "Says what more or less memory would do to hits and loads, and who deserves it");
  command->add_option("--at", options->at, "Where the daemon's HTTP listens")->capture_default_str();
  add_json_flag(*command, run);
  command->footer(
      "Exit code 1 when memory is short: L1 holds less than configured, or its working set reaches the limit "
      "within a week.\nExamples:\n  candor capacity\n  candor capacity --at 127.0.0.1:8391 --json");
  command->callback([options, &run] { capacity(*options, run); });
}

}  // namespace candor::app
