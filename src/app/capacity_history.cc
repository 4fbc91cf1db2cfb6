#include "app/capacity_history.h"

#include <algorithm>

namespace candor::app {

void CapacityHistory::add(CapacityTotals totals, MonoTime now) {
  if (last_at_) {
    const double seconds = to_seconds(now - *last_at_);
    const auto reads = static_cast<double>(totals.reads - std::min(totals.reads, last_.reads));
    const auto hits = static_cast<double>(totals.hits - std::min(totals.hits, last_.hits));
    Point point;
    point.at_seconds = to_seconds(Duration(now.ns));
    point.hit_ratio = reads > 0 ? hits / reads : (points_.empty() ? 0 : points_.back().hit_ratio);
    point.evictions_per_second =
        static_cast<double>(totals.evictions - std::min(totals.evictions, last_.evictions)) / seconds;
    point.miss_p99_ms = static_cast<double>(totals.misses.minus(last_.misses).quantile_ns(0.99)) / 1e6;
    point.bytes_used = totals.bytes_used;
    point.working_set_bytes = totals.working_set_bytes;
    points_.push_back(point);
  }
  last_at_ = now;
  last_ = totals;
  if (points_.size() < kPointsMax) return;
  for (std::size_t i = 0; i < points_.size() / 2; ++i) points_[i] = points_[2 * i + 1];
  points_.resize(points_.size() / 2);
  period_ *= 2;
}

CapacityTrend CapacityHistory::trend(const char* of, double Point::* figure,
                                     std::optional<double> limit) const {
  CapacityTrend trend;
  trend.of = of;
  trend.limit = limit;
  for (const Point& point : points_) trend.points.push_back({point.at_seconds, point.*figure});
  if (!points_.empty()) trend.now = points_.back().*figure;
  trend.line = capacity::trend_of(trend.points);
  if (trend.line && limit) trend.seconds_to_limit = capacity::seconds_until(*trend.line, *limit);
  return trend;
}

std::vector<CapacityTrend> CapacityHistory::trends(double limit) const {
  return {trend("hit_ratio", &Point::hit_ratio, std::nullopt),
          trend("evictions_per_second", &Point::evictions_per_second, std::nullopt),
          trend("miss_p99_ms", &Point::miss_p99_ms, std::nullopt),
          trend("bytes_used", &Point::bytes_used, limit),
          trend("working_set_bytes", &Point::working_set_bytes, limit)};
}

}  // namespace candor::app
