#include "monitor/hot_keys.h"

#include <algorithm>

#include "base/hash.h"

namespace candor {

std::string_view hot_by_name(HotBy by) {
  switch (by) {
    case HotBy::kReads:
      return "reads";
    case HotBy::kBytes:
      return "bytes";
    case HotBy::kMisses:
      return "misses";
    case HotBy::kChanges:
      return "changes";
  }
  return "unknown";
}

std::optional<HotBy> hot_by_of(std::string_view name) {
  for (const HotBy by : kHotBys)
    if (hot_by_name(by) == name) return by;
  return std::nullopt;
}

HotKeys::HotKeys(std::size_t features, std::size_t keys, std::uint64_t seed)
    : keys_(std::min(keys, std::max(kLeastOfFeature, kEntriesMax / std::max<std::size_t>(1, features)))),
      seed_(seed),
      features_(features) {}

std::uint64_t HotKeys::hash_of(KeyRef key) const { return hash_bytes(key.key, seed_ + key.feature.value); }

HotList* HotKeys::list(FeatureId feature, HotBy by) {
  if (feature.value >= features_.size()) return nullptr;
  Lists& lists = features_[feature.value];
  if (lists.empty()) lists.assign(kHotBys.size(), HotList(keys_));
  return &lists[static_cast<std::size_t>(by)];
}

void HotKeys::add(MonoTime now, KeyRef key, HotBy by, double weight, double amount) {
  if (HotList* known = list(key.feature, by)) known->add(now, key.key, hash_of(key), weight, amount);
}

void HotKeys::on_read(MonoTime now, const SightedRead& read) {
  const KeyRef key{read.feature, read.key};
  add(now, key, HotBy::kReads, read.weight, 1.0);
  add(now, key, HotBy::kBytes, read.weight, static_cast<double>(read.value_bytes));
}
void HotKeys::on_miss(MonoTime now, KeyRef key) { add(now, key, HotBy::kMisses, 1.0, 1.0); }
void HotKeys::on_change(MonoTime now, KeyRef key) { add(now, key, HotBy::kChanges, 1.0, 1.0); }

std::vector<HotKey> HotKeys::top(std::optional<FeatureId> feature, std::size_t count, HotBy by,
                                 MonoTime now) const {
  std::vector<HotKey> out;
  for (std::size_t i = 0; i < features_.size(); ++i) {
    const Lists& lists = features_[i];
    if (lists.empty() || (feature && feature->value != i)) continue;
    for (const HotList::Listed& listed : lists[static_cast<std::size_t>(by)].top(now, count)) {
      HotKey& one = out.emplace_back();
      one.feature = FeatureId{static_cast<std::uint16_t>(i)};
      one.key = listed.key;
      for (std::size_t k = 0; k < lists.size(); ++k) one.figures[k] = lists[k].find(now, listed.hash);
    }
  }
  std::ranges::sort(out, std::ranges::greater{}, [by](const HotKey& one) { return one.by(by)->per_second; });
  if (out.size() > count) out.resize(count);
  return out;
}

std::array<std::optional<HotList::Figure>, kHotBys.size()> HotKeys::figures_of(KeyRef key,
                                                                               MonoTime now) const {
  std::array<std::optional<HotList::Figure>, kHotBys.size()> out;
  if (key.feature.value >= features_.size()) return out;
  const Lists& lists = features_[key.feature.value];
  for (std::size_t i = 0; i < lists.size(); ++i) out[i] = lists[i].find(now, hash_of(key));
  return out;
}

HotKeys::Total HotKeys::total(FeatureId feature, HotBy by, MonoTime now) const {
  if (feature.value >= features_.size() || features_[feature.value].empty()) return {};
  const HotList& list = features_[feature.value][static_cast<std::size_t>(by)];
  return {list.per_second(now), list.unlisted_at_most(now)};
}

}  // namespace candor
