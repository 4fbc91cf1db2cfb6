#include "monitor/interval.h"

#include <algorithm>
#include <cmath>

namespace candor {

Interval wilson_interval(double fraction, double n) {
  if (!(n > 0.0)) return {};
  constexpr double kZ = 1.959964;  // the normal distribution's 97.5 % quantile
  const double p = std::clamp(fraction, 0.0, 1.0);
  const double z2 = kZ * kZ;
  const double centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
  const double half = kZ * std::sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n)) / (1.0 + z2 / n);
  return {std::max(0.0, centre - half), std::min(1.0, centre + half)};
}

Interval wilson_interval(double fraction, double n, double population) {
  if (!(n > 0.0)) return {};
  if (n >= population) return {std::clamp(fraction, 0.0, 1.0), std::clamp(fraction, 0.0, 1.0)};
  if (!std::isfinite(population)) return wilson_interval(fraction, n);
  return wilson_interval(fraction, n * (population - 1.0) / (population - n));
}

}  // namespace candor
