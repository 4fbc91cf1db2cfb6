// The plan for programs. Numbers that do not exist (a margin over nothing, an unknown prediction) are null.
#include <cmath>
#include <nlohmann/json.hpp>

#include "app/plan_report.h"
#include "budget/key_classes.h"

namespace candor::app {
namespace {

using nlohmann::json;

json finite(double value) { return std::isfinite(value) ? json(value) : json(nullptr); }

json to_json(const Outcome& outcome) {
  const Exposure& exposure = outcome.exposure;
  if (!exposure.is_known) return nullptr;
  return {{"bound", exposure.bound},
          {"first_order", exposure.first_order},
          {"stale_hot", exposure.hot},
          {"stale", exposure.stale},
          {"over_limit", exposure.over_limit},
          {"over_limit_bound", exposure.over_limit_bound},
          {"miss_ratio", exposure.miss_ratio},
          {"entries", exposure.entries},
          {"origin_loads_per_second", outcome.origin_loads_per_second},
          {"origin_checks_per_second", outcome.origin_checks_per_second},
          {"origin_writes_per_second", outcome.origin_writes_per_second},
          {"write_wait_seconds", outcome.write_wait_seconds},
          {"visibility_delay_seconds", outcome.visibility_delay_seconds}};
}

json to_json(const LeverSetting& setting) {
  json out{{"lever", lever_name(setting.lever)}, {"text", format_setting(setting)}};
  switch (setting.lever) {
    case Lever::kTtl:
      out["ttl_seconds"] = setting.value;
      break;
    case Lever::kBatchWrites:
      out["window_seconds"] = setting.value;
      break;
    case Lever::kOriginReads:
      out["fraction"] = setting.value;
      out["above_seconds"] = setting.second;
      break;
    case Lever::kRelax:
      out["stale_fraction"] = setting.value;
      out["sweep_seconds"] = setting.second;
      break;
    default:
      break;
  }
  return out;
}

json to_json(const LeverEffect& effect, bool suffices) {
  json out = to_json(effect.setting);
  out["possible"] = effect.is_possible();
  if (!effect.is_possible()) {
    out["why_not"] = effect.why_not;
    return out;
  }
  out["keeps_budget"] = suffices;
  out["after"] = to_json(effect.after);
  out["origin_loads_added_per_second"] = effect.origin_loads_added();
  out["cost"] = effect.cost;
  return out;
}

json to_json(const PlannedFeature& one) {
  const Workload& workload = one.model.workload;
  const Delivery& delivery = one.model.delivery;
  const Plan& plan = one.plan;
  json out{{"feature", one.name},
           {"has_budget", one.has_budget},
           {"notes", one.notes},
           {"assumptions", one.assumptions}};
  out["delivery"] = {{"ttl_seconds", delivery.ttl_seconds},
                     {"ttl_jitter", delivery.ttl_jitter},
                     {"is_pushed", delivery.is_pushed},
                     {"delay_seconds", delivery.delay_seconds},
                     {"delay_p99_seconds", delivery.delay_p99_seconds},
                     {"loss", delivery.loss},
                     {"own_share", delivery.own_share}};
  out["workload"] = nullptr;
  if (!workload.classes.empty())
    out["workload"] = {{"source", one.source},
                       {"reads_per_second", workload.reads_per_second},
                       {"updates_per_second", workload.updates_per_second},
                       {"key_reads_per_second", workload.read_weighted_reads()},
                       {"key_updates_per_second", workload.read_weighted_updates()},
                       {"keys", keys_of(workload)},
                       {"classes", workload.classes.size()}};
  out["predicted"] = to_json(plan.configured);
  if (one.measured)
    out["measured"] = {{"over_limit", one.measured->fraction},
                       {"low", one.measured->low},
                       {"high", one.measured->high},
                       {"reads", one.measured->reads}};
  if (!one.has_budget) return out;
  out["budget"] = {{"max_staleness_seconds", to_seconds(one.model.budget.max_staleness)},
                   {"stale_fraction", one.model.budget.stale_fraction},
                   {"window_seconds", to_seconds(one.model.budget.window)},
                   {"owner", one.owner},
                   {"impact", one.impact}};
  out["verdict"] = plan_verdict_name(plan.verdict);
  out["reason"] = plan.reason;
  out["margin"] = plan.verdict == PlanVerdict::kUnknown ? json(nullptr) : finite(plan.margin);
  out["ttl_seconds_longest"] =
      plan.ttl_seconds_longest > 0.0 ? json(plan.ttl_seconds_longest) : json(nullptr);
  out["levers"] = json::array();
  for (std::size_t i = 0; i < plan.levers.size(); ++i)
    out["levers"].push_back(to_json(plan.levers[i], plan.suffices[i]));
  out["cheapest"] = json::array();
  for (const LeverSetting& setting : plan.cheapest) out["cheapest"].push_back(to_json(setting));
  if (!plan.cheapest.empty()) {
    out["planned"] = to_json(plan.planned);
    out["planned_margin"] = finite(plan.planned_margin);
    out["planned_cost"] = plan.cost;
  }
  return out;
}

}  // namespace

std::string plan_json(const PlanReport& report) {
  json features = json::array();
  for (const PlannedFeature& one : report.features) features.push_back(to_json(one));
  return json{{"file", report.file}, {"good", !report.has_finding()}, {"features", features}}.dump(
      2, ' ', false, json::error_handler_t::replace);
}

}  // namespace candor::app
