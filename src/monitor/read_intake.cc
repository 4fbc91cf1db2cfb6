#include "monitor/read_intake.h"

#include <algorithm>

#include "base/hash.h"
#include "base/stable_sort.h"

namespace candor {

namespace {

constexpr std::size_t kWholeBytesMax = std::size_t{1} << 20;

// Enough for every read that waits between two drains of an ordinary load; grown when it is not.
constexpr std::size_t kSlotReserve = 256;

// How much the chance may rise at a time.
constexpr double kRise = 1.5;

}  // namespace

std::uint64_t fingerprint(std::string_view value) {
  if (value.size() <= kWholeBytesMax) return hash_bytes(value, value.size());
  const std::uint64_t head = hash_bytes(value.substr(0, kWholeBytesMax / 2), value.size());
  return hash_bytes(value.substr(value.size() - kWholeBytesMax / 2), head);
}

ReadIntake::ReadIntake(std::size_t features_max, std::uint64_t seed)
    : seed_(seed), rates_(features_max), random_(mix64(seed + 1)) {
  for (Slot& slot : slots_) {
    const MutexLock lock(slot.mutex);
    slot.left_out.assign(features_max, 0);
  }
}

std::uint64_t ReadIntake::key_hash(FeatureId feature, std::string_view key) const {
  return hash_bytes(key, seed_ + feature.value);
}
std::uint64_t ReadIntake::feature_hash(FeatureId feature) const { return mix64(seed_ ^ ~feature.value); }

double ReadIntake::chance(FeatureId feature) const {
  return feature.value < rates_.size() ? rates_[feature.value].chance.load(std::memory_order_relaxed) : 0.0;
}

void ReadIntake::watch(FeatureId feature, double checked) {
  rates_[feature.value].checked = rates_[feature.value].least = checked;
  rates_[feature.value].chance.store(1.0, std::memory_order_relaxed);
}

void ReadIntake::set_rate(FeatureId feature, double reads_per_second) {
  Rate& rate = rates_[feature.value];
  const double wanted = reads_per_second <= kReadsPerSecond ? 1.0 : kReadsPerSecond / reads_per_second;
  const double risen = kRise * rate.chance.load(std::memory_order_relaxed);
  rate.least = std::min(rate.checked, kCheckedPerSecond / std::max(reads_per_second, 1.0));
  rate.chance.store(std::max(std::min(wanted, risen), rate.least), std::memory_order_relaxed);
}

void ReadIntake::take(const SampledRead& read) {
  PickedRead picked;
  picked.feature = read.feature;
  picked.key_hash = key_hash(read.feature, read.key);
  picked.value_hash = read.negative ? 0 : fingerprint(read.value);
  picked.negative = read.negative;
  picked.degraded = read.degraded;
  picked.tier = read.tier;
  picked.level = read.level;
  picked.stamp = read.stamp;
  picked.loaded_at = MonoTime{read.loaded_at * 1'000'000};
  picked.at = MonoTime{read.at * 1'000'000};
  picked.weight = 1.0 / std::max(chance(read.feature), 1e-9);
  Slot& slot = slots_[counter_slot()];
  const MutexLock lock(slot.mutex);
  if (slot.reads.size() >= kWaitingMax) {
    ++slot.left_out[read.feature.value];
    return;
  }
  picked.key.assign(read.key);
  if (slot.reads.capacity() == 0) slot.reads.reserve(kSlotReserve);
  slot.reads.push_back(std::move(picked));
}

std::vector<PickedRead> ReadIntake::drain() {
  std::vector<PickedRead> all;
  std::vector<double> taken(rates_.size(), 0.0);
  std::vector<double> left_out(rates_.size(), 0.0);
  for (Slot& slot : slots_) {
    std::vector<PickedRead> reads;
    {
      const MutexLock lock(slot.mutex);
      reads.swap(slot.reads);
      for (std::size_t i = 0; i < left_out.size(); ++i) {
        left_out[i] += static_cast<double>(slot.left_out[i]);
        left_out_total_ += slot.left_out[i];
        slot.left_out[i] = 0;
      }
    }
    std::ranges::move(reads, std::back_inserter(all));
  }
  for (const PickedRead& read : all) taken[read.feature.value] += 1.0;
  for (std::size_t i = 0; i < rates_.size(); ++i) {
    const double picked = taken[i] + left_out[i];
    if (picked <= kDrainedMax) continue;
    const double chance = rates_[i].chance.load(std::memory_order_relaxed);
    rates_[i].chance.store(std::max(chance * kDrainedMax / picked, rates_[i].least),
                           std::memory_order_relaxed);
  }
  for (PickedRead& read : all) {
    const std::size_t i = read.feature.value;
    read.weight *= (taken[i] + left_out[i]) / taken[i];
    // Of those taken, the part that makes `checked` of all reads.
    const double part = std::min(1.0, rates_[i].checked * read.weight);
    read.is_checked = part > 0.0 && random_.unit() < part;
    if (read.is_checked) read.check_weight = read.weight / part;
  }
  stable_sort_by(all, [](const PickedRead& read) { return read.at; });
  return all;
}

}  // namespace candor
