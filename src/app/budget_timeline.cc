#include "app/budget_timeline.h"

namespace candor::app {
namespace {

std::optional<float> fraction_of(const Measured& measured) {
  if (!measured.is_measured()) return std::nullopt;
  return static_cast<float>(measured.stale_fraction);
}

BudgetPoint point_of(const FeatureExposure& exposure, WallTime at) {
  BudgetPoint point;
  point.at_ms = at.ms();
  if (!exposure.workload.classes.empty()) {
    point.updates_per_second = static_cast<float>(exposure.workload.read_weighted_updates());
    point.reads_per_second = static_cast<float>(exposure.workload.read_weighted_reads());
  }
  point.ttl_seconds = static_cast<float>(exposure.delivery.ttl_seconds);
  point.delay_seconds = static_cast<float>(exposure.delivery.delay_seconds);
  point.loads_per_second = static_cast<float>(exposure.origin_loads_per_second);
  if (exposure.predicted.is_known) point.predicted = static_cast<float>(exposure.predicted.over_limit);
  point.by_stream = fraction_of(exposure.by_stream);
  point.by_origin = fraction_of(exposure.by_origin);
  return point;
}

}  // namespace

bool BudgetTimeline::add(const ExposureReport& report) {
  if (last_ == report.at) return false;
  last_ = report.at;
  for (const FeatureExposure& exposure : report.features) {
    auto place = features_.find(exposure.feature);
    if (place == features_.end()) {
      if (features_.size() >= kFeaturesMax) continue;
      place = features_.try_emplace(exposure.feature).first;
    }
    place->second.push_back(point_of(exposure, report.wall));
    if (place->second.size() > kPointsMax) place->second.pop_front();
  }
  return true;
}

const std::deque<BudgetPoint>* BudgetTimeline::of(std::string_view feature) const {
  const auto place = features_.find(feature);
  return place == features_.end() ? nullptr : &place->second;
}

}  // namespace candor::app
