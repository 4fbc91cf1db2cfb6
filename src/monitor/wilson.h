// The interval of a fraction that was seen in a sample: Wilson's score interval (1927). Unlike the textbook's
// p ± 1.96 sqrt(p (1 - p) / n) it stays inside [0, 1] and is honest at p = 0, where most budgets live.
#pragma once

#include <algorithm>
#include <cmath>

namespace candor {

struct Interval {
  double low = 0.0, high = 1.0;
};

// 95 %: `fraction` of `reads` reads, which may be an effective number. Nothing seen: anything is possible.
[[nodiscard]] inline Interval wilson_interval(double fraction, double reads) {
  if (!(reads > 0.0)) return {};
  constexpr double kZ = 1.959964;  // 97.5 % quantile of the normal distribution
  const double z2 = kZ * kZ;
  const double middle = (fraction + z2 / (2.0 * reads)) / (1.0 + z2 / reads);
  const double half =
      kZ / (1.0 + z2 / reads) * std::sqrt(fraction * (1.0 - fraction) / reads + z2 / (4.0 * reads * reads));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

}  // namespace candor
