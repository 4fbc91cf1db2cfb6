// How sure a measured fraction is. Wilson's score interval (Wilson 1927): unlike the textbook's
// p ± 2·sqrt(p(1-p)/n) it holds its promise when few or none of the reads were stale, which is the case that
// budgets are about.
#pragma once

#include <cstdint>

namespace candor {

struct Interval {
  double low = 0.0;
  double high = 1.0;
};

// Two-sided 95 %. `n`: reads judged, effective (Kish) where they are weighted; 0: nothing is known.
// `fraction` in [0, 1].
[[nodiscard]] Interval wilson_interval(double fraction, double n);

// The same for a sample drawn without replacement from `population` reads: the nearer the sample comes to all
// reads the less is left to chance, and with all of them nothing is.
[[nodiscard]] Interval wilson_interval(double fraction, double n, double population);

}  // namespace candor
