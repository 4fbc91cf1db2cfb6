// Suspect entries in the order in which they are asked about again: those that L1 saw read most first.
// Bounded: when it is full the least read go, and are found by the next walk. Pure; belongs to the cache's
// home executor.
//
// What L1 knows of reads is three bits an entry, saturating; an exact order would cost memory for each entry
// and work for each read, and what is read often is asked about by its readers anyway.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace candor {

class SuspectLine {
 public:
  struct Suspect {
    FeatureId feature;
    std::string key;
  };
  // At 2,000 a second a walk of L1 (a tenth of a second for a million entries) fills it for sixteen seconds.
  static constexpr std::size_t kKeysMax = 32'768;
  static constexpr std::size_t kKeyBytesMax = std::size_t{4} << 20;
  static constexpr unsigned kClasses = 8;  // of L1's access bits

  void offer(unsigned accesses, FeatureId feature, std::string_view key) {
    const unsigned mine = accesses < kClasses ? accesses : kClasses - 1;
    while (size_ >= kKeysMax || (size_ > 0 && key_bytes_ + key.size() > kKeyBytesMax)) {
      const unsigned least = lowest();
      ++left_out_;
      if (least >= mine) return;
      drop_one_of(least);
    }
    classes_[mine].push_back({feature, std::string(key)});
    key_bytes_ += key.size();
    ++size_;
  }

  // The most read; among equals the one that came last.
  std::optional<Suspect> next() {
    for (unsigned i = kClasses; i-- > 0;) {
      if (classes_[i].empty()) continue;
      Suspect found = classes_[i].back();
      drop_one_of(i);
      return found;
    }
    return std::nullopt;
  }

  void clear() {
    for (auto& one : classes_) one = {};
    size_ = key_bytes_ = left_out_ = 0;
  }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t left_out() const { return left_out_; }  // since clear()

 private:
  [[nodiscard]] unsigned lowest() const {
    unsigned i = 0;
    while (i + 1 < kClasses && classes_[i].empty()) ++i;
    return i;
  }
  void drop_one_of(unsigned i) {
    key_bytes_ -= classes_[i].back().key.size();
    classes_[i].pop_back();
    --size_;
  }

  std::array<std::vector<Suspect>, kClasses> classes_;
  std::size_t size_ = 0, key_bytes_ = 0, left_out_ = 0;
};

}  // namespace candor
