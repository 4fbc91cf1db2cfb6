// The real cache in miniature, at several sizes at once: what would L1's own policy miss with half, twice or
// four times the memory? L1 is not LRU, so LRU's curve is not its own; small copies of it that see a sample
// of the keys are (Waldspurger et al., "Cache modeling and optimization using miniature simulations",
// ATC'17).
//
// A sampled key stands for 1/R keys and weighs as many bytes, so keys of features with different rates meet
// in one cache of the real size.
//
// Thread safety: none. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "tier/l1/queue_model.h"
#include "tier/l1/store.h"

namespace candor::capacity {

inline constexpr std::array<double, 4> kFactors{0.5, 1.0, 2.0, 4.0};  // of the memory that L1 has

class Miniature {
 public:
  struct Options {
    double capacity_bytes = 0;  // of entries, at 1×
    std::size_t keys_max = 8192;
    std::size_t features = 1;
    l1::PolicyKind policy = l1::PolicyKind::kDefault;
    std::uint64_t seed = 0;
  };
  explicit Miniature(const Options& options);

  // A read of a key. `reads`: of it, one after the other. `scale`: keys that it stands for.
  void read(std::uint64_t hash, FeatureId feature, std::uint32_t bytes, double scale, std::uint32_t reads);
  // The same of a key whose size is not known: it does not come in before it is stored.
  void look(std::uint64_t hash, FeatureId feature, double scale);
  // A miss at every size.
  void miss(FeatureId feature, double scale);
  // Stored: comes in where it is not yet.
  void insert(std::uint64_t hash, FeatureId feature, std::uint32_t bytes, double scale);
  void resize(std::uint64_t hash, std::uint32_t bytes, double scale);
  void erase(std::uint64_t hash);
  void erase_all(const FeatureId* feature);  // null: of every feature
  // Keys of the feature whose place is not below the threshold leave, the others stand for more or fewer.
  void rescale(FeatureId feature, std::uint32_t below, double factor);
  void set_capacity(double bytes);
  void fade(double factor);

  // Reads of the feature, weighed, that missed at this size.
  [[nodiscard]] double misses(std::size_t factor, FeatureId feature) const {
    return caches_[factor].misses[feature.value];
  }
  [[nodiscard]] double misses(std::size_t factor) const;
  [[nodiscard]] std::size_t memory_bytes() const;
  void check_invariants() const;
  // Of a key that is in all caches, as all are when half the memory would do; for sizing.
  static constexpr std::size_t kBytesPerKey = kFactors.size() * 48;
  // Of the policies, whatever the number of keys.
  static constexpr std::size_t kFixedBytes = kFactors.size() * 40'000;

 private:
  struct Cache {
    std::unique_ptr<l1::QueueModel> model;
    std::vector<double> misses;  // by feature
  };
  [[nodiscard]] static l1::QueueModel::Label label(std::uint64_t hash, FeatureId feature);
  [[nodiscard]] static std::size_t weight(std::uint32_t bytes, double scale) {
    return static_cast<std::size_t>(std::max(1.0, bytes * scale + 0.5));
  }
  std::array<Cache, kFactors.size()> caches_;
};

}  // namespace candor::capacity
