// `candor warm`: has a running daemon load keys before they are read, and watches it do so.
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <unordered_map>
#include <vector>

#include "app/tool.h"
#include "app/tool_daemon.h"
#include "app/trace_reader.h"
#include "base/ids.h"
#include "base/units.h"

namespace candor::app {
namespace {

using nlohmann::json;

constexpr Duration kWarmAnswerTimeout = 10s;
constexpr Duration kProgressPeriod = 250ms;
// The daemon takes bodies of 16 KiB.
constexpr std::size_t kBodyKeyBytes = 12 << 10;

struct WarmArguments {
  std::string file, feature, keys, trace, format;
  std::size_t most = 100'000;
  bool no_wait = false;
};

// Keys by how often they were seen, the most first.
class Counted {
 public:
  void add(std::string key) {
    if (!key.empty() && key.size() <= kKeyBytesMax) ++counts_[std::move(key)];
  }
  [[nodiscard]] std::vector<std::string> take(std::size_t most) {
    std::vector<std::pair<std::uint64_t, std::string>> all;
    for (auto& [key, count] : counts_) all.emplace_back(count, key);
    std::ranges::sort(all, [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    std::vector<std::string> keys;
    for (auto& [count, key] : all)
      if (keys.size() < most) keys.push_back(std::move(key));
    return keys;
  }

 private:
  std::unordered_map<std::string, std::uint64_t> counts_;
};

Result<std::vector<std::string>> read_lines(const WarmArguments& arguments) {
  std::ifstream file;
  if (arguments.keys != "-") {
    file.open(arguments.keys);
    if (!file) return fail(ErrorCode::kNotFound, arguments.keys + ": cannot be read");
  }
  Counted keys;
  std::istream& in = arguments.keys == "-" ? std::cin : file;
  for (std::string line; std::getline(in, line);) keys.add(std::move(line));
  return keys.take(arguments.most);
}

Result<std::vector<std::string>> read_trace(const WarmArguments& arguments) {
  const auto format = parse_trace_format(arguments.format);
  if (!format) return std::unexpected(format.error());
  auto reader = TraceReader::open(arguments.trace, *format);
  if (!reader) return std::unexpected(reader.error());
  Counted keys;
  std::vector<TraceRequest> requests(4096);
  for (;;) {
    const auto count = reader->read(requests);
    if (!count) return std::unexpected(count.error());
    if (*count == 0) return keys.take(arguments.most);
    for (std::size_t i = 0; i < *count; ++i) {
      if (requests[i].is_text)
        return fail(ErrorCode::kInvalidArgument,
                    arguments.trace + ": its keys are texts; give them one a line with --keys");
      keys.add(std::to_string(requests[i].key));
    }
  }
}

// In JSON, with what follows it. 0: it cannot be sent; JSON is UTF-8, and a key of other bytes would arrive
// as another key.
std::size_t sent_size(const std::string& key) {
  try {
    return json(key).dump().size() + 1;
  } catch (const json::type_error&) {
    return 0;
  }
}

Result<json> send_keys(const WarmArguments& arguments, const std::vector<std::string>& keys) {
  Result<json> answer = fail(ErrorCode::kInvalidArgument, "there are no keys");
  std::size_t unsendable = 0;
  for (std::size_t at = 0; at < keys.size();) {
    json part = json::array();
    for (std::size_t bytes = 0; at < keys.size(); ++at) {
      const std::size_t size = sent_size(keys[at]);
      if (size == 0 || size > kBodyKeyBytes) {
        ++unsendable;
        continue;
      }
      if (bytes + size > kBodyKeyBytes) break;
      bytes += size;
      part.push_back(keys[at]);
    }
    if (part.empty()) continue;  // none is left
    const json body = {{"feature", arguments.feature}, {"keys", std::move(part)}};
    answer = post_to_daemon(arguments.file, "/api/v1/warm", body, kWarmAnswerTimeout);
    if (!answer) return answer;
  }
  if (unsendable > 0)
    fmt::print(stderr, "candor warm: {} keys are no UTF-8, or too long, and were left out\n", unsendable);
  return answer;
}

Result<json> begin(const WarmArguments& arguments) {
  const bool names_keys = !arguments.keys.empty() || !arguments.trace.empty();
  if (names_keys && arguments.feature.empty())
    return fail(ErrorCode::kInvalidArgument, "of which feature are these keys? Add --feature NAME");
  if (!arguments.trace.empty() && arguments.format.empty())
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("a trace needs --format, one of {}", kTraceFormatNames));
  if (!names_keys) {
    const json body = arguments.feature.empty() ? json::object() : json{{"feature", arguments.feature}};
    return post_to_daemon(arguments.file, "/api/v1/warm", body, kWarmAnswerTimeout);
  }
  auto keys = arguments.keys.empty() ? read_trace(arguments) : read_lines(arguments);
  if (!keys) return std::unexpected(keys.error());
  return send_keys(arguments, *keys);
}

std::string left_of(const json& progress) {
  if (!progress["eta_ms"].is_number()) return "";
  return fmt::format(", {} left",
                     format_duration(std::chrono::seconds(progress["eta_ms"].get<std::int64_t>() / 1000)));
}

void draw(const json& progress) {
  constexpr std::size_t kWidth = 30;
  const double total = progress["keys"]["total"].get<double>();
  const double done = total - progress["keys"]["waiting"].get<double>();
  const auto full = static_cast<std::size_t>(total > 0 ? kWidth * done / total : 0.0);
  fmt::print(stderr, "\r[{:#<{}}{:.<{}}] {:.0f} of {:.0f} keys, {:.0f}/s{}\033[K", "", full, "",
             kWidth - full, done, total, progress["keys_per_second"].get<double>(), left_of(progress));
}

void print_end(const json& progress) {
  const json& keys = progress["keys"];
  fmt::print("{} keys in {:.1f} s:", keys["total"].get<std::uint64_t>(),
             progress["took_ms"].get<double>() / 1000);
  for (const auto& [state, count] : keys.items())
    if (state != "total" && count.get<std::uint64_t>() > 0)
      fmt::print(" {} {}", count.get<std::uint64_t>(), state);
  fmt::print("\n");
  if (progress["predicted_hit_rate"].is_number())
    fmt::print("predicted hit rate {:.3f}\n", progress["predicted_hit_rate"].get<double>());
  for (const json& source : progress["sources"])
    if (!source["problem"].get<std::string>().empty())
      fmt::print("{}: {}\n", source["source"].get<std::string>(), source["problem"].get<std::string>());
  for (const json& feature : progress["features"])
    if (feature["keys"]["failed"].get<std::uint64_t>() > 0)
      fmt::print("{}: {} keys failed, the last one: {}\n", feature["feature"].get<std::string>(),
                 feature["keys"]["failed"].get<std::uint64_t>(), feature.value("problem", ""));
}

Result<json> watch(const WarmArguments& arguments, json progress, bool is_drawn) {
  while (progress["running"].get<bool>()) {
    if (is_drawn) draw(progress);
    std::this_thread::sleep_for(kProgressPeriod);  // tidy: allow(the tool waits for a daemon)
    auto now = post_to_daemon(arguments.file, "/api/v1/warm-progress", json::object(), kWarmAnswerTimeout);
    if (!now) return now;
    progress = std::move(*now);
  }
  if (is_drawn) fmt::print(stderr, "\r\033[K");
  return progress;
}

// Keys are sent in parts, and the daemon may have ended a run between two of them: what was done is what came
// since `before`.
void count_since(const json& before, json* progress) {
  json& keys = (*progress)["keys"];
  std::uint64_t total = keys["waiting"].get<std::uint64_t>();
  for (auto& [state, count] : keys.items()) {
    if (state == "total" || state == "waiting") continue;
    const auto since = (*progress)["keys_ever"][state].get<std::uint64_t>() -
                       before["keys_ever"][state].get<std::uint64_t>();
    count = since;
    total += since;
  }
  keys["total"] = total;
}

void warm(const WarmArguments& arguments, ToolRun& run) {
  auto before = post_to_daemon(arguments.file, "/api/v1/warm-progress", json::object(), kWarmAnswerTimeout);
  if (!before) return report_failure(run, "warm", before.error().message);
  auto progress = begin(arguments);
  if (progress && !arguments.no_wait)
    progress = watch(arguments, std::move(*progress), ::isatty(STDERR_FILENO) != 0 && !run.json);
  if (!progress) return report_failure(run, "warm", progress.error().message);
  count_since(*before, &*progress);
  if ((*progress)["keys"]["failed"].get<std::uint64_t>() > 0) run.exit_code = kExitFinding;
  if (run.json)
    fmt::print("{}\n", progress->dump(2, ' ', false, json::error_handler_t::replace));
  else
    print_end(*progress);
}

}  // namespace

void add_warm(CLI::App& tool, ToolRun& run) {
  auto arguments = std::make_shared<WarmArguments>();
  CLI::App* command = tool.add_subcommand("warm", "Has a running daemon load keys before they are read");
  command->add_option("CONFIG", arguments->file, "The configuration of the running candord")->required();
  command->add_option("--feature", arguments->feature, "Only this feature");
  CLI::Option* keys =
      command->add_option("--keys", arguments->keys, "A file with a key on each line; - is standard input");
  command->add_option("--trace", arguments->trace, "A trace whose keys are numbers; the most frequent first")
      ->excludes(keys);
  command->add_option("--format", arguments->format, fmt::format("Of the trace: {}", kTraceFormatNames));
  command->add_option("--most", arguments->most, "Keys that are sent at most")->capture_default_str();
  command->add_flag("--no-wait", arguments->no_wait, "Begin, and do not wait for the end");
  add_json_flag(*command, run);
  command->callback([arguments, &run] { warm(*arguments, run); });
  command->footer(
      "Without --keys or --trace: what the configuration says, and the hot set of the last run. Exit code 1 "
      "when "
      "a key failed. See docs/warming.md.\n"
      "Examples:\n  candor warm candor.toml\n  candor warm candor.toml --feature profile --keys ids.txt");
}

}  // namespace candor::app
