#include "monitor/change_rate.h"

#include <algorithm>
#include <cmath>

namespace candor {

std::size_t ChangeRate::bin_of(double seconds) {
  const double quarter_octaves = 4.0 * std::log2(std::max(seconds, 1e-3) / 1e-3);
  return std::min(kBins - 1, static_cast<std::size_t>(quarter_octaves));
}

void ChangeRate::add(Duration interval, bool changed, double weight) {
  const double seconds = to_seconds(interval);
  if (seconds <= 0.0) return;
  Bin& bin = bins_[bin_of(seconds)];
  bin.seconds += weight * seconds;
  bin.all += weight;
  if (changed) bin.changed += weight;
}

void ChangeRate::fade(double factor) {
  for (Bin& bin : bins_) {
    bin.seconds *= factor;
    bin.all *= factor;
    bin.changed *= factor;
  }
}

std::optional<double> ChangeRate::per_second() const {
  double all = 0.0;
  double changed = 0.0;
  double unchanged_seconds = 0.0;
  double longest = 0.0;
  for (const Bin& bin : bins_) {
    if (bin.all <= 0.0) continue;
    const double mean = bin.seconds / bin.all;
    all += bin.all;
    changed += bin.changed;
    unchanged_seconds += (bin.all - bin.changed) * mean;
    longest = std::max(longest, mean);
  }
  if (all < kAnswersMin) return std::nullopt;
  if (changed <= 0.0) return 0.0;
  if (unchanged_seconds <= 0.0) unchanged_seconds = 0.5 * longest;
  // The left side falls in u from infinity to 0: bisection in the logarithm.
  const auto surplus = [&](double u) {
    double sum = -unchanged_seconds;
    for (const Bin& bin : bins_) {
      if (bin.changed <= 0.0) continue;
      const double mean = bin.seconds / bin.all;
      sum += bin.changed * mean / std::expm1(std::min(u * mean, 700.0));
    }
    return sum;
  };
  double low = 1e-9;
  double high = 1e6;
  for (int i = 0; i < 100; ++i) {
    const double middle = std::sqrt(low * high);
    (surplus(middle) > 0.0 ? low : high) = middle;
  }
  return std::sqrt(low * high);
}

}  // namespace candor
