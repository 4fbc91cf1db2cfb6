#include "cache/feature.h"

#include <algorithm>

namespace candor {

Feature::Feature(FeatureId id, FeaturePolicy policy, std::unique_ptr<OriginFeature> origin)
    : id_(id), policy_(nullptr), origin_(std::move(origin)) {
  replace_policy(std::move(policy));
}

void Feature::replace_policy(FeaturePolicy policy) {
  const auto held = std::ranges::find_if(policies_, [&](const auto& one) { return *one == policy; });
  if (held != policies_.end()) return policy_.store(held->get(), std::memory_order_release);
  policies_.push_back(std::make_unique<const FeaturePolicy>(std::move(policy)));
  policy_.store(policies_.back().get(), std::memory_order_release);
}

}  // namespace candor
