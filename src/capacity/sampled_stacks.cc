#include "capacity/sampled_stacks.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/assert.h"
#include "tier/l1/access_log.h"

namespace candor::capacity {

SampledStacks::SampledStacks(const Options& options)
    : options_(options),
      features_(options.features),
      slots_(std::bit_ceil(std::max<std::size_t>(options.keys_max, 8) * 2), kNone) {
  CANDOR_ASSERT(options.keys_max > 0 && options.features > 0);
  keys_.reserve(options.keys_max);
}

std::uint32_t SampledStacks::threshold(double rate) {
  return static_cast<std::uint32_t>(std::clamp(rate * 0x1p32, 1.0, 0x1p32 - 1));
}

Weight SampledStacks::weight_in_feature(const Key& key) const {
  return {static_cast<double>(key.bytes), 1.0};
}

Weight SampledStacks::weight_in_all(const Key& key) const {
  const double scale = this->scale(key.feature);
  return {key.bytes * scale, scale};
}

SampledStacks::Key* SampledStacks::find(std::uint64_t hash) {
  for (std::size_t slot = slot_of(hash); slots_[slot] != kNone; slot = (slot + 1) & (slots_.size() - 1))
    if (keys_[slots_[slot]].hash == hash) return &keys_[slots_[slot]];
  return nullptr;
}

void SampledStacks::push(std::uint32_t index) {
  Key& key = keys_[index];
  Feature& feature = features_[key.feature.value];
  if (all_.is_full()) rebuild_all();
  if (feature.axis.is_full()) rebuild_feature(key.feature);
  key.in_all = all_.push(index, weight_in_all(key));
  key.in_feature = feature.axis.push(index, weight_in_feature(key));
}

void SampledStacks::rebuild_all() {
  all_.rebuild([this](std::uint32_t index) { return weight_in_all(keys_[index]); },
               [this](std::uint32_t index, StackAxis::Position at) { keys_[index].in_all = at; });
}

void SampledStacks::rebuild_feature(FeatureId feature) {
  features_[feature.value].axis.rebuild(
      [this](std::uint32_t index) { return weight_in_feature(keys_[index]); },
      [this](std::uint32_t index, StackAxis::Position at) { keys_[index].in_feature = at; });
}

SampledStacks::Distance SampledStacks::touch(Key& key) {
  Feature& feature = features_[key.feature.value];
  const double scale = this->scale(key.feature);
  Distance distance;
  const Weight above = feature.axis.above(key.in_feature);
  distance.feature = {above.bytes * scale + key.bytes, above.objects * scale + 1};
  distance.all = all_.above(key.in_all);
  distance.all.bytes += key.bytes;
  distance.all.objects += 1;
  all_.remove(key.in_all, weight_in_all(key));
  feature.axis.remove(key.in_feature, weight_in_feature(key));
  push(index_of(key));
  return distance;
}

SampledStacks::Key& SampledStacks::insert(std::uint64_t hash, FeatureId feature, std::uint32_t bytes) {
  CANDOR_ASSERT(!is_full());
  std::uint32_t index = 0;
  if (free_.empty()) {
    index = static_cast<std::uint32_t>(keys_.size());
    keys_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  keys_[index] = Key{.hash = hash, .bytes = bytes, .feature = feature, .is_held = true};
  std::size_t slot = slot_of(hash);
  while (slots_[slot] != kNone) slot = (slot + 1) & (slots_.size() - 1);
  slots_[slot] = index;
  ++size_;
  push(index);
  return keys_[index];
}

void SampledStacks::resize(Key& key, std::uint32_t bytes) {
  const double more = static_cast<double>(bytes) - static_cast<double>(key.bytes);
  if (more == 0) return;
  features_[key.feature.value].axis.change(key.in_feature, {more, 0});
  all_.change(key.in_all, {more * scale(key.feature), 0});
  key.bytes = bytes;
}

void SampledStacks::erase(Key& key) {
  all_.remove(key.in_all, weight_in_all(key));
  features_[key.feature.value].axis.remove(key.in_feature, weight_in_feature(key));
  unindex(key.hash);
  key.is_held = false;
  free_.push_back(index_of(key));
  --size_;
}

// Closes the hole, so that probing needs no tombstones.
void SampledStacks::unindex(std::uint64_t hash) {
  const std::size_t last = slots_.size() - 1;
  std::size_t hole = slot_of(hash);
  while (keys_[slots_[hole]].hash != hash) hole = (hole + 1) & last;
  for (std::size_t slot = (hole + 1) & last; slots_[slot] != kNone; slot = (slot + 1) & last) {
    const std::size_t home = slot_of(keys_[slots_[slot]].hash);
    if (((slot - home) & last) < ((slot - hole) & last)) continue;
    slots_[hole] = slots_[slot];
    hole = slot;
  }
  slots_[hole] = kNone;
}

void SampledStacks::erase_if(const std::function<bool(const Key&)>& is_erased) {
  for (Key& key : keys_)
    if (key.is_held && is_erased(key)) erase(key);
}

void SampledStacks::set_rate(FeatureId feature, double rate) {
  const std::uint32_t below = threshold(rate);
  erase_if([&](const Key& key) { return key.feature == feature && l1::AccessLog::place(key.hash) >= below; });
  features_[feature.value].rate = rate;
  rebuild_all();  // each weighs something else now
}

bool SampledStacks::trim() {
  bool trimmed = false;
  while (all_.total().bytes > options_.depth_bytes) {
    const StackAxis::Owner oldest = all_.oldest();
    if (oldest == StackAxis::kNobody) break;
    erase(keys_[oldest]);
    trimmed = true;
  }
  return trimmed;
}

std::size_t SampledStacks::memory_bytes() const {
  std::size_t bytes = all_.memory_bytes() + keys_.capacity() * sizeof(Key) +
                      (free_.capacity() + slots_.capacity()) * sizeof(std::uint32_t) +
                      features_.capacity() * sizeof(Feature);
  for (const Feature& feature : features_) bytes += feature.axis.memory_bytes();
  return bytes;
}

void SampledStacks::check_invariants() const {
  CANDOR_ASSERT(size_ <= options_.keys_max && all_.size() == size_);
  std::size_t held = 0, in_features = 0;
  for (const Key& key : keys_) {
    if (!key.is_held) continue;
    ++held;
    CANDOR_ASSERT(l1::AccessLog::place(key.hash) < threshold(rate(key.feature)));
  }
  for (const Feature& feature : features_) in_features += feature.axis.size();
  CANDOR_ASSERT(held == size_ && in_features == size_);
}

}  // namespace candor::capacity
