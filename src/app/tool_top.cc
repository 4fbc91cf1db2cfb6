// `candor top`: what a running daemon does, redrawn in place; plain text once where there is no terminal.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/blocking_client.h"
#include "app/tool.h"
#include "app/tool_daemon.h"
#include "app/top_screen.h"
#include "base/units.h"
#include "io/clock.h"
#include "io/interrupt.h"
#include "io/loop.h"
#include "io/signals.h"
#include "io/terminal.h"

namespace candor::app {
namespace {

using nlohmann::json;

constexpr Duration kShortestPeriod = 200ms;

struct TopOptions {
  HttpAddress http;
  std::string every = "2s";
  bool once = false;
};

// Everything at one moment. Only the status must be there.
struct Moment {
  MonoTime at;
  json status;
  std::optional<json> budgets, levers, warm, hot_keys;
  std::string hot_keys_problem;
};

std::optional<json> optional_part(const HttpDaemon& daemon, const char* path) {
  auto answer = http_json(daemon, path);
  return answer ? std::optional(std::move(*answer)) : std::nullopt;
}

Result<Moment> look(const HttpDaemon& daemon) {
  auto status = http_json(daemon, "/api/v1/status");
  if (!status) return std::unexpected(std::move(status.error()));
  Moment now{SystemClock().now(), std::move(*status), {}, {}, {}, {}, {}};
  now.budgets = optional_part(daemon, "/api/v1/budgets");
  now.levers = optional_part(daemon, "/api/v1/levers");
  now.warm = optional_part(daemon, "/api/v1/warm");
  if (daemon.token.empty()) {
    now.hot_keys_problem = "they need the admin token: add --config FILE or --token-file FILE";
    return now;
  }
  auto hot = http_json(daemon, "/api/v1/hotkeys?n=15");
  if (hot)
    now.hot_keys = std::move(*hot);
  else
    now.hot_keys_problem = hot.error().message;
  return now;
}

const json* part(const std::optional<json>& from) { return from ? &*from : nullptr; }

TopFacts facts_of(const Moment& now, const Moment* before) {
  TopFacts facts;
  facts.status = &now.status;
  if (before != nullptr) {
    facts.before = &before->status;
    facts.seconds = to_seconds(now.at - before->at);
  }
  facts.budgets = part(now.budgets);
  facts.levers = part(now.levers);
  facts.warm = part(now.warm);
  facts.hot_keys = part(now.hot_keys);
  facts.hot_keys_problem = now.hot_keys_problem;
  return facts;
}

// The terminal's other page, given back with the cursor at the end.
class Screen {
 public:
  Screen() { put("\x1b[?1049h\x1b[?25l"); }
  ~Screen() { put("\x1b[?25h\x1b[?1049l"); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // Written over what stands there, so that it does not flicker. False: nobody reads any more.
  [[nodiscard]] bool draw(const std::vector<std::string>& lines) const {
    std::string out = "\x1b[H";
    for (std::size_t i = 0; i < lines.size(); ++i) out += (i == 0 ? "" : "\r\n") + lines[i] + "\x1b[K";
    out += "\x1b[J";
    return put(out);
  }

 private:
  static bool put(const std::string& bytes) {
    return std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size() && std::fflush(stdout) == 0;
  }
};

std::vector<std::string> lines_of(const Result<Moment>& now, const std::optional<Moment>& before) {
  const TerminalSize size = terminal_size();
  if (!now) return {now.error().message, "", "q or Ctrl-C ends"};
  std::vector<std::string> lines =
      top_screen(facts_of(*now, before ? &*before : nullptr), size.rows, size.columns);
  return lines;
}

// Keys and resizes between two looks. False: it is over.
bool wait_for_keys(RawKeys& keys, const Screen& screen, Duration period, const Result<Moment>& now,
                   const std::optional<Moment>& before) {
  const MonoTime end = SystemClock().now() + period;
  for (Duration left = period; left > Duration::zero(); left = end - SystemClock().now()) {
    const TerminalSize size = terminal_size();
    const auto key = keys.next(left);
    if (InterruptFlag::is_raised() || key == 'q' || key == 'Q') return false;
    const TerminalSize after = terminal_size();
    const bool is_resized = size.rows != after.rows || size.columns != after.columns;
    if (is_resized && !screen.draw(lines_of(now, before))) return false;
  }
  return true;
}

void watch(const HttpDaemon& daemon, Duration period) {
  ignore_broken_pipes();
  const InterruptFlag interrupt;
  RawKeys keys;
  const Screen screen;
  std::optional<Moment> before;
  for (;;) {
    Result<Moment> now = look(daemon);
    if (!screen.draw(lines_of(now, before)) || InterruptFlag::is_raised()) return;
    // The first rates should not keep anybody waiting.
    if (!wait_for_keys(keys, screen, before || !now ? period : std::min<Duration>(period, 500ms), now,
                       before))
      return;
    if (now) before = std::move(*now);
  }
}

void top(const TopOptions& options, ToolRun& run) {
  const auto period = parse_duration(options.every);
  if (!period || *period < kShortestPeriod)
    throw CLI::ValidationError("--every", period ? "at least 200ms" : period.error().message);
  const auto daemon = http_daemon(options.http);
  if (!daemon) return report_failure(run, "top", daemon.error().message);
  // A daemon that is not there should be said on the page where the command was typed.
  const auto first = look(*daemon);
  if (!first) return report_failure(run, "top", first.error().message);
  if (run.json) {
    const json all = {{"status", first->status},
                      {"budgets", first->budgets.value_or(nullptr)},
                      {"levers", first->levers.value_or(nullptr)},
                      {"warm", first->warm.value_or(nullptr)},
                      {"hot_keys", first->hot_keys.value_or(nullptr)}};
    return fmt::print("{}\n", all.dump(2, ' ', false, json::error_handler_t::replace));
  }
  if (!options.once && is_terminal_output()) return watch(*daemon, *period);
  // Rates need two looks.
  pause_for(std::min<Duration>(*period, 1s));
  const auto second = look(*daemon);
  if (!second) return report_failure(run, "top", second.error().message);
  for (const std::string& line : top_screen(facts_of(*second, &*first), 0, 160)) fmt::print("{}\n", line);
}

}  // namespace

void add_top(CLI::App& tool, ToolRun& run) {
  auto options = std::make_shared<TopOptions>();
  CLI::App* command = tool.add_subcommand(
      "top", "Watches a running daemon: features, tiers, budgets, levers, hot keys; q ends");
  add_http_options(*command, options->http);
  command->add_option("--every", options->every, "Time between two looks")->capture_default_str();
  command->add_flag("--once", options->once, "Plain text, once; also when the output is no terminal");
  add_json_flag(*command, run);
  command->footer(
      "Hot keys need the admin token: name the configuration.\nExamples:\n  candor top --config candor.toml\n"
      "  candor top --at 127.0.0.1:8391 --once");
  command->callback([options, &run] { top(*options, run); });
}

}  // namespace candor::app
