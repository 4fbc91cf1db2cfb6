#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/replay.h"
#include "app/tool.h"
#include "base/units.h"

namespace candor::app {
namespace {

struct ReplayArguments {
  std::string trace;
  std::string format;
  std::string memory;
  std::string policy = "default";
  std::size_t objects = 0;
  std::size_t value_bytes = ReplayOptions{}.value_bytes;
};

Result<l1::PolicyKind> parse_policy(const std::string& name) {
  using enum l1::PolicyKind;
  const std::pair<const char*, l1::PolicyKind> names[] = {
      {"default", kDefault}, {"s3fifo", kS3Fifo}, {"sieve", kSieve}, {"lru", kLru}, {"wtinylfu", kWTinyLfu}};
  for (const auto& [known, kind] : names)
    if (name == known) return kind;
  return fail(
      ErrorCode::kInvalidArgument,
      fmt::format("no policy is named \"{}\"; there are default, s3fifo, sieve, lru, wtinylfu", name));
}

Result<ReplayOptions> to_options(const ReplayArguments& arguments) {
  ReplayOptions options;
  options.trace = arguments.trace;
  const auto format = parse_trace_format(arguments.format);
  if (!format) return std::unexpected(format.error());
  options.format = *format;
  const auto policy = parse_policy(arguments.policy);
  if (!policy) return std::unexpected(policy.error());
  options.policy = *policy;
  options.objects = arguments.objects;
  options.value_bytes = arguments.value_bytes;
  if (arguments.memory.empty() == (arguments.objects == 0))
    return fail(ErrorCode::kInvalidArgument, "give the cache's size as one of --objects N and --memory SIZE");
  if (arguments.memory.empty()) return options;
  const auto memory = parse_size(arguments.memory);
  if (!memory) return std::unexpected(memory.error());
  options.memory = *memory;
  return options;
}

// One line that rewrites itself; only where somebody watches.
bool draw_progress(const ReplayProgress& progress) {
  constexpr int kWidth = 30;
  const double share = progress.bytes_total > 0 ? static_cast<double>(progress.bytes_read) /
                                                      static_cast<double>(progress.bytes_total)
                                                : 0.0;
  const int full = static_cast<int>(share * kWidth);
  const double misses = progress.requests > 0
                            ? static_cast<double>(progress.misses) / static_cast<double>(progress.requests)
                            : 0.0;
  fmt::print(stderr, "\r[{:#<{}}{:.<{}}] {:3.0f}%  {} requests  miss_ratio={:.4f} ", "", full, "",
             kWidth - full, share * 100, progress.requests, misses);
  return true;
}

void print_report(const ReplayArguments& arguments, const ReplayReport& report, bool as_json) {
  if (as_json) {
    fmt::print("{}\n", nlohmann::json{{"trace", arguments.trace},
                                      {"policy", arguments.policy},
                                      {"requests", report.requests},
                                      {"misses", report.misses},
                                      {"miss_ratio", report.miss_ratio()},
                                      {"byte_miss_ratio", report.byte_miss_ratio()},
                                      {"evictions", report.evictions},
                                      {"entries", report.entries},
                                      {"rejected", report.rejected},
                                      {"memory_used", report.memory_used}}
                           .dump(2));
    return;
  }
  fmt::print(
      "miss_ratio={:.4f}\nbyte_miss_ratio={:.4f}\nrequests={} misses={} evictions={} entries={} rejected={} "
      "memory_used={}\n",
      report.miss_ratio(), report.byte_miss_ratio(), report.requests, report.misses, report.evictions,
      report.entries, report.rejected, report.memory_used);
}

void run_replay(const ReplayArguments& arguments, ToolRun& run) {
  auto options = to_options(arguments);
  if (!options) {
    report_failure(run, "replay", options.error().message);
    run.exit_code = kExitUsage;
    return;
  }
  const bool watched = ::isatty(STDERR_FILENO) != 0 && !run.json;
  if (watched) options->progress = draw_progress;
  const auto report = replay(*options);
  if (watched) fmt::print(stderr, "\r\033[K");
  if (!report) return report_failure(run, "replay", report.error().message);
  print_report(arguments, *report, run.json);
}

}  // namespace

void add_replay(CLI::App& tool, ToolRun& run) {
  auto arguments = std::make_shared<ReplayArguments>();
  CLI::App* command =
      tool.add_subcommand("replay", "Replays a trace on the real cache and says what it would have missed");
  command->add_option("TRACE", arguments->trace, "The trace; .gz, .xz and .zst are read as they are")
      ->required();
  command->add_option("--format", arguments->format, "One of " + std::string(kTraceFormatNames))->required();
  command->add_option("--objects", arguments->objects, "Capacity in entries of one unit each");
  command->add_option("--memory", arguments->memory,
                      "Capacity in bytes, such as 64MiB, on the real store with all its overhead");
  command
      ->add_option("--policy", arguments->policy,
                   "default (what candord uses), s3fifo, sieve, lru or wtinylfu")
      ->capture_default_str();
  command
      ->add_option("--value-bytes", arguments->value_bytes,
                   "With --memory: size of values where the trace does not say")
      ->capture_default_str();
  add_json_flag(*command, run);
  command->footer(
      "Prints miss_ratio (by requests) and byte_miss_ratio.\n"
      "Examples:\n"
      "  candor replay trace.csv.gz --format csvkey:1 --objects 1000\n"
      "  candor replay trace.oracle.zst --format oracle --memory 256MiB --policy lru");
  command->callback([arguments, &run] { run_replay(*arguments, run); });
}

}  // namespace candor::app
