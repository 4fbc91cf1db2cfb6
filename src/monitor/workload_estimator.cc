#include "monitor/workload_estimator.h"

#include <algorithm>
#include <cmath>

namespace candor {

void WorkloadEstimator::on_read(MonoTime now, std::uint64_t key, double weight) {
  reads_ += weight;
  const auto watch = watched_.find(key);
  if (watch != watched_.end()) watch->second.reads += weight;
  if (const auto hot = hot_.find(key); hot != hot_.end()) {
    hot->second.reads += weight;
    return;
  }
  if (watch == watched_.end() && watched_.size() < kWatchedKeys)
    watched_.emplace(key, Watch{now + kWatchFor, weight, 0.0, 0.0});
  if (hot_.size() < kHotKeys) {
    hot_.emplace(key, Hot{weight, 0.0, 0.0, 0.0});
    return;
  }
  const auto least = std::ranges::min_element(hot_, {}, [](const auto& one) { return one.second.reads; });
  const Hot displaced = least->second;
  hot_.erase(least);
  hot_.emplace(key, Hot{displaced.reads + weight, displaced.reads, 0.0, 0.0});
}

void WorkloadEstimator::on_change(MonoTime /*now*/, std::uint64_t key) {
  changes_ += 1.0;
  if (const auto hot = hot_.find(key); hot != hot_.end()) hot->second.changes += 1.0;
  if (const auto watch = watched_.find(key); watch != watched_.end()) watch->second.changes += 1.0;
}

void WorkloadEstimator::tick(MonoTime now) {
  if (ticked_.ns == 0) ticked_ = now;
  const double seconds = to_seconds(now - ticked_);
  if (seconds <= 0.0) return;
  ticked_ = now;
  const double keep = std::exp2(-seconds / to_seconds(kHalfLife));
  reads_ *= keep;
  changes_ *= keep;
  seconds_ = (seconds_ + seconds) * keep;
  for (auto& [key, hot] : hot_) {
    hot.reads *= keep;
    hot.error *= keep;
    hot.changes *= keep;
    hot.seconds = (hot.seconds + seconds) * keep;
  }
  rest_weight_ *= keep;
  rest_reads_ *= keep;
  rest_changes_ *= keep;
  std::erase_if(watched_, [&](const auto& one) {
    const Watch& watch = one.second;
    if (watch.until > now) return false;
    rest_weight_ += watch.weight;
    rest_reads_ += watch.weight * watch.reads / to_seconds(kWatchFor);
    rest_changes_ += watch.weight * watch.changes / to_seconds(kWatchFor);
    return true;
  });
}

Workload WorkloadEstimator::workload(std::optional<double> updates) const {
  Workload out;
  if (seconds_ <= 0.0 || reads_ <= 0.0) return out;
  out.reads_per_second = reads_ / seconds_;
  out.updates_per_second = changes_ / seconds_;
  double share_left = 1.0;
  for (const auto& [key, hot] : hot_) {
    // What may be another key's is not its own; one that is mostly that belongs to the rest.
    const double sure = hot.reads - hot.error;
    if (sure < 0.5 * hot.reads || hot.seconds <= 0.0) continue;
    KeyClass one;
    one.read_share = std::min(share_left, hot.reads / reads_);
    one.reads_per_second = out.reads_per_second * hot.reads / reads_;
    one.updates_per_second = updates.value_or(hot.changes / hot.seconds);
    share_left -= one.read_share;
    out.classes.push_back(one);
  }
  if (share_left > 1e-6 && rest_weight_ > 0.0) {
    KeyClass rest;
    rest.read_share = share_left;
    rest.reads_per_second = rest_reads_ / rest_weight_;
    rest.updates_per_second = updates.value_or(rest_changes_ / rest_weight_);
    out.classes.push_back(rest);
  }
  std::ranges::sort(out.classes, std::ranges::greater{}, &KeyClass::read_share);
  return out;
}

}  // namespace candor
