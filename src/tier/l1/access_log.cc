#include "tier/l1/access_log.h"

#include "base/assert.h"

namespace candor::l1 {
namespace {

// A read joins the record of the key's last one when so few lie between: nothing that is asked of a cache
// depends on distances that short, and only keys that make up a good part of the reads need it.
constexpr std::size_t kJoinWithin = 32;

}  // namespace

AccessLog::AccessLog(std::size_t features, unsigned stripes, std::size_t stripe_accesses)
    : below_(std::make_unique<std::atomic<std::uint32_t>[]>(features)),
      features_(features),
      stripe_accesses_(stripe_accesses),
      lost_reads_(std::make_unique<std::atomic<std::uint64_t>[]>(features)),
      erased_(std::make_unique<std::atomic<bool>[]>(features)) {
  CANDOR_ASSERT(stripe_accesses <= 0xFFFF);  // Stripe::recent
  for (unsigned i = 0; i < stripes; ++i) {
    stripes_.push_back(std::make_unique<Stripe>());
    stripes_.back()->accesses.reserve(stripe_accesses);
  }
}

void AccessLog::record(unsigned thread, const Access& access) {
  Stripe& stripe = *stripes_[thread % stripes_.size()];
  if (stripe.busy.test_and_set(std::memory_order_acquire)) {
    drop(access);
    return;
  }
  std::uint16_t& recent = stripe.recent[access.hash % kRecent];
  const bool is_known = recent < stripe.accesses.size() && stripe.accesses[recent].hash == access.hash &&
                        stripe.accesses[recent].kind == Access::Kind::kHit &&
                        stripe.accesses.size() - recent <= kJoinWithin;
  if (is_known && access.kind == Access::Kind::kHit) {
    ++stripe.accesses[recent].reads;
  } else if (stripe.accesses.size() < stripe_accesses_) {
    recent = static_cast<std::uint16_t>(stripe.accesses.size());
    stripe.accesses.push_back(access);
  } else {
    drop(access);
  }
  stripe.busy.clear(std::memory_order_release);
}

void AccessLog::drop(const Access& access) {
  dropped_.fetch_add(1, std::memory_order_relaxed);
  if (access.kind == Access::Kind::kHit || access.kind == Access::Kind::kMiss)
    lost_reads_[access.feature.value].fetch_add(1, std::memory_order_relaxed);
}

void AccessLog::record_read(unsigned thread, std::uint64_t hash, FeatureId feature, std::uint32_t bytes) {
  Access access;
  access.hash = hash;
  access.feature = feature;
  access.bytes = bytes;
  access.kind = bytes != 0 ? Access::Kind::kHit : Access::Kind::kMiss;
  record(thread, access);
}

void AccessLog::record_erased(const FeatureId* feature) {
  (feature != nullptr ? erased_[feature->value] : all_erased_).store(true, std::memory_order_release);
}

void AccessLog::drain(std::vector<Access>* out) {
  Access erased;
  erased.kind = Access::Kind::kAllErased;
  if (all_erased_.exchange(false, std::memory_order_acq_rel)) out->push_back(erased);
  erased.kind = Access::Kind::kFeatureErased;
  for (std::size_t i = 0; i < features_; ++i) {
    if (!erased_[i].load(std::memory_order_relaxed)) continue;
    erased_[i].store(false, std::memory_order_relaxed);
    erased.feature = FeatureId{static_cast<std::uint16_t>(i)};
    out->push_back(erased);
  }
  for (const auto& stripe : stripes_) {
    if (stripe->busy.test_and_set(std::memory_order_acquire)) continue;  // the next drain finds it
    out->insert(out->end(), stripe->accesses.begin(), stripe->accesses.end());
    stripe->accesses.clear();
    stripe->busy.clear(std::memory_order_release);
  }
}

std::size_t AccessLog::memory_bytes() const {
  return features_ * (sizeof(std::uint32_t) + sizeof(std::uint64_t) + 1) +
         stripes_.size() * (sizeof(Stripe) + stripe_accesses_ * sizeof(Access));
}

}  // namespace candor::l1
