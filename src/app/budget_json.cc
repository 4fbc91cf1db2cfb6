#include "app/budget_json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cache/cache.h"

namespace candor::app {

using nlohmann::json;

namespace {

// Six significant digits: fractions are small.
json six_digits(double value) {
  if (!std::isfinite(value)) return nullptr;
  if (value == 0.0) return 0.0;
  const double scale = std::pow(10.0, 5.0 - std::floor(std::log10(std::fabs(value))));
  return std::round(value * scale) / scale;
}

json causes_json(const std::array<double, kStaleCauses>& by_cause) {
  json out = json::object();
  for (std::size_t i = 0; i < kStaleCauses; ++i)
    out[std::string(stale_cause_name(static_cast<StaleCause>(i)))] = six_digits(by_cause[i]);
  return out;
}

json measured_json(const Measured& measured) {
  if (!measured.is_measured()) return nullptr;
  return {{"reads", six_digits(measured.reads)},
          {"stale_fraction", six_digits(measured.stale_fraction)},
          {"low", six_digits(measured.low)},
          {"high", six_digits(measured.high)},
          {"by_cause", causes_json(measured.by_cause)}};
}

json histogram_json(const JudgedTotals& totals) {
  json edges = json::array();
  json counts = json::array();
  for (const double edge : kStalenessEdges) edges.push_back(edge);
  for (const double count : totals.staleness.counts) counts.push_back(six_digits(count));
  return {{"reads", six_digits(totals.reads)},
          {"stale", causes_json(totals.stale)},
          {"staleness_edges_seconds", std::move(edges)},
          {"staleness_counts", std::move(counts)},
          {"staleness_sum_seconds", six_digits(totals.staleness.sum_seconds)}};
}

json workload_json(const FeatureExposure& e) {
  const Workload& workload = e.workload;
  const bool is_known = !workload.classes.empty();
  json classes = json::array();
  for (const KeyClass& one : workload.classes)
    classes.push_back({{"read_share", six_digits(one.read_share)},
                       {"reads_per_second", six_digits(one.reads_per_second)},
                       {"updates_per_second", six_digits(one.updates_per_second)}});
  return {{"reads_per_second", six_digits(workload.reads_per_second)},
          {"updates_per_second", six_digits(workload.updates_per_second)},
          {"u_per_second", is_known ? six_digits(workload.read_weighted_updates()) : json(nullptr)},
          {"r_per_second", is_known ? six_digits(workload.read_weighted_reads()) : json(nullptr)},
          {"classes", std::move(classes)}};
}

json delivery_json(const FeatureExposure& e) {
  return {{"ttl_seconds", six_digits(e.delivery.ttl_seconds)},
          {"is_pushed", e.delivery.is_pushed},
          {"delay_seconds", six_digits(e.delivery.delay_seconds)},
          {"lag_p99_seconds", six_digits(to_seconds(e.lag_p99))},
          {"delay_p99_seconds", six_digits(e.delivery.delay_p99_seconds)},
          {"ttl_jitter", six_digits(e.delivery.ttl_jitter)},
          {"own_share", six_digits(e.delivery.own_share)},
          {"loss", six_digits(e.delivery.loss)}};
}

json predicted_json(const Predicted& predicted) {
  if (!predicted.is_known) return nullptr;
  return {{"bound", six_digits(predicted.bound)},
          {"stale", six_digits(predicted.stale)},
          {"over_limit", six_digits(predicted.over_limit)}};
}

json parts_json(const std::vector<JudgedPart>& parts) {
  json out = json::array();
  for (const JudgedPart& part : parts)
    out.push_back({{"by", part.by_origin ? "origin" : "stream"},
                   {"tier", tier_name(static_cast<Tier>(part.tier))},
                   {"level", consistency_name(static_cast<Consistency>(part.level))},
                   {"reads", six_digits(part.reads)},
                   {"stale", six_digits(part.stale)}});
  return out;
}

}  // namespace

std::string_view verdict_of(const FeatureExposure& exposure) {
  bool is_measured = false;
  for (const Measured* measured : {&exposure.by_stream_window, &exposure.by_origin_window}) {
    if (!measured->is_measured()) continue;
    is_measured = true;
    if (measured->low > exposure.budget.stale_fraction) return "outside";
  }
  return is_measured ? "inside" : "not measured";
}

json exposure_json(const FeatureExposure& e, WithKeys with_keys) {
  json burn = json::array();
  for (const BurnRate& one : e.burn)
    burn.push_back(
        {{"window_ms", one.window / 1ms}, {"rate", six_digits(one.rate)}, {"reads", six_digits(one.reads)}});
  json out = {{"feature", e.feature},
              {"region", e.region},
              {"origin", e.origin},
              {"level", e.level},
              {"owner", e.owner},
              {"impact", e.impact},
              {"control", e.may_steer ? "auto" : "advise"},
              {"budget",
               {{"max_staleness_ms", e.budget.max_staleness / 1ms},
                {"stale_fraction", six_digits(e.budget.stale_fraction)},
                {"window_ms", e.budget.window / 1ms},
                {"sample", six_digits(e.budget.sample)}}},
              {"workload", workload_json(e)},
              {"delivery", delivery_json(e)},
              {"predicted", predicted_json(e.predicted)},
              {"measured",
               {{"by_stream", measured_json(e.by_stream)},
                {"by_origin", measured_json(e.by_origin)},
                {"by_stream_window", measured_json(e.by_stream_window)},
                {"by_origin_window", measured_json(e.by_origin_window)}}},
              {"lost_fraction", six_digits(e.lost_fraction)},
              {"budget_remaining", six_digits(e.budget_remaining)},
              {"reads_window", six_digits(e.reads_window)},
              {"burn", std::move(burn)},
              {"state", budget_state_name(e.state)},
              {"verdict", verdict_of(e)},
              {"origin_loads_per_second", six_digits(e.origin_loads_per_second)},
              {"check_loads_per_second", six_digits(e.check_loads_per_second)},
              {"load_seconds_mean", six_digits(e.load_seconds_mean)},
              {"checks_paused", e.checks_paused},
              {"not_judged", e.not_judged},
              {"by_change",
               {{"checked", e.change_totals.checked},
                {"old_in_l1", e.change_totals.old_in_l1},
                {"old_in_l2", e.change_totals.old_in_l2}}},
              {"lost_entries", e.lost_entries},
              {"by_stream_totals", histogram_json(e.stream_totals)},
              {"by_origin_totals", histogram_json(e.origin_totals)},
              {"parts", parts_json(e.parts)}};
  out["lost_keys_known"] = e.lost_keys.size();
  if (with_keys == WithKeys::kYes) out["lost_keys"] = e.lost_keys;
  return out;
}

json levers_json(const LeverSnapshot* levers) {
  json log = json::array();
  json pulled = json::array();
  if (levers == nullptr) return {{"levers", std::move(log)}, {"pulled", std::move(pulled)}};
  for (auto it = levers->log.rbegin(); it != levers->log.rend(); ++it) {
    const Action& action = it->action;
    json numbers = json::object();
    for (const auto& [name, value] : action.numbers) numbers[name] = six_digits(value);
    json& one = log.emplace_back(json{{"at_ms", it->at.ms()},
                                      {"feature", action.feature},
                                      {"lever", lever_name(action.lever)},
                                      {"action", action_kind_name(action.kind)},
                                      {"from", setting_text(action.from)},
                                      {"to", setting_text(action.to)},
                                      {"reason", action.reason},
                                      {"numbers", std::move(numbers)},
                                      {"mode", action.is_auto ? "auto" : "advise"}});
    if (!it->refusal.empty()) one["refused"] = it->refusal;
  }
  for (const FeatureMemory& feature : levers->features)
    for (const Lever lever : feature.pulled) {
      const LeverSetting setting = setting_at(feature.positions, lever);
      pulled.push_back({{"feature", feature.feature},
                        {"lever", lever_name(lever)},
                        {"to", setting_text(setting)},
                        {"value", six_digits(setting.value)}});
    }
  return {{"levers", std::move(log)},
          {"pulled", std::move(pulled)},
          {"added_loads_per_second", six_digits(levers->added_load)},
          {"added_loads_per_second_max", six_digits(levers->added_load_cap)}};
}

json exposures_json(const ExposureReport& report, WithKeys with_keys) {
  json features = json::array();
  for (const FeatureExposure& one : report.features) features.push_back(exposure_json(one, with_keys));
  return {{"at_ms", report.wall.ms()}, {"features", std::move(features)}};
}

json exposures_event_json(const ExposureReport& report, std::size_t features_max) {
  std::vector<const FeatureExposure*> order;
  for (const FeatureExposure& one : report.features) order.push_back(&one);
  if (order.size() > features_max) {
    // Pointers into one vector: equal states keep its order.
    std::ranges::sort(order, [](const FeatureExposure* a, const FeatureExposure* b) {
      return a->state != b->state ? a->state > b->state : a < b;
    });
    order.resize(features_max);
  }
  json features = json::array();
  for (const FeatureExposure* one : order) {
    json feature = exposure_json(*one, WithKeys::kNo);
    feature["workload"].erase("classes");
    features.push_back(std::move(feature));
  }
  return {{"at_ms", report.wall.ms()},
          {"features_total", report.features.size()},
          {"features", std::move(features)}};
}

json budget_point_json(const BudgetPoint& point) {
  const auto optional = [](std::optional<float> value) {
    return value ? six_digits(static_cast<double>(*value)) : json(nullptr);
  };
  return {{"at_ms", point.at_ms},
          {"u_per_second", optional(point.updates_per_second)},
          {"r_per_second", optional(point.reads_per_second)},
          {"ttl_seconds", six_digits(static_cast<double>(point.ttl_seconds))},
          {"delay_seconds", six_digits(static_cast<double>(point.delay_seconds))},
          {"origin_loads_per_second", six_digits(static_cast<double>(point.loads_per_second))},
          {"predicted", optional(point.predicted)},
          {"by_stream", optional(point.by_stream)},
          {"by_origin", optional(point.by_origin)}};
}

}  // namespace candor::app
