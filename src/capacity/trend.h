// Is a figure growing, and when does it reach a limit? A straight line by least squares; no answer where a
// line does not fit.
//
// Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace candor::capacity {

struct Line {
  double per_second = 0;
  double now = 0;  // where the line stands at the last point
  double fit = 0;  // R², the part of the variation that it explains
};

struct TrendPoint {
  double at_seconds = 0;
  double value = 0;
};

// Nothing for fewer than kTrendPointsMin points, or a line that explains less than kTrendFitMin.
[[nodiscard]] std::optional<Line> trend_of(std::span<const TrendPoint> points);
inline constexpr std::size_t kTrendPointsMin = 12;
inline constexpr double kTrendFitMin = 0.7;

// Seconds until the line reaches the limit; nothing: it does not rise, or only in more than a year.
[[nodiscard]] std::optional<double> seconds_until(const Line& line, double limit);

}  // namespace candor::capacity
