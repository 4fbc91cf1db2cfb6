#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "app/blocking_client.h"
#include "app/plan_report.h"
#include "app/tool.h"
#include "base/units.h"
#include "io/files.h"

namespace candor::app {
namespace {

constexpr Duration kNodePatience = 10s;

struct PlanArguments {
  std::string file;
  std::string rates, reads, writes, trace, format, trace_feature, duration, url, markdown;
  std::vector<std::string> rate;
  std::vector<std::string> features;
  double origin_loads_max = -1.0;  // below 0: not given
  double headroom = PlanLimits{}.headroom;
};

Error misuse(std::string text) { return {ErrorCode::kInvalidArgument, std::move(text)}; }

// The feature whose keys the trace has: the one named, or the only one there is.
Result<std::string> trace_feature(const PlanArguments& arguments, const Config& config) {
  if (!arguments.trace_feature.empty()) return arguments.trace_feature;
  std::string only;
  for (const FeatureConfig& feature : config.features) {
    if (feature.is_plain()) continue;
    if (!only.empty())
      return std::unexpected(
          misuse("--trace holds the keys of one feature; say which with --trace-feature NAME"));
    only = feature.name;
  }
  return only;
}

Result<SeenFiles> seen_files(const PlanArguments& arguments, const Config& config) {
  SeenFiles files{.reads = arguments.reads, .writes = arguments.writes, .trace = arguments.trace};
  if (files.reads.empty() == files.trace.empty())
    return std::unexpected(misuse(
        "--writes needs one of --reads FILE and --trace FILE beside it: a log of changes does not tell how "
        "keys are read"));
  if (files.writes.empty())
    return std::unexpected(
        misuse("how keys are read does not tell how they change, and that is not taken for never; add "
               "--writes FILE"));
  if (!arguments.duration.empty()) {
    const auto duration = parse_duration(arguments.duration);
    if (!duration) return std::unexpected(misuse("--duration: " + duration.error().message));
    files.duration = *duration;
  }
  if (files.trace.empty()) return files;
  if (arguments.format.empty())
    return std::unexpected(misuse("--trace needs --format, one of " + std::string(kTraceFormatNames)));
  const auto format = parse_trace_format(arguments.format);
  if (!format) return std::unexpected(format.error());
  files.format = *format;
  auto feature = trace_feature(arguments, config);
  if (!feature) return std::unexpected(feature.error());
  files.trace_feature = *feature;
  return files;
}

Result<KnownWorkloads> ask_node(std::string address) {
  if (constexpr std::string_view kScheme = "http://"; address.starts_with(kScheme))
    address.erase(0, kScheme.size());
  while (address.ends_with('/')) address.pop_back();
  const auto answer = http_get(address, "/api/v1/budgets", kNodePatience);
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 200)
    return fail(ErrorCode::kUnavailable,
                fmt::format("{} answers /api/v1/budgets with status {}: is it a candord of this version?",
                            address, answer->status));
  return read_node_budgets(answer->body, address);
}

// What measured comes first, what a person wrote by hand wins over it.
Result<KnownWorkloads> gather(const PlanArguments& arguments, const Config& config) {
  KnownWorkloads known;
  const auto add = [&](Result<KnownWorkloads> more) -> Result<void> {
    if (!more) return std::unexpected(more.error());
    add_known(known, std::move(*more));
    return {};
  };
  if (!arguments.url.empty())
    if (auto done = add(ask_node(arguments.url)); !done) return std::unexpected(done.error());
  if (!arguments.reads.empty() || !arguments.writes.empty() || !arguments.trace.empty()) {
    const auto files = seen_files(arguments, config);
    if (!files) return std::unexpected(files.error());
    if (auto done = add(read_seen_files(*files)); !done) return std::unexpected(done.error());
  }
  if (!arguments.rates.empty())
    if (auto done = add(read_rates_file(arguments.rates)); !done) return std::unexpected(done.error());
  for (const std::string& one : arguments.rate)
    if (auto done = add(read_rate_option(one)); !done) return std::unexpected(done.error());
  return known;
}

Result<void> check_names(const std::vector<std::string>& names, const Config& config,
                         std::string_view where) {
  std::vector<std::string_view> known;
  for (const FeatureConfig& feature : config.features) known.emplace_back(feature.name);
  for (const std::string& name : names) {
    if (config.find_feature(name) != nullptr) continue;
    const std::string near = closest_name(name, known);
    return std::unexpected(
        misuse(fmt::format("{}: {} has no feature \"{}\"{}", where, config.file, name,
                           near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near))));
  }
  return {};
}

// Logs may name features of other nodes; figures that somebody wrote by hand name a feature on purpose.
Result<void> check_known(const PlanArguments& arguments, const KnownWorkloads& known, const Config& config) {
  if (auto done = check_names(arguments.features, config, "--feature"); !done) return done;
  if (!arguments.trace_feature.empty())
    if (auto done = check_names({arguments.trace_feature}, config, "--trace-feature"); !done) return done;
  std::size_t strangers = 0;
  for (const auto& [name, one] : known) {
    if (config.find_feature(name) != nullptr) continue;
    ++strangers;
    if (arguments.rates.empty() && arguments.rate.empty()) continue;
    if (one.source.starts_with("--rate") || one.source.starts_with(arguments.rates))
      if (auto done = check_names({name}, config, "rates"); !done) return done;
  }
  if (strangers > 0)
    fmt::print(stderr, "candor plan: {} feature{} of the logs or the node {} not in {}; left out\n",
               strangers, strangers == 1 ? "" : "s", strangers == 1 ? "is" : "are", config.file);
  return {};
}

Result<PlanReport> plan(const PlanArguments& arguments, const Config& config) {
  auto known = gather(arguments, config);
  if (!known) return std::unexpected(known.error());
  if (auto good = check_known(arguments, *known, config); !good) return std::unexpected(good.error());
  PlanSources sources{.known = std::move(*known), .limits = {}, .only = arguments.features};
  sources.limits.headroom = arguments.headroom;
  if (arguments.origin_loads_max >= 0.0) {
    sources.has_load_cap = true;
    sources.limits.origin_loads_added_max = arguments.origin_loads_max;
  }
  return plan_features(config, sources);
}

// Wrong input of the caller is usage; a node that does not answer is a failure.
void refuse(ToolRun& run, const Error& error) {
  report_failure(run, "plan", error.message);
  const bool is_usage = error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kNotFound ||
                        error.code == ErrorCode::kCorrupt || error.code == ErrorCode::kLimit;
  if (is_usage) run.exit_code = kExitUsage;
}

void run_plan(const PlanArguments& arguments, ToolRun& run) {
  const ConfigReading reading = read_config_file(arguments.file);
  if (reading.has_errors()) {
    std::string text = "the configuration has errors; `candor check` shows all of them";
    for (const Finding& finding : reading.findings)
      if (finding.is_error()) {
        text = finding.to_string();
        break;
      }
    return refuse(run, misuse(text));
  }
  const auto report = plan(arguments, reading.config);
  if (!report) return refuse(run, report.error());
  if (!arguments.markdown.empty()) {
    const std::string page = plan_markdown(*report);
    if (arguments.markdown == "-") {
      fmt::print("{}", page);
    } else if (auto written = write_file_atomic(arguments.markdown, page); !written) {
      return refuse(run, written.error());
    }
  }
  if (run.json)
    fmt::print("{}\n", plan_json(*report));
  else if (arguments.markdown != "-")
    fmt::print("{}", plan_text(*report));
  if (report->has_finding()) run.exit_code = kExitFinding;
}

}  // namespace

void add_plan(CLI::App& tool, ToolRun& run) {
  auto arguments = std::make_shared<PlanArguments>();
  CLI::App* command = tool.add_subcommand(
      "plan",
      "Says whether each feature's budget can be kept, by what, and what that costs, before anything runs");
  command->add_option("FILE", arguments->file, "The configuration")->required();
  command->add_option(
      "--rate", arguments->rate,
      "A feature's workload: NAME:reads_per_second=R,updates_per_second=U,keys=N[,read_skew=Z,…]");
  command->add_option("--rates", arguments->rates, "The same for many features: a TOML or .json file");
  command->add_option("--reads", arguments->reads,
                      "A log of reads, `time feature key` a line; beside --writes");
  command->add_option("--writes", arguments->writes, "A log of changes, `time feature key` a line");
  command->add_option("--trace", arguments->trace, "A trace of one feature's reads instead of --reads");
  command->add_option("--format", arguments->format, "Of the trace: " + std::string(kTraceFormatNames));
  command->add_option("--trace-feature", arguments->trace_feature, "Whose keys the trace has");
  command->add_option(
      "--duration", arguments->duration,
      "How long reads and changes were logged, such as 1h; default: what the logs' times span");
  command->add_option("--url", arguments->url,
                      "Take the workload that a running node measures: HOST:PORT of its [http]");
  command->add_option("--feature", arguments->features, "Only these features");
  command
      ->add_option(
          "--origin-loads-max", arguments->origin_loads_max,
          "Loads a second that a plan may add to an origin; default: half of what max_concurrency allows")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--headroom", arguments->headroom, "Share of the budget that a proposal keeps in reserve")
      ->check(CLI::Range(0.0, 0.99))
      ->capture_default_str();
  command->add_option("--markdown", arguments->markdown,
                      "Also write a page for the owners to sign; - for standard output");
  add_json_flag(*command, run);
  command->footer(
      "Exit code 0 when every budget is kept as configured, 1 when one is not or nothing is known of it, 2 "
      "wrong usage.\n"
      "Examples:\n"
      "  candor plan candor.toml --rate profile:reads_per_second=1000,updates_per_second=2,keys=5000\n"
      "  candor plan candor.toml --rates rates.toml --markdown budgets.md\n"
      "  candor plan candor.toml --trace t.csv.gz --format csvkey:1 --writes writes.log --duration 1h\n"
      "  candor plan candor.toml --url 127.0.0.1:8390");
  command->callback([arguments, &run] { run_plan(*arguments, run); });
}

}  // namespace candor::app
