#include "capacity/reuse_histogram.h"

#include <algorithm>
#include <cmath>

namespace candor::capacity {

double ReuseHistogram::place(double distance) const {
  return std::log2(std::max(1.0, distance)) * per_octave_;
}

double ReuseHistogram::edge(std::size_t bucket) const {
  return std::exp2(static_cast<double>(bucket) / per_octave_);
}

// A cache of exactly this size hits: the distance belongs below its edge.
void ReuseHistogram::add(double distance, double weight) {
  const double last = static_cast<double>(counts_.size() - 1);
  const double bucket = std::clamp(std::ceil(place(distance)) - 1, 0.0, last);
  counts_[static_cast<std::size_t>(bucket)] += weight;
  counted_ += weight;
}

void ReuseHistogram::fade(double factor) {
  for (double& count : counts_) count *= factor;
  counted_ *= factor;
  cold_ *= factor;
}

double ReuseHistogram::misses(double size) const {
  const double at = place(size);
  double sum = cold_;
  for (std::size_t i = counts_.size(); i-- > 0;) {
    const double hit_part =
        std::clamp(at - static_cast<double>(i), 0.0, 1.0);  // of this bucket, within the size
    if (hit_part >= 1.0) break;
    sum += counts_[i] * (1.0 - hit_part);
  }
  return sum;
}

double ReuseHistogram::size_for(double part) const {
  if (counted_ <= 0) return 0;
  double sum = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    sum += counts_[i];
    if (sum >= part * counted_) return edge(i + 1);
  }
  return edge(counts_.size());
}

}  // namespace candor::capacity
