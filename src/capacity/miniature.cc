#include "capacity/miniature.h"

#include <algorithm>
#include <numeric>

#include "base/random.h"
#include "tier/l1/access_log.h"
#include "tier/l1/policy.h"

namespace candor::capacity {

l1::QueueModel::Label Miniature::label(std::uint64_t hash, FeatureId feature) {
  return {l1::AccessLog::place(hash), feature.value};
}

Miniature::Miniature(const Options& options) {
  for (std::size_t i = 0; i < caches_.size(); ++i) {
    const l1::QueueModel::Weighted limits{
        static_cast<std::size_t>(std::max(1.0, options.capacity_bytes * kFactors[i])), options.keys_max};
    caches_[i].model = std::make_unique<l1::QueueModel>(
        l1::make_policy(options.policy, mix64(options.seed + i)), limits, mix64(options.seed + 100 + i));
    caches_[i].misses.resize(options.features);
  }
}

void Miniature::read(std::uint64_t hash, FeatureId feature, std::uint32_t bytes, double scale,
                     std::uint32_t reads) {
  const std::uint32_t again = std::min<std::uint32_t>(reads - 1, l1::kAccessMax);
  for (Cache& cache : caches_) {
    if (!cache.model->touch(hash)) {
      cache.misses[feature.value] += scale;
      cache.model->insert(hash, weight(bytes, scale), label(hash, feature));
    }
    for (std::uint32_t i = 0; i < again; ++i) (void)cache.model->touch(hash);
  }
}

void Miniature::miss(FeatureId feature, double scale) {
  for (Cache& cache : caches_) cache.misses[feature.value] += scale;
}

void Miniature::look(std::uint64_t hash, FeatureId feature, double scale) {
  for (Cache& cache : caches_)
    if (!cache.model->touch(hash)) cache.misses[feature.value] += scale;
}

void Miniature::insert(std::uint64_t hash, FeatureId feature, std::uint32_t bytes, double scale) {
  for (Cache& cache : caches_)
    if (!cache.model->contains(hash)) cache.model->insert(hash, weight(bytes, scale), label(hash, feature));
}

void Miniature::erase_all(const FeatureId* feature) {
  for (Cache& cache : caches_)
    cache.model->reweigh([&](l1::QueueModel::Label label, std::size_t weight) {
      return feature == nullptr || label.group == feature->value ? 0 : weight;
    });
}

void Miniature::rescale(FeatureId feature, std::uint32_t below, double factor) {
  for (Cache& cache : caches_)
    cache.model->reweigh([&](l1::QueueModel::Label label, std::size_t weight) -> std::size_t {
      if (label.group != feature.value) return weight;
      if (label.number >= below) return 0;
      return std::max<std::size_t>(1, static_cast<std::size_t>(static_cast<double>(weight) * factor + 0.5));
    });
}

void Miniature::resize(std::uint64_t hash, std::uint32_t bytes, double scale) {
  for (Cache& cache : caches_) cache.model->resize(hash, weight(bytes, scale));
}

void Miniature::erase(std::uint64_t hash) {
  for (Cache& cache : caches_) (void)cache.model->erase(hash);
}

void Miniature::set_capacity(double bytes) {
  for (std::size_t i = 0; i < caches_.size(); ++i)
    caches_[i].model->set_capacity(static_cast<std::size_t>(std::max(1.0, bytes * kFactors[i])));
}

void Miniature::fade(double factor) {
  for (Cache& cache : caches_)
    for (double& misses : cache.misses) misses *= factor;
}

double Miniature::misses(std::size_t factor) const {
  const auto& misses = caches_[factor].misses;
  return std::accumulate(misses.begin(), misses.end(), 0.0);
}

std::size_t Miniature::memory_bytes() const {
  std::size_t bytes = 0;
  for (const Cache& cache : caches_)
    bytes += cache.model->memory_bytes() + cache.misses.capacity() * sizeof(double);
  return bytes;
}

void Miniature::check_invariants() const {
  for (const Cache& cache : caches_) cache.model->check_invariants();
}

}  // namespace candor::capacity
