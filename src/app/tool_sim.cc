#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/tool.h"
#include "base/units.h"
#include "io/clock.h"
#include "sim/simulation.h"
#include "sim/spread.h"

namespace candor::app {
namespace {

using sim::SimulationResult;

struct SimArguments {
  std::uint64_t seed = 1;
  std::uint64_t runs = 0;
  std::size_t regions = 1, nodes = 3;
  double hours = 0;
  std::string length = "10m", wall;
  std::vector<std::string> faults;
  bool trace = false, disk = false;
  std::string history;
};

// What a series of runs came to.
struct Sum {
  std::uint64_t runs = 0, operations = 0, commits = 0, effective = 0, bounded = 0, bounded_from_tiers = 0;
  Duration simulated{0};
  double wall_seconds = 0;
  std::map<std::string, std::uint64_t> faults;
  std::array<std::uint64_t, kReconciledKinds> swept{};
  std::vector<std::int64_t> lags;
  std::vector<sim::CheckResult> checks;
  std::vector<std::uint64_t> broken_seeds;
  std::uint64_t trace = 0;  // of the last run
};

void add(Sum& sum, const SimulationResult& run) {
  ++sum.runs;
  sum.operations += run.operations;
  sum.commits += run.commits;
  sum.simulated += run.simulated;
  sum.bounded += run.bounded_reads;
  sum.bounded_from_tiers += run.reads_of_tiers;
  sum.trace = run.trace;
  for (std::size_t i = 0; i < kReconciledKinds; ++i) sum.swept[i] += run.swept[i];
  sum.lags.insert(sum.lags.end(), run.lags.begin(), run.lags.end());
  for (const auto& [name, entry] : run.faults.entries()) {
    sum.faults[name] += entry.effective;
    sum.effective += entry.effective;
  }
  if (sum.checks.empty()) {
    for (const auto& check : run.checks) sum.checks.push_back({check.rule, 0, 0, {}});
  }
  for (std::size_t i = 0; i < run.checks.size(); ++i) {
    sum.checks[i].checked += run.checks[i].checked;
    sum.checks[i].broken += run.checks[i].broken;
  }
  if (!run.holds()) sum.broken_seeds.push_back(run.seed);
}

double hours(Duration d) { return to_seconds(d) / 3600; }

// Faults that strike, without the network's weather, which is counted by the message.
std::uint64_t strikes(const Sum& sum) {
  std::uint64_t count = 0;
  for (const auto& [name, effective] : sum.faults)
    if (name != "loss" && name != "duplicate" && name != "reorder") count += effective;
  return count;
}

void print(const SimArguments& arguments, const Sum& sum) {
  const double seconds = to_seconds(sum.simulated);
  fmt::print(
      "seeds {}..{}: {:.2f} simulated hours, {} operations ({:.1f} a simulated second, {:.0f} a wall "
      "second), "
      "{} commits\n",
      arguments.seed, arguments.seed + sum.runs - 1, hours(sum.simulated), sum.operations,
      static_cast<double>(sum.operations) / seconds, static_cast<double>(sum.operations) / sum.wall_seconds,
      sum.commits);
  fmt::print("{} faults took effect ({:.1f} a simulated minute without loss, duplicates and reordering):",
             sum.effective, static_cast<double>(strikes(sum)) / seconds * 60);
  for (const auto& [name, effective] : sum.faults) fmt::print(" {} {},", name, effective);
  fmt::print("\nbounded reads answered by a tier, faults and all: {} of {}\n", sum.bounded_from_tiers,
             sum.bounded);
  const auto lag_ms = [&](double share) { return static_cast<double>(sim::quantile(sum.lags, share)) / 1e6; };
  fmt::print("commit to the last node's L1, faults and all: median {:.2f} ms, p99 {:.2f} ms, {} commits\n",
             lag_ms(0.5), lag_ms(0.99), sum.lags.size());
  fmt::print("swept in the runs of odd seeds:");
  for (std::size_t i = 0; i < kReconciledKinds; ++i) fmt::print(" {} {},", kReconciledNames[i], sum.swept[i]);
  fmt::print("\n{}", sim::report(sum.checks));
  if (sum.runs == 1) fmt::print("trace={:016x}\n", sum.trace);
  for (const std::uint64_t seed : sum.broken_seeds) fmt::print("BROKEN seed={}\n", seed);
}

void print_json(const SimArguments& arguments, const Sum& sum) {
  nlohmann::json checks = nlohmann::json::array();
  for (const auto& check : sum.checks)
    checks.push_back({{"rule", check.rule}, {"checked", check.checked}, {"broken", check.broken}});
  fmt::print("{}\n", nlohmann::json{{"first_seed", arguments.seed},
                                    {"runs", sum.runs},
                                    {"simulated_hours", hours(sum.simulated)},
                                    {"operations", sum.operations},
                                    {"commits", sum.commits},
                                    {"wall_seconds", sum.wall_seconds},
                                    {"faults", sum.faults},
                                    {"bounded_reads", sum.bounded},
                                    {"bounded_reads_from_tiers", sum.bounded_from_tiers},
                                    {"commit_to_last_l1_ns",
                                     {{"p50", sim::quantile(sum.lags, 0.5)},
                                      {"p99", sim::quantile(sum.lags, 0.99)},
                                      {"commits", sum.lags.size()}}},
                                    {"checks", checks},
                                    {"trace", fmt::format("{:016x}", sum.trace)},
                                    {"broken_seeds", sum.broken_seeds}}
                         .dump(2));
}

// A seed that broke something: what it was, and how to see it again.
void print_broken(const SimArguments& arguments, const SimulationResult& run) {
  fmt::print(
      stderr,
      "seed {} broke a rule; again with: candor sim --seed {} --length {} --regions {} --nodes {}{}{}\n{}\n",
      run.seed, run.seed, arguments.length, arguments.regions, arguments.nodes,
      arguments.disk ? " --disk" : "",
      arguments.faults.empty() ? "" : fmt::format(" --faults {}", fmt::join(arguments.faults, ",")),
      run.weather);
  for (const auto& defect : run.defects) fmt::print(stderr, "defect: {}\n", defect);
  fmt::print(stderr, "{}\n", sim::report(run.checks));
}

Result<sim::SimulationOptions> to_options(const SimArguments& arguments) {
  sim::SimulationOptions options;
  options.sweeps = true;
  options.disk = arguments.disk;
  options.regions = arguments.regions;
  options.nodes = arguments.nodes;
  const auto length = parse_duration(arguments.length);
  if (!length) return std::unexpected(length.error());
  options.length = *length;
  const auto known = sim::fault_names();
  for (const auto& name : arguments.faults) {
    if (name != "none" && std::ranges::find(known, name) == known.end())
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("no fault is called \"{}\"; there are none, {}", name, fmt::join(known, ", ")));
  }
  options.faults = arguments.faults;
  if (arguments.trace) options.sink = [](std::string_view line) { fmt::print(stderr, "{}\n", line); };
  return options;
}

void keep_history(const std::string& file, const SimulationResult& run, ToolRun& tool) {
  std::ofstream out(file);
  out << sim::to_json_lines(run.history);
  if (!out.flush()) report_failure(tool, "sim", "the history cannot be written to " + file);
}

void run_sim(const SimArguments& arguments, ToolRun& tool) {
  auto options = to_options(arguments);
  auto wall = arguments.wall.empty() ? Result<Duration>(Duration{0}) : parse_duration(arguments.wall);
  if (!options || !wall) {
    report_failure(tool, "sim", options ? wall.error().message : options.error().message);
    tool.exit_code = kExitUsage;
    return;
  }
  const SystemClock clock;
  const MonoTime began = clock.now();
  const auto is_over = [&](const Sum& sum) {
    if (*wall > 0s && clock.now() - began >= *wall) return true;
    if (arguments.runs > 0) return sum.runs >= arguments.runs;
    if (arguments.hours > 0) return hours(sum.simulated) >= arguments.hours;
    return *wall == 0s && sum.runs >= 1;
  };
  Sum sum;
  while (!is_over(sum)) {
    options->seed = arguments.seed + sum.runs;
    const SimulationResult run = sim::simulate(*options);
    add(sum, run);
    if (!run.holds()) print_broken(arguments, run);
    if (!arguments.history.empty()) keep_history(arguments.history, run, tool);
  }
  sum.wall_seconds = std::max(1e-9, to_seconds(clock.now() - began));
  tool.json ? print_json(arguments, sum) : print(arguments, sum);
  if (!sum.broken_seeds.empty()) tool.exit_code = kExitFinding;
}

}  // namespace

void add_sim(CLI::App& tool, ToolRun& run) {
  auto arguments = std::make_shared<SimArguments>();
  CLI::App* command = tool.add_subcommand(
      "sim", "Runs the consistency code in a simulated region full of faults, and checks every promise");
  command->add_option("--seed", arguments->seed, "Of the first run; each further run takes the next one")
      ->capture_default_str();
  command->add_option("--runs", arguments->runs, "How many runs");
  command->add_option("--hours", arguments->hours, "Runs until this many hours were simulated");
  command->add_option("--for", arguments->wall, "Runs until this much wall time has passed, such as 3m");
  command->add_option("--length", arguments->length, "Of one run, with faults")->capture_default_str();
  command
      ->add_option("--regions", arguments->regions,
                   "Regions, each with a shared tier and a stream of its own")
      ->check(CLI::Range(1, 8))
      ->capture_default_str();
  command->add_option("--nodes", arguments->nodes, "Nodes of each region")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command->add_flag("--disk", arguments->disk, "Nodes have a disk tier, and evict what they hold");
  command
      ->add_option("--faults", arguments->faults,
                   "Kinds of faults, or none; by default each run draws from all")
      ->delimiter(',');
  command->add_flag("--trace", arguments->trace, "Tell on standard error what happens");
  command->add_option("--history", arguments->history, "Write the last run's history there, as JSON lines");
  add_json_flag(*command, run);
  command->footer(
      "One seed gives one trace, byte for byte. Exit code 1: a promise was broken; the seed is printed.\n"
      "Examples:\n"
      "  candor sim --seed 7 --trace             one run of ten minutes, told line by line\n"
      "  candor sim --seed 1 --hours 100         a hundred simulated hours\n"
      "  candor sim --seed 1 --for 3m --faults \"partition,crash\"");
  command->callback([arguments, &run] { run_sim(*arguments, run); });
}

}  // namespace candor::app
