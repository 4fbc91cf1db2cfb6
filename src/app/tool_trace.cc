// `candor trace`: what a running daemon reads, fills, drops and changes, as it happens.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/blocking_client.h"
#include "app/event_stream.h"
#include "app/percent_encoding.h"
#include "app/terminal_text.h"
#include "app/tool.h"
#include "app/tool_daemon.h"
#include "base/units.h"
#include "io/clock.h"
#include "io/interrupt.h"
#include "io/signals.h"

namespace candor::app {
namespace {

using nlohmann::json;

// The daemon sends a word each second.
constexpr Duration kSilence = 10s;

struct TraceOptions {
  HttpAddress http;
  std::string feature, key, tier, outcome, kind, slower, staler, sample;
  unsigned rate = 1000;
  std::uint64_t limit = 0;  // events; 0: without end
  std::string lasts;        // empty: without end
};

void add(std::string& path, const char* name, const std::string& value) {
  if (value.empty()) return;
  path +=
      fmt::format("{}{}={}", path.find('?') == std::string::npos ? "?" : "&", name, percent_encode(value));
}

// A duration as milliseconds; empty stays empty.
std::string millis_of(const char* option, const std::string& text) {
  if (text.empty()) return {};
  const auto duration = parse_duration(text);
  if (!duration) throw CLI::ValidationError(option, duration.error().message);
  return fmt::format("{:.6f}", std::chrono::duration<double, std::milli>(*duration).count());
}

std::string path_of(const TraceOptions& options) {
  std::string path = "/api/v1/trace";
  add(path, "feature", options.feature);
  add(path, "key", options.key);
  add(path, "tier", options.tier);
  add(path, "outcome", options.outcome);
  add(path, "kind", options.kind);
  add(path, "slower_ms", millis_of("--slower", options.slower));
  add(path, "staler_ms", millis_of("--staler", options.staler));
  add(path, "sample", options.sample);
  add(path, "rate", std::to_string(options.rate));
  return path;
}

std::string text_of(const json& event, const char* name) {
  const auto it = event.find(name);
  return it != event.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// A key that JSON could not carry comes as hex beside it.
std::string key_of(const json& event) {
  const std::string hex = text_of(event, "key_hex");
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  const std::string feature = text_of(event, "feature");
  if (!event.contains("key") || event["key"].is_null())
    return feature.empty() ? "every feature" : printable(feature) + ", every key";
  return printable(feature + ":" + (hex.empty() ? text_of(event, "key") : bytes));
}

std::string details_of(const json& event) {
  std::string out;
  const auto add_ms = [&](const char* name, const char* shown) {
    const auto it = event.find(name);
    if (it != event.end() && it->is_number())
      out += fmt::format("  {} {}", shown, short_millis(it->get<double>()));
  };
  if (const auto took = event.find("took_ms"); took != event.end() && took->is_object())
    out += fmt::format("  took {} (line {}, l2 {}, origin {})", short_millis((*took)["all"].get<double>()),
                       short_millis((*took)["line"].get<double>()), short_millis((*took)["l2"].get<double>()),
                       short_millis((*took)["origin"].get<double>()));
  add_ms("age_ms", "age");
  add_ms("fresh_within_ms", "fresh within");
  add_ms("after_commit_ms", "after its commit");
  if (const auto bytes = event.find("value_bytes"); bytes != event.end() && bytes->is_number())
    out += fmt::format("  {} B", bytes->get<std::uint64_t>());
  if (!text_of(event, "reason").empty()) out += "  " + printable(text_of(event, "reason"));
  return out;
}

// The time of day, UTC, to the millisecond.
std::string time_of(const json& event) {
  const auto ms = event.value("at_ms", std::int64_t{0}) % 86'400'000;
  return fmt::format("{:02}:{:02}:{:02}.{:03}", ms / 3'600'000, ms / 60'000 % 60, ms / 1000 % 60, ms % 1000);
}

void print_event(const json& event) {
  const std::string tier = text_of(event, "tier");
  fmt::print("{} {:<12} {:<7} {:<10} {}{}\n", time_of(event), text_of(event, "event"),
             tier.empty() ? "-" : tier, printable(text_of(event, "outcome")), key_of(event),
             details_of(event));
}

// Whether the trace goes on.
class Printer {
 public:
  Printer(const TraceOptions& options, bool is_json, MonoTime end)
      : options_(options), is_json_(is_json), end_(end) {}

  bool take(std::string_view bytes) {
    for (const EventStreamParser::Event& event : parser_.feed(bytes)) {
      const json data = json::parse(event.data, nullptr, false);
      if (!data.is_object()) continue;
      if (event.name == "state") note(data);
      if (event.name != "event" || is_full()) continue;
      ++shown_;
      if (is_json_)
        fmt::print("{}\n", dump(data));
      else
        print_event(data);
    }
    const bool is_written = std::fflush(stdout) == 0;
    return is_written && !is_full() && !InterruptFlag::is_raised() && SystemClock().now() < end_;
  }
  void summarize() const {
    fmt::print(stderr, "{} events shown, {} left out; of the hits in L1 {:.3g}% were looked at\n", shown_,
               left_out_, 100 * sample_);
  }

 private:
  static std::string dump(const json& value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  [[nodiscard]] bool is_full() const { return options_.limit > 0 && shown_ >= options_.limit; }
  void note(const json& state) {
    sample_ = state.value("sample", sample_);
    const auto left_out = state.value("left_out", std::uint64_t{0});
    left_out_ += left_out;
    if (left_out == 0) return;
    if (is_json_)
      fmt::print("{}\n", dump({{"event", "left_out"}, {"events", left_out}, {"sample", sample_}}));
    else
      fmt::print("-- {} events left out: more than {} a second, or not read in time\n", left_out,
                 options_.rate);
  }

  const TraceOptions& options_;
  bool is_json_;
  MonoTime end_;
  EventStreamParser parser_;
  std::uint64_t shown_ = 0, left_out_ = 0;
  double sample_ = 1.0;
};

MonoTime end_of(const TraceOptions& options) {
  if (options.lasts.empty()) return MonoTime::max();
  const auto lasts = parse_duration(options.lasts);
  if (!lasts) throw CLI::ValidationError("--for", lasts.error().message);
  return SystemClock().now() + *lasts;
}

void trace(const TraceOptions& options, ToolRun& run) {
  const std::string path = path_of(options);
  const MonoTime end = end_of(options);
  const auto daemon = http_daemon(options.http);
  if (!daemon) return report_failure(run, "trace", daemon.error().message);
  ignore_broken_pipes();
  const InterruptFlag interrupt;
  Printer printer(options, run.json, end);
  const auto answer = http_follow(daemon->at, path, daemon->token, kSilence,
                                  [&](std::string_view bytes) { return printer.take(bytes); });
  if (!answer) {
    if (InterruptFlag::is_raised()) return;
    return report_failure(run, "trace", answer.error().message);
  }
  if (answer->status != 200) {
    const json body = json::parse(answer->body, nullptr, false);
    const std::string said = body.is_object() ? body.value("error", std::string()) : std::string();
    return report_failure(
        run, "trace",
        answer->status == 401
            ? "this shows keys and needs the admin token: add --config FILE or --token-file FILE"
        : said.empty() ? fmt::format("{} answered {}", daemon->at, answer->status)
                       : said);
  }
  if (!run.json) printer.summarize();
}

}  // namespace

void add_trace(CLI::App& tool, ToolRun& run) {
  auto options = std::make_shared<TraceOptions>();
  CLI::App* command = tool.add_subcommand(
      "trace", "Shows what a running daemon reads, fills, drops and changes, as it happens");
  add_http_options(*command, options->http);
  command->add_option("--feature", options->feature, "Of this feature");
  command->add_option("--key", options->key, "Of keys that match: * ? [a-z] and backslash");
  command->add_option("--tier", options->tier, "Reads answered from: l1, disk, l2 or origin");
  command->add_option("--kind", options->kind, "Only: read, hit, miss, fill, invalidation or change");
  command->add_option(
      "--outcome", options->outcome,
      "Only: value, absent, degraded, error (reads); stored, fenced, rejected, failed (fills); a "
      "cause (invalidations)");
  command->add_option("--slower", options->slower, "Reads that took longer, such as 5ms");
  command->add_option("--staler", options->staler,
                      "Reads that are not proven to be fresher than this, such as 1s");
  command->add_option("--sample", options->sample,
                      "Part of the hits in L1 that is looked at, 0 to 1; default: as many as cost nothing");
  command->add_option("--rate", options->rate, "Events a second, at most")
      ->capture_default_str()
      ->check(CLI::Range(1U, 10'000U));
  command->add_option("--limit", options->limit, "End after so many events");
  command->add_option("--for", options->lasts, "End after this time, such as 30s");
  add_json_flag(*command, run);
  command->footer(
      "Misses, fills, invalidations and changes are all seen; of hits a sample. Ends with Ctrl-C.\n"
      "Examples:\n  candor trace --config candor.toml\n  candor trace --config candor.toml --feature profile "
      "--key '4*' --slower 5ms\n  candor trace --config candor.toml --kind change --json | head -3");
  command->callback([options, &run] { trace(*options, run); });
}

}  // namespace candor::app
