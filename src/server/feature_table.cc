#include "server/feature_table.h"

#include <bit>
#include <cstring>
#include <string>

#include "base/hash.h"

namespace candor::server {

FeatureTable::FeatureTable(const CacheCore& cache, std::string_view plain_feature, std::uint64_t seed)
    : cache_(cache), seed_(seed), slots_(std::bit_ceil(2 * cache.feature_count() + 2)) {
  for (std::size_t i = 0; i < cache.feature_count(); ++i) {
    const Feature& feature = cache.feature(FeatureId{static_cast<std::uint16_t>(i)});
    const auto& policy = feature.policy();
    std::size_t at = hash_bytes(policy.name, seed_) & (slots_.size() - 1);
    while (slots_[at].feature != nullptr) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = Slot{policy.name + ":", &feature};
    const Backing backing = !policy.plain            ? Backing::kOrigin
                            : cache.plain_is_local() ? Backing::kPlainLocal
                                                     : Backing::kPlainShared;
    backings_.push_back(static_cast<std::uint8_t>(backing));
    if (policy.name == plain_feature) plain_ = &feature;
  }
}

const FeatureTable::Slot* FeatureTable::find(std::string_view name) const {
  std::size_t at = hash_bytes(name, seed_) & (slots_.size() - 1);
  for (; slots_[at].feature != nullptr; at = (at + 1) & (slots_.size() - 1)) {
    const std::string_view prefix = slots_[at].prefix;
    if (prefix.size() == name.size() + 1 && prefix.starts_with(name)) return &slots_[at];
  }
  return nullptr;
}

ResolvedKey FeatureTable::resolve(std::string_view full_key) const {
  Recent nothing;
  return nothing.resolve(*this, full_key);
}

ResolvedKey FeatureTable::Recent::resolve_slowly(const FeatureTable& table, std::string_view full_key) {
  const auto* colon = static_cast<const char*>(
      full_key.empty() ? nullptr : std::memchr(full_key.data(), ':', full_key.size()));
  if (colon != nullptr) {
    const auto length = static_cast<std::size_t>(colon - full_key.data());
    if (const Slot* slot = table.find(full_key.substr(0, length))) {
      prefix_ = slot->prefix;
      feature_ = slot->feature;
      return {feature_, full_key.substr(length + 1)};
    }
  }
  return {table.plain_, full_key};
}

std::string FeatureTable::full_name(FeatureId feature, std::string_view key) const {
  if (plain_ != nullptr && plain_->id() == feature) return std::string(key);
  std::string name = cache_.feature(feature).policy().name;
  name.append(1, ':').append(key);
  return name;
}

}  // namespace candor::server
