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

struct StatusOptions {
  std::string at = "127.0.0.1:8390";
};

std::string percent(double part, double whole) {
  return whole > 0 ? fmt::format("{:.1f}%", 100.0 * part / whole) : "-";
}

void print_features(const json& features) {
  fmt::print("\n{:<20} {:>12} {:>7} {:>7} {:>7} {:>8} {:>10} {:>8} {:>10} {:>12}\n", "feature", "reads", "l1",
             "disk", "l2", "origin", "loads", "errors", "entries", "miss p99");
  for (const json& f : features) {
    const double reads = f["reads"].get<double>();
    const json& tiers = f["reads_by_tier"];
    const json& loads = f["loads"];
    const auto loaded = loads["ok"].get<std::uint64_t>() + loads["absent"].get<std::uint64_t>() +
                        loads["failed"].get<std::uint64_t>() + loads["timeout"].get<std::uint64_t>();
    const std::string p99 = f["miss_latency"].is_object()
                                ? fmt::format("{:.0f} us", f["miss_latency"]["p99_us"].get<double>())
                                : "-";
    fmt::print("{:<20} {:>12.0f} {:>7} {:>7} {:>7} {:>8} {:>10} {:>8} {:>10} {:>12}\n",
               f["name"].get<std::string>(), reads, percent(tiers["l1"].get<double>(), reads),
               percent(tiers.value("disk", 0.0), reads), percent(tiers["l2"].get<double>(), reads),
               percent(tiers["origin"].get<double>(), reads), loaded, f["errors"].get<std::uint64_t>(),
               f["entries"].get<std::uint64_t>(), p99);
  }
}

std::string applied_p99(const json& origin) {
  const json& applied = origin["lag"]["applied"];
  if (!applied.is_object()) return "no change yet";
  return fmt::format("commit to applied p99 {:.1f} ms", applied["p99_us"].get<double>() / 1000);
}

void print_last_floor(const json& origin) {
  const json& floor = origin["last_floor"];
  if (!floor.is_object()) return;
  const auto feature = floor["feature"].get<std::string>();
  fmt::print("         {} floor{}, the last {} ago{}, {}: {}\n", origin["floors"].get<std::uint64_t>(),
             origin["floors"].get<std::uint64_t>() == 1 ? "" : "s",
             format_duration(std::chrono::seconds(floor["ago_ms"].get<std::int64_t>() / 1000)),
             feature.empty() ? "" : ", of feature " + feature,
             origin["settled"].get<bool>() ? "settled" : "NOT settled", floor["reason"].get<std::string>());
}

void print_repair(const json& repair) {
  if (!repair["running"].get<bool>()) return;
  fmt::print(
      "         repair: {} suspects left, at most {:.0f} a second; {} confirmed, {} replaced, {} failed\n",
      repair["suspects_left"].get<std::uint64_t>(), repair["keys_per_second"].get<double>(),
      repair["confirmed"].get<std::uint64_t>(), repair["replaced"].get<std::uint64_t>(),
      repair["failed"].get<std::uint64_t>());
}

void print_river(const json& river) {
  if (!river.is_object()) return;
  fmt::print("stream   {}, {}, {} node{}, {} gap{}\n", river["stream"].get<std::string>(),
             river["connected"].get<bool>() ? "connected" : "NOT connected", river["nodes"].size(),
             river["nodes"].size() == 1 ? "" : "s", river["gaps"].get<std::uint64_t>(),
             river["gaps"].get<std::uint64_t>() == 1 ? "" : "s");
  if (!river["problem"].get<std::string>().empty())
    fmt::print("         {}\n", river["problem"].get<std::string>());
  for (const json& origin : river["origins"]) {
    const json& within = origin["fresh_within_ms"];
    fmt::print("feed     {}: {}, {}, {} changes applied, {}{}\n", origin["name"].get<std::string>(),
               origin["feed"].get<std::string>(),
               within.is_number() ? fmt::format("fresh within {} ms", within.get<std::int64_t>())
                                  : std::string("NOT proven"),
               origin["changes_applied"].get<std::uint64_t>(), applied_p99(origin),
               origin["debts_to_l2"].get<std::uint64_t>() > 0
                   ? fmt::format(", {} to be told to L2", origin["debts_to_l2"].get<std::uint64_t>())
                   : "");
    if (!origin["problem"].get<std::string>().empty())
      fmt::print("         {}\n", origin["problem"].get<std::string>());
    for (const json& one : origin["unheard"]) {
      const auto feature = one["feature"].get<std::string>();
      fmt::print("         NOT HEARD: {}: {}\n", feature.empty() ? "every feature" : "feature " + feature,
                 one["reason"].get<std::string>());
    }
    print_last_floor(origin);
    print_repair(origin["repair"]);
  }
}

// Nothing where nothing was judged yet.
void print_reconciliation(const json& sweep) {
  if (!sweep.is_object()) return;
  if (!sweep["on"].get<bool>()) return fmt::print("sweep    off\n");
  const json& last = sweep["last_pass_seconds"];
  fmt::print("sweep    {} of L1 done, {}{}\n", sweep["passes"].get<std::uint64_t>(),
             last.is_number() ? fmt::format("the last in {:.1f} s", last.get<double>())
                              : fmt::format("{} keys asked", sweep["keys_in_this_pass"].get<std::uint64_t>()),
             sweep["waiting_for_origin"].get<bool>() ? ", waits for an origin" : "");
  for (const json& one : sweep["features"]) {
    const json& found = one["since_start"];
    if (found["divergent"].get<std::uint64_t>() == 0) continue;
    std::string causes;
    for (const auto& [cause, rate] : found["per_million_by_cause"].items())
      if (rate.get<double>() > 0)
        causes += fmt::format("{}{} {:.0f}", causes.empty() ? "" : ", ", cause, rate.get<double>());
    fmt::print("         {}: {:.0f} of a million entries were wrong ({}), of {} judged\n",
               one["feature"].get<std::string>(), found["divergence_per_million"].get<double>(), causes,
               found["judged"].get<std::uint64_t>());
  }
}

void print_warming(const json& warm) {
  const auto total = warm["keys"]["total"].get<std::uint64_t>();
  fmt::print(
      "warming  {} of {} keys, {:.0f} a second{}\n", total - warm["keys"]["waiting"].get<std::uint64_t>(),
      total, warm["keys_per_second"].get<double>(),
      warm["eta_ms"].is_number()
          ? fmt::format(", {} left",
                        format_duration(std::chrono::seconds(warm["eta_ms"].get<std::int64_t>() / 1000)))
          : std::string());
}

void print_origin(const json& origin) {
  fmt::print("origin   {}: {}, {} of {} statements in flight (cap {}), {} waiting, {}\n",
             origin["name"].get<std::string>(), origin["description"].get<std::string>(),
             origin["in_flight"].get<std::uint64_t>(), origin["concurrency_limit"].get<std::uint64_t>(),
             origin["max_concurrency"].get<std::uint64_t>(), origin["waiting"].get<std::uint64_t>(),
             origin["connected"].get<bool>() ? "connected" : "NOT connected");
  const bool is_closed = !origin["breaker"].is_string() || origin["breaker"].get<std::string>() == "closed";
  std::string shed;
  for (const auto& [of, count] : origin["shed"].items())
    if (count.get<std::uint64_t>() > 0) shed += fmt::format(", {} {}", count.get<std::uint64_t>(), of);
  if (!is_closed) fmt::print("         breaker {}\n", origin["breaker"].get<std::string>());
  if (!shed.empty()) fmt::print("         refused as overloaded since the start: {}\n", shed.substr(2));
}

void print_status(const json& status) {
  const auto uptime = static_cast<std::int64_t>(status["uptime_seconds"].get<double>());
  fmt::print(
      "{} ({}), candor {}, up {}, {}\n", status["node"].get<std::string>(),
      status["region"].get<std::string>(), status["version"].get<std::string>(),
      format_duration(std::chrono::seconds(uptime)),
      status["ready"].get<bool>() ? "ready" : "not ready: " + status["not_ready_because"].get<std::string>());
  for (const json& reason : status["degraded"]) fmt::print("DEGRADED: {}\n", reason.get<std::string>());
  for (const json& tier : status["tiers"])
    fmt::print("{:<8} {} of {}{}\n", tier["tier"].get<std::string>(), mebibytes(tier["bytes"]),
               mebibytes(tier["limit_bytes"]),
               tier.contains("description") ? "  (" + tier["description"].get<std::string>() + ")" : "");
  for (const json& origin : status["origins"]) print_origin(origin);
  if (status.contains("river")) print_river(status["river"]);
  if (status.contains("reconciliation")) print_reconciliation(status["reconciliation"]);
  if (status.contains("warm") && status["warm"]["running"].get<bool>()) print_warming(status["warm"]);
  const json& c = status["connections"];
  fmt::print("clients  {} connected, {} commands, {} errors, {} slow readers cut\n",
             c["open"].get<std::uint64_t>(), c["commands"].get<std::uint64_t>(),
             c["command_errors"].get<std::uint64_t>(), c["slow_readers_cut"].get<std::uint64_t>());
  print_features(status["features"]);
}

// Whatever answers on that port, the tool must not fall over it.
Result<json> fetch_status(const std::string& at) {
  const auto answer = http_get(at, "/api/v1/status", kPageTimeout);
  if (!answer) return std::unexpected(answer.error());
  json status = json::parse(answer->body, nullptr, false);
  if (answer->status != 200 || !status.is_object() || !status.contains("features"))
    return fail(
        ErrorCode::kUnavailable,
        fmt::format("{} answered {} and no status; is it candord's HTTP address?", at, answer->status));
  return status;
}

void status(const StatusOptions& options, ToolRun& run) {
  const auto status = fetch_status(options.at);
  if (!status) return report_failure(run, "status", status.error().message);
  if (run.json)
    fmt::print("{}\n", status->dump(2, ' ', false, json::error_handler_t::replace));
  else
    print_status(*status);
  if (!(*status)["ready"].get<bool>() || !(*status)["degraded"].empty()) run.exit_code = kExitFinding;
}

}  // namespace

void add_status(CLI::App& tool, ToolRun& run) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* command =
      tool.add_subcommand("status", "Says what a running daemon is doing: tiers, origins, features");
  command->add_option("--at", options->at, "Where the daemon's HTTP listens")->capture_default_str();
  add_json_flag(*command, run);
  command->footer(
      "Exit code 1 when the node is not ready or degraded.\nExamples:\n  candor status\n  candor status --at "
      "127.0.0.1:8391 --json");
  command->callback([options, &run] { status(*options, run); });
}

}  // namespace candor::app
