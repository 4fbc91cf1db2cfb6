// Which keys of each feature are hot now: by reads, by bytes read, by misses (loads at the origin) and by
// changes. Reads come from a sample, misses and changes one by one; all of it fades with a half-life of a
// minute, and every figure has its bounds (HotList).
//
// For others of this program that want to know what is hot (warming, capacity): top().
//
// Thread safety: the cache's home executor.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "monitor/hot_list.h"
#include "monitor/read_sample.h"

namespace candor {

enum class HotBy : std::uint8_t { kReads, kBytes, kMisses, kChanges };
inline constexpr std::array<HotBy, 4> kHotBys = {HotBy::kReads, HotBy::kBytes, HotBy::kMisses,
                                                 HotBy::kChanges};
[[nodiscard]] std::string_view hot_by_name(HotBy by);  // reads bytes misses changes
[[nodiscard]] std::optional<HotBy> hot_by_of(std::string_view name);

struct HotKey {
  FeatureId feature;
  std::string key;
  // By HotBy, of each list that has the key.
  std::array<std::optional<HotList::Figure>, kHotBys.size()> figures;
  [[nodiscard]] const std::optional<HotList::Figure>& by(HotBy which) const {
    return figures[static_cast<std::size_t>(which)];
  }
};

class HotKeys {
 public:
  // Entries of all lists of one kind together, about 150 bytes each: what many features share.
  static constexpr std::size_t kEntriesMax = 65'536;
  static constexpr std::size_t kLeastOfFeature = 8;

  // `keys`: that each list of a feature holds, fewer where there are many features.
  HotKeys(std::size_t features, std::size_t keys, std::uint64_t seed);

  void on_read(MonoTime now, const SightedRead& read);
  void on_miss(MonoTime now, KeyRef key);
  void on_change(MonoTime now, KeyRef key);

  // The hottest first; of one feature, or of all.
  [[nodiscard]] std::vector<HotKey> top(std::optional<FeatureId> feature, std::size_t count, HotBy by,
                                        MonoTime now) const;
  // Of one key, by HotBy; nothing: the list does not have it.
  [[nodiscard]] std::array<std::optional<HotList::Figure>, kHotBys.size()> figures_of(KeyRef key,
                                                                                      MonoTime now) const;
  // Of the feature as a whole.
  struct Total {
    double per_second = 0.0;
    double unlisted_at_most = 0.0;  // a key that is not in the list
  };
  [[nodiscard]] Total total(FeatureId feature, HotBy by, MonoTime now) const;
  [[nodiscard]] std::size_t keys_of_feature() const { return keys_; }

 private:
  using Lists = std::vector<HotList>;  // by HotBy; none before the feature's first event
  [[nodiscard]] HotList* list(FeatureId feature, HotBy by);
  void add(MonoTime now, KeyRef key, HotBy by, double weight, double amount);
  [[nodiscard]] std::uint64_t hash_of(KeyRef key) const;

  std::size_t keys_;
  std::uint64_t seed_;
  std::vector<Lists> features_;
};

}  // namespace candor
