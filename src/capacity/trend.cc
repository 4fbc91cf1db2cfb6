#include "capacity/trend.h"

#include <cmath>

namespace candor::capacity {
namespace {

constexpr double kYear = 365.0 * 86'400;

}  // namespace

std::optional<Line> trend_of(std::span<const TrendPoint> points) {
  if (points.size() < kTrendPointsMin) return std::nullopt;
  const auto n = static_cast<double>(points.size());
  double mean_t = 0, mean_v = 0;
  for (const TrendPoint& point : points) {
    mean_t += point.at_seconds / n;
    mean_v += point.value / n;
  }
  double tt = 0, tv = 0, vv = 0;
  for (const TrendPoint& point : points) {
    tt += (point.at_seconds - mean_t) * (point.at_seconds - mean_t);
    tv += (point.at_seconds - mean_t) * (point.value - mean_v);
    vv += (point.value - mean_v) * (point.value - mean_v);
  }
  if (tt <= 0 || vv <= 0) return std::nullopt;
  Line line;
  line.per_second = tv / tt;
  line.now = mean_v + line.per_second * (points.back().at_seconds - mean_t);
  line.fit = tv * tv / (tt * vv);
  if (line.fit < kTrendFitMin) return std::nullopt;
  return line;
}

std::optional<double> seconds_until(const Line& line, double limit) {
  if (line.now >= limit) return 0.0;
  if (line.per_second <= 0) return std::nullopt;
  const double seconds = (limit - line.now) / line.per_second;
  if (seconds > kYear) return std::nullopt;
  return seconds;
}

}  // namespace candor::capacity
