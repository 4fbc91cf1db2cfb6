// `candor explain KEY`: what each tier holds of a key and what happened to it, of one node or of several.
// `candor explain --ttl`: when entries expire.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/explain_json.h"
#include "app/percent_encoding.h"
#include "app/terminal_text.h"
#include "app/tool.h"
#include "app/tool_daemon.h"

namespace candor::app {
namespace {

using nlohmann::json;

struct ExplainOptions {
  std::string key;
  std::vector<std::string> at = {"127.0.0.1:6390"};
  RespAddress resp;
  bool hex = false;
};

std::string text_or(const json& value, const char* otherwise) {
  return value.is_string() ? value.get<std::string>() : otherwise;
}
std::string millis_or_dash(const json& value) {
  return value.is_number() ? short_millis(value.get<double>()) : "-";
}
std::string number_or_dash(const json& value) {
  return value.is_number() ? std::to_string(value.get<std::uint64_t>()) : "-";
}

void print_tier(const char* name, const json& tier) {
  if (!tier.is_object()) return;
  if (tier.contains("problem"))
    return fmt::print("{:<4} not known: {}\n", name, printable(text_or(tier["problem"], "")));
  if (!tier.value("held", false)) return fmt::print("{:<4} not held\n", name);
  const json& stamp = tier["stamp"];
  fmt::print("{:<4} {}, {}, {} old, ttl {}, fresh within {}, saw changes up to {}{}\n", name,
             tier.value("negative", false) ? "\"no such row\""
                                           : fmt::format("{} bytes", number_or_dash(tier["value_bytes"])),
             tier.value("pending_write", false) ? "a write that the origin may not have yet" : "held",
             millis_or_dash(tier["age_ms"]), millis_or_dash(tier["ttl_ms"]),
             millis_or_dash(tier["fresh_within_ms"]),
             stamp.is_object() ? number_or_dash(stamp["up_to"]) : "-",
             text_or(tier["age_by"], "") == "l2" ? " (age as L2 tells it)" : "");
  fmt::print("     {}: {}\n", tier.value("served", false) ? "served" : "NOT served",
             text_or(tier["why"], ""));
}

void print_state(const json& state) {
  const json& marker = state["marker"];
  if (marker.is_object())
    fmt::print("     marker: what is stored must include change {}{}{}\n", number_or_dash(marker["change"]),
               marker.value("of_whole_feature", false) ? " of the whole feature" : "",
               marker.value("seen_by_a_reader", false) ? ", and all that a reader has seen" : "");
  if (state.value("loading", false))
    fmt::print("     a load is under way, {} readers wait for it\n",
               number_or_dash(state["readers_waiting"]));
  if (state.value("owed_to_l2", false))
    fmt::print("     L2 has not taken an invalidation of it yet: not read there\n");
  if (state.value("write_of_unknown_outcome", false))
    fmt::print("     a write timed out and may still commit: nothing of the key is kept\n");
  if (state.value("pending_write", false)) fmt::print("     an acknowledged write waits for its batch\n");
}

void print_hot(const json& hot) {
  std::string line;
  for (const auto& [by, figure] : hot.items()) {
    if (!figure.is_object()) continue;
    line +=
        fmt::format("{}{} {}/s ({} to {})", line.empty() ? "" : ", ", by,
                    short_number(figure["per_second"].get<double>()),
                    short_number(figure["low"].get<double>()), short_number(figure["high"].get<double>()));
  }
  fmt::print("hot  {}\n", line.empty() ? "not among the hot keys" : line);
}

std::string stage_text(const json& stages, const char* name, const char* shown) {
  const json& at = stages[name];
  return at.is_number() ? fmt::format(", {} {:+.3g} ms", shown, at.get<double>()) : std::string();
}

std::string took_text(const json& took) {
  if (!took.is_object()) return {};
  return fmt::format("took {} (line {}, l2 {}, origin {})", millis_or_dash(took["all"]),
                     millis_or_dash(took["line"]), millis_or_dash(took["l2"]),
                     millis_or_dash(took["origin"]));
}

std::string read_text(const json& one) {
  const std::string reason = text_or(one.value("reason", json()), "");
  if (one["outcome"] == "error") return fmt::format("error: {}", printable(reason));
  return fmt::format("{} from {}, {} old, fresh within {}{}", text_or(one["outcome"], "?"),
                     text_or(one["tier"], "?"), millis_or_dash(one["age_ms"]),
                     millis_or_dash(one["fresh_within_ms"]),
                     reason.empty() ? "" : fmt::format(" ({})", printable(reason)));
}

std::string event_text_of(const json& one) {
  const auto event = text_or(one["event"], "?");
  if (event == "hit")
    return fmt::format("{} (stands for {})", read_text(one), short_number(one["stands_for"].get<double>()));
  if (event == "miss") return fmt::format("{}; {}", read_text(one), took_text(one["took_ms"]));
  if (event == "load")
    return fmt::format("{}, took {}, saw changes up to {}", text_or(one["outcome"], "?"),
                       millis_or_dash(one["took_ms"]), number_or_dash(one["saw_up_to"]));
  if (event == "l2_hit")
    return fmt::format("{}, {} old, saw changes up to {}", text_or(one["outcome"], "?"),
                       millis_or_dash(one["age_ms"]), number_or_dash(one["saw_up_to"]));
  if (event == "change") {
    const json& stages = one["after_commit_ms"];
    return fmt::format("{} at position {}: committed{}{}{}{}", number_or_dash(one["change"]),
                       number_or_dash(one["position"]), stage_text(stages, "heard", "heard"),
                       stage_text(stages, "l2_told", "L2 told"),
                       stage_text(stages, "on_stream", "on the stream"),
                       stage_text(stages, "applied", "applied"));
  }
  return text_or(one.value("cause", json()), "?");
}

// Hits in a row say little one by one.
std::size_t hits_that_follow(const json& history, std::size_t from) {
  std::size_t count = 0;
  while (from + count < history.size() && text_or(history[from + count]["event"], "") == "hit") ++count;
  return count;
}

void print_history(const json& answer) {
  const json& reach = answer["history_reaches_ms"];
  if (!reach.is_object()) return fmt::print("\nnothing is kept of what happened: [explain] memory is 0\n");
  fmt::print("\nwhat happened, the latest first (hits are a sample; the rest is complete):\n");
  const json& history = answer["history"];
  for (std::size_t i = 0; i < history.size(); ++i) {
    const json& one = history[i];
    if (const std::size_t more = hits_that_follow(history, i); more > 1) {
      fmt::print("{:>10} ago  {:<12} the latest of {} in a row\n", millis_or_dash(one["ago_ms"]), "hit",
                 more);
      i += more - 1;
      continue;
    }
    const std::string of = one.contains("of") ? fmt::format(" [{}]", text_or(one["of"], "")) : std::string();
    fmt::print("{:>10} ago  {:<12} {}{}\n", millis_or_dash(one["ago_ms"]), text_or(one["event"], "?"),
               event_text_of(one), of);
  }
  if (answer["history"].empty()) fmt::print("  nothing that is still known\n");
  for (const char* ring : {"hits", "misses", "fills", "changes"})
    if (reach[ring].is_number())
      fmt::print("  of {} the last {} are known\n", ring, short_millis(reach[ring].get<double>()));
}

void print_explanation(const json& answer) {
  fmt::print("{}:{} on {} ({}), level {}\n", printable(text_or(answer["feature"], "")),
             printable(text_or(answer["key"], "")), printable(text_or(answer["node"], "?")),
             printable(text_or(answer["region"], "?")), text_or(answer["level"], "?"));
  fmt::print("the next read is answered by: {}\n\n", text_or(answer["next_read"], "?"));
  print_tier("l1", answer["tiers"]["l1"]);
  if (answer["tiers"].contains("disk")) print_tier("disk", answer["tiers"]["disk"]);
  print_tier("l2", answer["tiers"]["l2"]);
  const json& proof = answer["proof"];
  fmt::print("\nproof: {}\n", text_or(proof["rests_on"], "?"));
  if (proof["applied_position"].is_number())
    fmt::print("     applied up to position {}\n", number_or_dash(proof["applied_position"]));
  print_state(answer["state"]);
  print_hot(answer["hot"]);
  print_history(answer);
}

std::optional<std::string> from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string spelled;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    if (std::isxdigit(static_cast<unsigned char>(hex[i])) == 0 ||
        std::isxdigit(static_cast<unsigned char>(hex[i + 1])) == 0)
      return std::nullopt;
    spelled += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return spelled;
}

void explain(const ExplainOptions& options, ToolRun& run) {
  std::string key = options.key;
  if (options.hex) {
    const auto colon = key.find(':');
    const auto bytes = from_hex(std::string_view(key).substr(colon == std::string::npos ? 0 : colon + 1));
    if (!bytes || colon == std::string::npos)
      throw CLI::ValidationError("--hex",
                                 "the key must be FEATURE: and an even number of hexadecimal digits");
    key = key.substr(0, colon + 1) + *bytes;
  }
  json answers = json::array();
  for (const std::string& at : options.at) {
    RespAddress address = options.resp;
    address.at = at;
    auto answer = resp_answer(address, {"CANDOR.EXPLAIN", key});
    if (!answer) return report_failure(run, "explain", answer.error().message);
    answers.push_back(std::move(*answer));
  }
  if (run.json) {
    mark_binary_keys(answers);
    return fmt::print("{}\n", (answers.size() == 1 ? answers.front() : answers)
                                  .dump(2, ' ', false, json::error_handler_t::replace));
  }
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (i > 0) fmt::print("\n----\n\n");
    print_explanation(answers[i]);
  }
}

// ---- ttl ----

struct TtlOptions {
  std::string feature;
  HttpAddress http;
};

std::string bar_of(double part, double whole) {
  constexpr double kWidth = 40;
  return std::string(whole > 0 ? static_cast<std::size_t>(kWidth * part / whole + 0.5) : 0, '#');
}

void print_ttl(const json& feature) {
  const double entries = feature["entries"].get<double>();
  fmt::print("{}: {} entries, {} without expiry, {} past their ttl and kept\n",
             printable(text_or(feature["feature"], "")), short_number(entries),
             short_number(feature["without_expiry"].get<double>()),
             short_number(feature["past_ttl"].get<double>()));
  std::string before;
  for (const json& bucket : feature["histogram"]) {
    const double count = bucket["entries"].get<double>();
    const bool is_last = !bucket["up_to_ms"].is_number();
    const std::string edge = is_last ? before : short_millis(bucket["up_to_ms"].get<double>());
    if (count > 0)
      fmt::print("  {} {:>8} {:>8} {}\n", is_last ? "above " : "within", edge, short_number(count),
                 bar_of(count, entries));
    before = edge;
  }
  for (const json& ahead : feature["ahead"])
    fmt::print("  expire in the next {:>6}: {}, {} of keys that are read\n",
               short_millis(ahead["within_ms"].get<double>()), short_number(ahead["expiries"].get<double>()),
               short_number(ahead["of_keys_that_are_read"].get<double>()));
  const json& stampede = feature["stampede"];
  const json& share = stampede["peak_share_of_origin"];
  fmt::print("  stampede risk: {}; at most {} read keys expire in one second{}\n",
             text_or(stampede["risk"], "?"), short_number(stampede["peak_expiries_per_second"].get<double>()),
             share.is_number() ? fmt::format(", {:.1f}% of what the origin takes", 100 * share.get<double>())
                               : std::string());
}

void ttl(const TtlOptions& options, ToolRun& run) {
  const auto daemon = http_daemon(options.http);
  if (!daemon) return report_failure(run, "ttl", daemon.error().message);
  std::string path = "/api/v1/ttl";
  if (!options.feature.empty()) path += "?feature=" + percent_encode(options.feature);
  const auto answer = http_json(*daemon, path);
  if (!answer) return report_failure(run, "ttl", answer.error().message);
  for (const json& feature : (*answer)["features"])
    if (feature["stampede"]["risk"] == "high") run.exit_code = kExitFinding;
  if (run.json) return fmt::print("{}\n", answer->dump(2, ' ', false, json::error_handler_t::replace));
  const double looked_at = (*answer)["entries_looked_at"].get<double>();
  const double held = (*answer)["entries_held"].get<double>();
  if (looked_at < held)
    fmt::print("{} of {} entries were looked at, and stand for all\n", short_number(looked_at),
               short_number(held));
  for (const json& feature : (*answer)["features"]) print_ttl(feature);
}

}  // namespace

void add_explain(CLI::App& tool, ToolRun& run) {
  auto options = std::make_shared<ExplainOptions>();
  CLI::App* command = tool.add_subcommand(
      "explain", "Says what each tier holds of a key, whether it would be served, and what happened to it");
  command->add_option("KEY", options->key, "The key, FEATURE:KEY")->required();
  command
      ->add_option("--at", options->at, "Where the daemon listens for Redis clients; several: each is asked")
      ->allow_extra_args(false)
      ->capture_default_str();
  command->add_option("--user", options->resp.user, "User for AUTH")->capture_default_str();
  command->add_option("--password-env", options->resp.password_env,
                      "Environment variable that holds the password");
  command->add_flag("--hex", options->hex, "The key after FEATURE: is written in hexadecimal digits");
  add_json_flag(*command, run);
  command->footer(
      "Asking counts as no read. Each node knows what happened on it: name the others with further --at.\n"
      "Examples:\n  candor explain profile:42\n  candor explain profile:42 --at 10.0.0.1:6390 --at "
      "10.0.0.2:6390\n  candor explain profile:00ff --hex --json");
  command->callback([options, &run] { explain(*options, run); });
}

void add_ttl(CLI::App& tool, ToolRun& run) {
  auto options = std::make_shared<TtlOptions>();
  CLI::App* command =
      tool.add_subcommand("ttl", "Says when entries expire, and what the worst second asks of the origin");
  command->add_option("FEATURE", options->feature, "This one only");
  add_http_options(*command, options->http);
  add_json_flag(*command, run);
  command->footer(
      "Exit code 1 when a feature's stampede risk is high.\nExamples:\n  candor ttl\n  candor ttl profile "
      "--json");
  command->callback([options, &run] { ttl(*options, run); });
}

}  // namespace candor::app
