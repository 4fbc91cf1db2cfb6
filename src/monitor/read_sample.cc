#include "monitor/read_sample.h"

#include <algorithm>
#include <utility>

namespace candor {

ReadSample::ReadSample(std::size_t features_max) : chances_(features_max, PacedChance(kFirstChance)) {
  for (Slot& slot : slots_) {
    const MutexLock lock(slot.mutex);
    slot.left_out.assign(features_max, 0);
  }
}

double ReadSample::chance(FeatureId feature) const {
  return feature.value < chances_.size() ? chances_[feature.value].get() : 0.0;
}

void ReadSample::take(const SampledRead& read) {
  if (read.feature.value >= chances_.size()) return;
  SightedRead one;
  one.feature = read.feature;
  one.value_bytes = read.value.size();
  one.negative = read.negative;
  one.degraded = read.degraded;
  one.tier = read.tier;
  one.level = read.level;
  one.stamp = read.stamp;
  one.loaded_at = read.loaded_at;
  one.at = read.at;
  one.fresh_within = read.fresh_within;
  one.weight = 1.0 / std::max(chance(read.feature), 1e-9);
  Slot& slot = slots_[counter_slot()];
  const MutexLock lock(slot.mutex);
  if (slot.reads.size() >= kWaitingMax) {
    ++slot.left_out[read.feature.value];
    return;
  }
  one.key.assign(read.key);
  slot.reads.push_back(std::move(one));
}

std::vector<SightedRead> ReadSample::drain(Duration since) {
  std::vector<SightedRead> all;
  std::vector<double> left_out(chances_.size(), 0.0);
  for (Slot& slot : slots_) {
    const MutexLock lock(slot.mutex);
    std::ranges::move(slot.reads, std::back_inserter(all));
    slot.reads.clear();
    for (std::size_t i = 0; i < left_out.size(); ++i) {
      left_out[i] += slot.left_out[i];
      left_out_total_ += slot.left_out[i];
      slot.left_out[i] = 0;
    }
  }
  std::vector<double> taken(chances_.size(), 0.0);
  for (const SightedRead& one : all) taken[one.feature.value] += 1.0;
  for (SightedRead& one : all) {
    const std::size_t i = one.feature.value;
    one.weight *= (taken[i] + left_out[i]) / taken[i];
  }
  for (std::size_t i = 0; i < taken.size(); ++i) taken[i] += left_out[i];
  pace(taken, to_seconds(since));
  return all;
}

void ReadSample::pace(const std::vector<double>& seen, double seconds) {
  double active = 0.0;
  for (const double one : seen) active += one > 0.0 ? 1.0 : 0.0;
  active_ = std::max(1.0, 0.9 * active_ + 0.1 * active);
  const double allowed = kReadsPerSecond / std::max(active_, active) * std::max(seconds, 1e-3);
  for (std::size_t i = 0; i < seen.size(); ++i) chances_[i].pace(seen[i], allowed, 1.0);
}

}  // namespace candor
