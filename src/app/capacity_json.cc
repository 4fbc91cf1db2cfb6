#include "app/capacity_json.h"

#include <nlohmann/json.hpp>

namespace candor::app {
namespace {

using nlohmann::json;

json number(const std::optional<double>& value) {
  if (!value) return nullptr;
  return *value;
}

json estimate_json(const CapacityEstimate& estimate) {
  json sizes = json::array();
  for (std::size_t i = 0; i < capacity::kFactors.size() && estimate.is_followed; ++i)
    sizes.push_back({{"memory", capacity::kFactors[i]},
                     {"hit_ratio", estimate.hit_ratio ? json(estimate.predicted[i]) : json(nullptr)},
                     {"loads_per_second", estimate.loads_per_second[i]}});
  json out = {{"reads_per_second", estimate.reads_per_second},
              {"hit_ratio", number(estimate.hit_ratio)},
              {"reads_l1", estimate.is_followed},
              {"at", std::move(sizes)},
              {"cold_fraction", estimate.cold},
              {"working_set_bytes", estimate.working_set_bytes},
              {"bytes", estimate.bytes},
              {"deserved_bytes", estimate.deserved_bytes},
              {"load_seconds", estimate.load_seconds > 0 ? json(estimate.load_seconds) : json(nullptr)},
              {"keys_followed", estimate.keys}};
  if (!estimate.feature.empty()) {
    out["feature"] = estimate.feature;
    out["sampled_fraction"] = estimate.rate;
  }
  return out;
}

json trend_json(const CapacityTrend& trend) {
  json points = json::array();
  for (const capacity::TrendPoint& point : trend.points)
    points.push_back(json::array({point.at_seconds, point.value}));
  json out = {
      {"of", trend.of}, {"now", number(trend.now)}, {"trend", nullptr}, {"points", std::move(points)}};
  if (trend.line) out["trend"] = {{"per_hour", trend.line->per_second * 3600}, {"fit", trend.line->fit}};
  if (trend.limit) {
    out["limit"] = *trend.limit;
    out["days_to_limit"] = trend.seconds_to_limit ? json(*trend.seconds_to_limit / 86'400) : json(nullptr);
  }
  return out;
}

json memory_json(const MemoryReport& memory) {
  return {{"source", memory.source},
          {"limit_bytes", memory.limit},
          {"watermark_bytes", memory.watermark},
          {"used_bytes", memory.used},
          {"pressure", memory.pressure},
          {"stalled_fraction", memory.stalled},
          {"l1_configured_bytes", memory.l1_configured},
          {"l1_allowed_bytes", memory.l1_allowed}};
}

}  // namespace

json capacity_json(const NodeReport& report) {
  if (report.capacity == nullptr) return {{"curves", nullptr}};
  const CapacityReport& known = *report.capacity;
  json trends = json::array();
  for (const CapacityTrend& trend : known.trends) trends.push_back(trend_json(trend));
  json out = {{"memory", memory_json(known.memory)}, {"trends", std::move(trends)}, {"curves", nullptr}};
  if (!known.is_on) return out;
  json features = json::array();
  for (const CapacityEstimate& feature : known.features) features.push_back(estimate_json(feature));
  out["curves"] = {{"all", estimate_json(known.all)},
                   {"features", std::move(features)},
                   {"model_bytes", known.model_bytes},
                   {"model_bytes_max", known.model_bytes_max},
                   {"records_per_second", known.records_per_second},
                   {"records_dropped", known.records_dropped},
                   {"window_seconds", known.window_seconds}};
  return out;
}

}  // namespace candor::app
