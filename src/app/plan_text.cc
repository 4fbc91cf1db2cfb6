// The plan for a terminal.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/plan_report.h"
#include "base/units.h"

namespace candor::app {
namespace {

constexpr std::size_t kWidth = 100;  // of running text; what a terminal shows without wrapping

std::string_view level_name(Consistency level) {
  constexpr std::array<std::string_view, 5> kNames = {"eventual", "bounded", "session", "strong", "origin"};
  return kNames[static_cast<std::size_t>(level)];
}

// Characters, not bytes: "…" counts as one.
std::size_t shown_width(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// Columns as wide as they need; the first is aligned left, the others as `left` says.
class Table {
 public:
  explicit Table(std::string left) : left_(std::move(left)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] std::string to_string(std::string_view indent) const {
    std::vector<std::size_t> widths;
    for (const auto& row : rows_) {
      widths.resize(std::max(widths.size(), row.size()));
      for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], shown_width(row[i]));
    }
    std::string out;
    for (const auto& row : rows_) {
      std::string line(indent);
      for (std::size_t i = 0; i < row.size(); ++i) {
        const std::string blanks(widths[i] - shown_width(row[i]), ' ');
        if (i > 0) line += "  ";
        line += left_[i] == 'l' ? row[i] + blanks : blanks + row[i];
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + "\n";
    }
    return out;
  }

 private:
  std::string left_;  // 'l' or 'r' for each column
  std::vector<std::vector<std::string>> rows_;
};

std::string wrapped(std::string_view text, std::string_view indent) {
  std::string out, line(indent);
  bool is_empty = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (!is_empty && shown_width(line) + 1 + shown_width(word) > kWidth) {
      out += line + "\n";
      line = indent;
      is_empty = true;
    }
    if (!is_empty) line += ' ';
    line += word;
    is_empty = false;
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  return out + line + "\n";
}

std::string verdict_text(const PlannedFeature& one) {
  if (!one.has_budget) return "no budget";
  switch (one.plan.verdict) {
    case PlanVerdict::kUnknown:
      return "UNKNOWN";
    case PlanVerdict::kKept:
      return "kept";
    case PlanVerdict::kNeedsLever:
      return "NOT KEPT";
    case PlanVerdict::kImpossible:
      return "IMPOSSIBLE";
  }
  return "";
}

std::string margin_text(double margin) {
  if (!std::isfinite(margin)) return "none over";
  if (margin >= 1000.0) return "1000x+";
  return margin >= 1.0 ? fmt::format("{:.3g}x", margin) : fmt::format("{:.2g}x", margin);
}

std::vector<std::string> summary_row(const PlannedFeature& one) {
  const Exposure& exposure = one.plan.configured.exposure;
  const Workload& workload = one.model.workload;
  std::vector<std::string> row{one.name, format_seconds(one.model.delivery.ttl_seconds)};
  const auto known = [&](std::string text) { row.push_back(exposure.is_known ? std::move(text) : "?"); };
  known(format_rate(workload.read_weighted_updates()));
  known(format_rate(workload.read_weighted_reads()));
  known(format_fraction(exposure.bound));
  known(format_fraction(exposure.stale));
  known(one.has_budget ? format_fraction(exposure.over_limit) : "-");
  row.push_back(one.has_budget ? fmt::format("{} > {}", format_fraction(one.model.budget.stale_fraction),
                                             format_duration(one.model.budget.max_staleness))
                               : "-");
  row.push_back(one.has_budget && exposure.is_known ? margin_text(one.plan.margin) : "-");
  row.push_back(verdict_text(one));
  return row;
}

std::string signed_rate(double rate) {
  if (std::abs(rate) < 5e-4) return "+0";
  return (rate > 0.0 ? "+" : "-") + format_rate(std::abs(rate));
}

// What a lever takes besides origin loads.
std::string other_costs(const LeverEffect& effect) {
  std::vector<std::string> costs;
  const Outcome& before = effect.before;
  const Outcome& after = effect.after;
  if (const double wait = after.write_wait_seconds - before.write_wait_seconds; wait > 0.0)
    costs.push_back(fmt::format("writes wait {}", format_seconds(wait)));
  if (const double late = after.visibility_delay_seconds - before.visibility_delay_seconds; late > 0.0)
    costs.push_back(fmt::format("seen {} later", format_seconds(late)));
  if (const double checks = after.origin_checks_per_second - before.origin_checks_per_second; checks > 5e-4)
    costs.push_back(fmt::format("{} rows/s checked", format_rate(checks)));
  if (effect.lever == Lever::kWatch) costs.emplace_back("a change feed");
  return costs.empty() ? "-" : fmt::format("{}", fmt::join(costs, ", "));
}

std::string keeps_text(const PlannedFeature& one, std::size_t index) {
  const LeverEffect& effect = one.plan.levers[index];
  if (effect.lever == Lever::kRelax) return "if agreed";
  if (one.plan.suffices[index]) return "yes";
  const bool would = effect.after.exposure.over_limit <= one.model.budget.stale_fraction;
  return would ? "over a cap" : "no";
}

std::string lever_table(const PlannedFeature& one) {
  Table table("lrrlrl");
  table.add({"lever, alone", fmt::format("> {}", format_duration(one.model.budget.max_staleness)), "loads/s",
             "other costs", "cost", "keeps it"});
  std::string impossible;
  for (std::size_t i = 0; i < one.plan.levers.size(); ++i) {
    const LeverEffect& effect = one.plan.levers[i];
    if (effect.lever == Lever::kRelax && one.plan.verdict == PlanVerdict::kKept) continue;
    if (!effect.is_possible()) {
      impossible +=
          wrapped(fmt::format("{}: not here, {}", lever_name(effect.lever), effect.why_not), "    ");
      continue;
    }
    const double cost = effect.lever == Lever::kRelax ? effect.cost - CostWeights{}.relaxing : effect.cost;
    table.add({format_setting(effect.setting), format_fraction(effect.after.exposure.over_limit),
               signed_rate(effect.origin_loads_added()), other_costs(effect), fmt::format("{:+.3f}", cost),
               keeps_text(one, i)});
  }
  return table.to_string("    ") + impossible;
}

std::string workload_line(const PlannedFeature& one) {
  const Workload& workload = one.model.workload;
  const double u = workload.read_weighted_updates();
  return fmt::format("read {}/s, changed {}/s; a read asks for a key that is read {}/s and changes {} ({})",
                     format_rate(workload.reads_per_second), format_rate(workload.updates_per_second),
                     format_rate(workload.read_weighted_reads()),
                     u > 0.0 ? "every " + format_seconds(1.0 / u) : std::string("never, as far as seen"),
                     one.source);
}

std::string prediction_line(const PlannedFeature& one) {
  const Exposure& exposure = one.plan.configured.exposure;
  std::string text =
      fmt::format("as configured: {} of reads stale at all (simple bound {}), {} staler than {}; {} loads/s",
                  format_fraction(exposure.stale), format_fraction(exposure.bound),
                  format_fraction(exposure.over_limit), format_duration(one.model.budget.max_staleness),
                  format_rate(one.plan.configured.origin_loads_per_second));
  if (one.measured)
    text += fmt::format("; measured {} ({} to {}, {} reads)", format_fraction(one.measured->fraction),
                        format_fraction(one.measured->low), format_fraction(one.measured->high),
                        format_rate(one.measured->reads));
  return text;
}

std::string cheapest_text(const PlannedFeature& one) {
  const Plan& plan = one.plan;
  std::vector<std::string> settings;
  for (const LeverSetting& setting : plan.cheapest) settings.push_back(format_setting(setting));
  return fmt::format(
      "{}: {}  →  {} staler than {} (margin {}), {} loads/s, cost {:+.3f}",
      plan.verdict == PlanVerdict::kImpossible ? "what is left" : "cheapest", fmt::join(settings, " and "),
      format_fraction(plan.planned.exposure.over_limit), format_duration(one.model.budget.max_staleness),
      margin_text(plan.planned_margin),
      signed_rate(plan.planned.origin_loads_per_second - plan.configured.origin_loads_per_second),
      plan.verdict == PlanVerdict::kImpossible ? plan.cost - CostWeights{}.relaxing : plan.cost);
}

// What to write into the configuration; levers without a key are the controller's.
std::string config_line(const PlannedFeature& one, const LeverSetting& setting) {
  switch (setting.lever) {
    case Lever::kTtl:
      return fmt::format(
          "ttl = \"{}\"",
          format_duration(std::chrono::milliseconds(static_cast<std::int64_t>(setting.value * 1e3))));
    case Lever::kWatch:
      return one.is_redis ? "watch = true" : "watch = { table = \"…\", key = \"…\" }";
    case Lever::kBatchWrites:
      return "write = \"behind\"";
    case Lever::kOriginReads:
      if (setting.second > 0.0) return "consistency = \"bounded\"";
      return setting.value >= 1.0 ? "consistency = \"origin\"" : "budget.control = \"auto\"";
    case Lever::kRelax:
      return fmt::format("budget.stale_fraction = {:.3g}", setting.value);
    case Lever::kSynchronous:
    case Lever::kRefreshOnChange:
      break;
  }
  return "budget.control = \"auto\"";
}

std::string config_lines(const PlannedFeature& one) {
  std::vector<std::string> lines;
  for (const LeverSetting& setting : one.plan.cheapest)
    if (std::string line = config_line(one, setting); std::ranges::find(lines, line) == lines.end())
      lines.push_back(std::move(line));
  return fmt::format("    [features.{}]  {}\n", one.name, fmt::join(lines, "   "));
}

std::string ttl_advice(const PlannedFeature& one) {
  const double longest = one.plan.ttl_seconds_longest;
  constexpr double kWorthSaying = 1.2;
  if (one.plan.verdict != PlanVerdict::kKept || longest < kWorthSaying * one.model.delivery.ttl_seconds)
    return "";
  const Outcome longer = outcome_of(one.model, {.ttl_seconds = longest});
  const double saved = one.plan.configured.origin_loads_per_second - longer.origin_loads_per_second;
  if (saved < 0.01) return "";
  return wrapped(fmt::format("room: ttl could be {} within the same budget, which saves {} loads/s",
                             format_seconds(longest), format_rate(saved)),
                 "  ");
}

std::string feature_text(const PlannedFeature& one) {
  const Plan& plan = one.plan;
  std::string out = fmt::format("\n{}  ({}, {}{})\n", one.name, level_name(one.policy.consistency),
                                one.model.delivery.is_pushed ? "watched" : "not watched",
                                one.owner.empty() ? "" : ", owner: " + one.owner);
  out += wrapped(
      fmt::format("budget: at most {} of reads staler than {} over {}{}",
                  format_fraction(one.model.budget.stale_fraction),
                  format_duration(one.model.budget.max_staleness), format_duration(one.model.budget.window),
                  one.impact.empty() ? "" : fmt::format("; else: {}", one.impact)),
      "  ");
  if (plan.configured.exposure.is_known) {
    out += wrapped(workload_line(one), "  ");
    out += wrapped(prediction_line(one), "  ");
  }
  out += plan.verdict == PlanVerdict::kKept
             ? wrapped("verdict: " + plan.reason, "  ")
             : wrapped(fmt::format("verdict: {}: {}", verdict_text(one), plan.reason), "  ");
  if (plan.verdict == PlanVerdict::kUnknown)
    out += wrapped(
        "say it with --rate, --rates, --reads and --writes, --trace and --writes, or --url of a node", "  ");
  if (!plan.levers.empty()) out += lever_table(one);
  if (!plan.cheapest.empty()) {
    out += wrapped(cheapest_text(one), "  ");
    out += config_lines(one);
  }
  out += ttl_advice(one);
  for (const std::string& note : one.notes) out += wrapped("note: " + note, "  ");
  if (!one.assumptions.empty() && plan.configured.exposure.is_known)
    out += wrapped(fmt::format("assumed: {}", fmt::join(one.assumptions, "; ")), "  ");
  return out;
}

}  // namespace

std::string format_fraction(double fraction) {
  const double percent = fraction * 100.0;
  if (fraction == 0.0) return "0 %";
  if (percent < 1e-7) return "<1e-7 %";
  if (percent >= 99.95) return "100 %";
  return fmt::format("{:.3g} %", percent);
}

std::string format_seconds(double seconds) {
  if (seconds <= 0.0) return "0s";
  if (seconds < 1e-3) return fmt::format("{:.3g}us", seconds * 1e6);
  if (seconds < 1.0) return fmt::format("{:.3g}ms", seconds * 1e3);
  if (seconds < 120.0) return fmt::format("{:.3g}s", seconds);
  if (seconds < 7200.0) return fmt::format("{:.3g}m", seconds / 60.0);
  if (seconds < 2.0 * 86'400.0) return fmt::format("{:.3g}h", seconds / 3600.0);
  return fmt::format("{:.3g}d", seconds / 86'400.0);
}

std::string format_rate(double rate) {
  if (rate >= 1000.0) return fmt::format("{:.0f}", rate);
  return fmt::format("{:.3g}", rate);
}

std::string format_setting(const LeverSetting& setting) {
  switch (setting.lever) {
    case Lever::kTtl:
      return "ttl = " + format_seconds(setting.value);
    case Lever::kBatchWrites:
      return "batch_writes " + format_seconds(setting.value);
    case Lever::kOriginReads:
      if (setting.second > 0.0) return fmt::format("origin_reads above {}", format_seconds(setting.second));
      return fmt::format("origin_reads {}", format_fraction(setting.value));
    case Lever::kRelax:
      return setting.second > 0.0 ? fmt::format("relax to {}, sweep {}", format_fraction(setting.value),
                                                format_seconds(setting.second))
                                  : fmt::format("relax to {}", format_fraction(setting.value));
    case Lever::kWatch:
    case Lever::kRefreshOnChange:
    case Lever::kSynchronous:
      break;
  }
  return std::string(lever_name(setting.lever));
}

std::string plan_text(const PlanReport& report) {
  if (report.features.empty())
    return fmt::format("{}: no feature has an origin, so that none can be stale\n", report.file);
  Table table("lrrrrrrrrl");
  table.add({"FEATURE", "TTL", "U/S", "R/S", "BOUND", "STALE", "OVER", "ALLOWED", "MARGIN", "VERDICT"});
  for (const PlannedFeature& one : report.features) table.add(summary_row(one));
  std::string out = table.to_string("");
  for (const PlannedFeature& one : report.features)
    if (one.has_budget) out += feature_text(one);
  out +=
      "\nU/S, R/S: changes and reads a second of the key that a read asks for. BOUND: min(1, u T). STALE: "
      "of\n"
      "reads, older than the origin at all; OVER: older than the limit. Cost: seconds of origin work or of\n"
      "waiting, each second (docs/planning.md).\n";
  return out;
}

}  // namespace candor::app
