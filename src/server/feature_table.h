// From a key as clients write it, `feature:key`, to its feature and the key inside it. Built once; features
// do not come and go while the server runs.
//
// Invariant: resolve() of a key never depends on anything but the configured names.
// Thread safety: const after construction; a FeatureTable::Recent belongs to one thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "cache/cache.h"
#include "tier/l1/store.h"

namespace candor::server {

// Where an entry of a feature lives, and so which commands work on it.
enum class Backing : std::uint8_t {
  kOrigin,       // the database; tiers hold copies
  kPlainLocal,   // this node's L1 alone
  kPlainShared,  // the shared L2
};

struct ResolvedKey {
  const Feature* feature = nullptr;  // null: no such feature
  std::string_view key;              // without the prefix
};

class FeatureTable {
 public:
  // `plain_feature`: takes keys without a known prefix; empty: none does.
  FeatureTable(const CacheCore& cache, std::string_view plain_feature, std::uint64_t seed);

  [[nodiscard]] ResolvedKey resolve(std::string_view full_key) const;

  // Remembers the last prefix: the keys of a pipeline mostly share one.
  class Recent {
   public:
    [[nodiscard]] ResolvedKey resolve(const FeatureTable& table, std::string_view full_key) {
      if (!prefix_.empty() && full_key.starts_with(prefix_)) [[likely]] {
        return {feature_, full_key.substr(prefix_.size())};
      }
      return resolve_slowly(table, full_key);
    }

   private:
    ResolvedKey resolve_slowly(const FeatureTable& table, std::string_view full_key);
    std::string_view prefix_;  // "feature:", owned by the table
    const Feature* feature_ = nullptr;
  };

  [[nodiscard]] Backing backing(const Feature& feature) const {
    return static_cast<Backing>(backings_[feature.id().value]);
  }
  [[nodiscard]] const Feature* plain_feature() const { return plain_; }
  // The name by which clients know a key: keys of the plain feature have no prefix.
  [[nodiscard]] std::string full_name(FeatureId feature, std::string_view key) const;

 private:
  struct Slot {
    std::string prefix;
    const Feature* feature = nullptr;
  };
  [[nodiscard]] const Slot* find(std::string_view name) const;

  const CacheCore& cache_;
  std::uint64_t seed_;
  std::vector<Slot> slots_;  // open addressing, at most half full
  std::vector<std::uint8_t> backings_;
  const Feature* plain_ = nullptr;
};

}  // namespace candor::server
