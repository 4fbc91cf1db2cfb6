// The plan as a page that somebody reads, and signs: in words first, formulas not at all.
#include <fmt/format.h>

#include <cmath>

#include "app/plan_report.h"
#include "base/units.h"

namespace candor::app {
namespace {

// Owners and impacts are free text: nothing in them may become markup, or end a cell.
std::string plain(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == '\t') {
      out += ' ';
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      if (std::string_view("\\`*_[]|#!~").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out;
}

std::string or_blank(std::string_view text) { return text.empty() ? "_not named_" : plain(text); }

// "1 in 1,000 reads" says more to people than a percentage.
std::string one_in(double fraction) {
  if (fraction <= 0.0) return "no read";
  if (fraction > 0.1) return fmt::format("{:.0f} of 100 reads", fraction * 100.0);
  const double n = 1.0 / fraction;
  const double scale = std::pow(10.0, std::max(0.0, std::floor(std::log10(n)) - 1.0));
  const auto rounded = static_cast<unsigned long long>(std::round(n / scale) * scale);
  std::string digits = fmt::format("{}", rounded);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return fmt::format("1 in {} reads", digits);
}

std::string tolerance(const PlannedFeature& one) {
  const Budget& budget = one.model.budget;
  return fmt::format("{} may be staler than {} (over {})", one_in(budget.stale_fraction),
                     format_duration(budget.max_staleness), format_duration(budget.window));
}

std::string verdict(const PlannedFeature& one) {
  switch (one.plan.verdict) {
    case PlanVerdict::kUnknown:
      return "not known";
    case PlanVerdict::kKept:
      return "kept as configured";
    case PlanVerdict::kNeedsLever:
      return "kept with a change";
    case PlanVerdict::kImpossible:
      return "**cannot be kept**";
  }
  return "";
}

std::string change_in_words(const LeverSetting& setting, const PlannedFeature& one) {
  switch (setting.lever) {
    case Lever::kTtl:
      return fmt::format("keep values for {} instead of {}", format_seconds(setting.value),
                         format_seconds(one.model.delivery.ttl_seconds));
    case Lever::kWatch:
      return "listen to the database's changes of these rows (`watch`)";
    case Lever::kRefreshOnChange:
      return "load new values as soon as a change is heard of";
    case Lever::kSynchronous:
      return "let each write wait until no node can serve the old value";
    case Lever::kBatchWrites:
      return fmt::format("write to the database in batches, {} apart", format_seconds(setting.value));
    case Lever::kOriginReads:
      return setting.second > 0.0
                 ? fmt::format(
                       "read the database where a value may be older than {} (`consistency = \"bounded\"`)",
                       format_seconds(setting.second))
                 : fmt::format("read the database instead of the cache in {} of cases",
                               format_fraction(setting.value));
    case Lever::kRelax:
      return fmt::format(
          "**allow {} instead of {}**{}", one_in(setting.value), one_in(one.model.budget.stale_fraction),
          setting.second > 0.0 ? fmt::format(", and compare what is cached with the database every {}",
                                             format_seconds(setting.second))
                               : "");
  }
  return "";
}

std::string costs_in_words(const Outcome& before, const Outcome& after) {
  std::vector<std::string> costs;
  const double loads = after.origin_loads_per_second - before.origin_loads_per_second;
  if (std::abs(loads) >= 0.005)
    costs.push_back(fmt::format("{} loads a second {} from the database ({} as configured)",
                                format_rate(std::abs(loads)), loads > 0.0 ? "more" : "fewer",
                                format_rate(before.origin_loads_per_second)));
  if (after.write_wait_seconds > before.write_wait_seconds)
    costs.push_back(fmt::format("{} more for each write",
                                format_seconds(after.write_wait_seconds - before.write_wait_seconds)));
  if (after.visibility_delay_seconds > before.visibility_delay_seconds)
    costs.push_back(
        fmt::format("a write reaches the database up to {} later",
                    format_seconds(after.visibility_delay_seconds - before.visibility_delay_seconds)));
  if (after.heard_per_second > before.heard_per_second)
    costs.emplace_back("a change feed of the database to look after");
  if (after.origin_checks_per_second - before.origin_checks_per_second > 5e-4)
    costs.push_back(
        fmt::format("{} rows a second compared with the database",
                    format_rate(after.origin_checks_per_second - before.origin_checks_per_second)));
  return costs.empty() ? "nothing beyond what is configured" : fmt::format("{}", fmt::join(costs, "; "));
}

std::string section(const PlannedFeature& one) {
  const Plan& plan = one.plan;
  const Exposure& exposure = plan.configured.exposure;
  std::string out = fmt::format("\n## {}\n\n| | |\n|---|---|\n", plain(one.name));
  const auto row = [&](std::string_view name, const std::string& text) {
    out += fmt::format("| {} | {} |\n", name, text);
  };
  row("Agreed", tolerance(one));
  row("If it is exceeded", or_blank(one.impact));
  row("Owner", or_blank(one.owner));
  if (exposure.is_known) {
    row("Use", fmt::format("{} reads and {} changes a second; a read asks for a key that changes {}",
                           format_rate(one.model.workload.reads_per_second),
                           format_rate(one.model.workload.updates_per_second),
                           one.model.workload.read_weighted_updates() > 0.0
                               ? "every " + format_seconds(1.0 / one.model.workload.read_weighted_updates())
                               : std::string("never, as far as seen")));
    row("Source", plain(one.source));
    row("Predicted as configured",
        fmt::format("{} staler than {} ({}); {} stale at all", one_in(exposure.over_limit),
                    format_duration(one.model.budget.max_staleness), format_fraction(exposure.over_limit),
                    format_fraction(exposure.stale)));
  }
  if (one.measured)
    row("Measured", fmt::format("{} ({} to {}, 95 %)", format_fraction(one.measured->fraction),
                                format_fraction(one.measured->low), format_fraction(one.measured->high)));
  // "kept as configured" says it all; what goes beyond it is worth reading.
  row("Verdict",
      plan.reason == verdict(one) ? verdict(one) : fmt::format("{}: {}", verdict(one), plain(plan.reason)));
  std::vector<std::string> changes;
  for (const LeverSetting& setting : plan.cheapest) changes.push_back(change_in_words(setting, one));
  if (!changes.empty()) {
    row("Proposed", fmt::format("{}", fmt::join(changes, "; ")));
    row("Predicted with it", fmt::format("{} staler than {} ({})", one_in(plan.planned.exposure.over_limit),
                                         format_duration(one.model.budget.max_staleness),
                                         format_fraction(plan.planned.exposure.over_limit)));
  }
  if (exposure.is_known) row("What it costs", costs_in_words(plan.configured, plan.planned));
  for (const std::string& note : one.notes) row("Note", plain(note));
  if (exposure.is_known && !one.assumptions.empty())
    row("Assumed", plain(fmt::format("{}", fmt::join(one.assumptions, "; "))));
  out += "\nAgreed by: ______________________________   Date: ______________\n";
  return out;
}

}  // namespace

std::string plan_markdown(const PlanReport& report) {
  std::string out = fmt::format(
      "# How stale may it be? Budgets in {}\n\n"
      "A cache answers quickly because it answers from a copy, and a copy can be out of date. For each "
      "feature its "
      "owner\nsays how stale a read may be and how often; this page says whether that can be kept, and what "
      "it "
      "costs.\n\n"
      "| Feature | Tolerance | If exceeded | Owner | Verdict | Cost |\n|---|---|---|---|---|---|\n",
      plain(report.file));
  for (const PlannedFeature& one : report.features) {
    if (!one.has_budget) continue;
    const std::string cost = one.plan.configured.exposure.is_known
                                 ? costs_in_words(one.plan.configured, one.plan.planned)
                                 : "not known";
    out += fmt::format("| {} | {} | {} | {} | {} | {} |\n", plain(one.name), tolerance(one),
                       or_blank(one.impact), or_blank(one.owner), verdict(one), cost);
  }
  for (const PlannedFeature& one : report.features)
    if (one.has_budget) out += section(one);
  out +=
      "\n---\nPredicted with the model in Candor's docs/planning.md (within about 10 % of measurements when "
      "the "
      "rates are right).\nStaleness of a read: the time since the first change that it does not show.\n";
  return out;
}

}  // namespace candor::app
