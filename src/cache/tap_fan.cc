#include "cache/tap_fan.h"

#include <algorithm>

#include "base/assert.h"
#include "base/random.h"

namespace candor {

void TapFan::add(ReadTap* taker) {
  CANDOR_ASSERT(count_ < kTakersMax);
  takers_[count_++] = taker;
}

double TapFan::chance(FeatureId feature) const {
  double most = 0.0;
  for (std::size_t i = 0; i < count_; ++i) most = std::max(most, takers_[i]->chance(feature));
  return most;
}

void TapFan::take(const SampledRead& read) {
  std::array<double, kTakersMax> chances{};
  double most = 0.0;
  for (std::size_t i = 0; i < count_; ++i) {
    chances[i] = takers_[i]->chance(read.feature);
    most = std::max(most, chances[i]);
  }
  if (most <= 0.0) return;
  Random random(mix64(seed_ + draws_.fetch_add(1, std::memory_order_relaxed)));
  for (std::size_t i = 0; i < count_; ++i)
    if (chances[i] >= most || random.unit() * most < chances[i]) takers_[i]->take(read);
}

}  // namespace candor
