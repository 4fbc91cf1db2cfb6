// LRU stacks of a sample of the keys, of each feature and of all together: how much else was accessed between
// two accesses of a key? That distance says for every size at once whether an LRU cache would have hit
// (Mattson et al., 1970), and a sample by hash keeps it right when scaled up (SHARDS: Waldspurger et al.,
// "Efficient MRC construction with SHARDS", FAST'15). The size of the sample is fixed: its rate falls when
// there are too many keys, for each feature on its own, so that a small one is not drowned by a large one.
//
// A key of a feature with the rate R stands for 1/R keys. In the stack of all it weighs as many.
//
// Invariants (check_invariants)
//   - Never more than keys_max keys; all are below their feature's threshold.
//   - A key is once in its feature's stack and once in that of all.
// Thread safety: none. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "capacity/stack_axis.h"
#include "tier/l1/entry_view.h"

namespace candor::capacity {

class SampledStacks {
 public:
  struct Options {
    std::size_t keys_max = 8192;
    std::size_t features = 1;
    double depth_bytes =
        0;  // what lies deeper in the stack of all is forgotten; no size in question reaches it
  };
  explicit SampledStacks(const Options& options);

  struct Key {
    std::uint64_t hash = 0;
    l1::Millis fresh_until = 0;  // 0: no expiry
    std::uint32_t bytes = 0;
    StackAxis::Position in_all = 0;
    StackAxis::Position in_feature = 0;
    FeatureId feature;
    bool is_held = false;
  };
  // Null: not known. Valid until the next call.
  [[nodiscard]] Key* find(std::uint64_t hash);

  struct Distance {
    Weight feature;  // up to and including the key itself, scaled up
    Weight all;
  };
  // To the top of both stacks; how deep it was.
  Distance touch(Key& key);
  // On top. Requires: it is not known.
  Key& insert(std::uint64_t hash, FeatureId feature, std::uint32_t bytes);
  void resize(Key& key, std::uint32_t bytes);
  void erase(Key& key);

  [[nodiscard]] double rate(FeatureId feature) const { return features_[feature.value].rate; }
  // What a key of the feature weighs among all.
  [[nodiscard]] double scale(FeatureId feature) const { return 1.0 / rate(feature); }
  // Keys that are now above the threshold go. In (0, 1].
  void set_rate(FeatureId feature, double rate);
  [[nodiscard]] static std::uint32_t threshold(double rate);

  // Forgets what lies too deep. True if something did.
  bool trim();
  void erase_if(const std::function<bool(const Key&)>& is_erased);
  void set_depth(double bytes) { options_.depth_bytes = bytes; }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t size(FeatureId feature) const { return features_[feature.value].axis.size(); }
  [[nodiscard]] std::size_t keys_max() const { return options_.keys_max; }
  [[nodiscard]] bool is_full() const { return size_ >= options_.keys_max; }
  [[nodiscard]] std::size_t memory_bytes() const;
  // Of one key, at most, all structures together; for sizing.
  static constexpr std::size_t kBytesPerKey = 112;
  void check_invariants() const;

 private:
  struct Feature {
    StackAxis axis;
    double rate = 1.0;
  };
  static constexpr std::uint32_t kNone = StackAxis::kNobody;

  [[nodiscard]] Weight weight_in_feature(const Key& key) const;
  [[nodiscard]] Weight weight_in_all(const Key& key) const;
  void push(std::uint32_t index);
  void rebuild_all();
  void rebuild_feature(FeatureId feature);
  [[nodiscard]] std::uint32_t index_of(const Key& key) const {
    return static_cast<std::uint32_t>(&key - keys_.data());
  }
  [[nodiscard]] std::size_t slot_of(std::uint64_t hash) const {
    return static_cast<std::size_t>(hash * 0x9e3779b97f4a7c15ULL >> 20) & (slots_.size() - 1);
  }
  void unindex(std::uint64_t hash);

  Options options_;
  std::vector<Feature> features_;
  StackAxis all_;
  std::vector<Key> keys_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> slots_;  // open addressing with linear probing; at most half full
  std::size_t size_ = 0;
};

}  // namespace candor::capacity
