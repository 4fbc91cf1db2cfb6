// What an invalidation leaves in a tier instead of a bare delete: the changes that a load must include to be
// stored.
//
// A set, not a highest id: the ids of PostgreSQL transactions are not in the order of their commits, so that
// a load may include change 7 of a key and not change 5. More than kIdsMax collapse into the highest id,
// which then only the *bound* of a stamp may pass: conservative, and right for every id below.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "version/stamp.h"

namespace candor {

class Marker {
 public:
  // Four changes of one key whose visibility is unknown are many; a set costs 40 bytes.
  static constexpr std::size_t kIdsMax = 4;

  Marker() = default;
  explicit Marker(ChangeId change) { add(change); }

  void add(ChangeId change) {
    if (change.value == 0) return;
    if (collapsed_) {
      ids_[0] = std::max(ids_[0], change.value);
      return;
    }
    const auto end = ids_.begin() + count_;
    if (std::find(ids_.begin(), end, change.value) != end) return;
    if (count_ < kIdsMax) {
      ids_[count_++] = change.value;
      return;
    }
    ids_[0] = std::max(change.value, *std::max_element(ids_.begin(), end));
    count_ = 1;
    collapsed_ = true;
  }
  // Every change up to `bound` must be included.
  void add_all_up_to(ChangeId bound) {
    const ChangeId top = std::max(bound, highest());
    if (top.value == 0) return;
    ids_[0] = top.value;
    count_ = 1;
    collapsed_ = true;
  }

  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] bool collapsed() const { return collapsed_; }
  [[nodiscard]] ChangeId highest() const {
    return ChangeId{count_ == 0 ? 0 : *std::max_element(ids_.begin(), ids_.begin() + count_)};
  }
  // May a load with this stamp be stored?
  [[nodiscard]] bool passed_by(const Stamp& stamp) const {
    if (collapsed_) return stamp.bound().includes(ChangeId{ids_[0]});
    return std::all_of(ids_.begin(), ids_.begin() + count_,
                       [&](std::uint64_t id) { return stamp.includes(ChangeId{id}); });
  }
  [[nodiscard]] bool passed_by(StampBound bound) const { return empty() || bound.includes(highest()); }
  [[nodiscard]] const std::array<std::uint64_t, kIdsMax>& ids() const { return ids_; }
  [[nodiscard]] std::size_t count() const { return count_; }
  friend bool operator==(const Marker&, const Marker&) = default;

 private:
  std::array<std::uint64_t, kIdsMax> ids_{};
  std::uint8_t count_ = 0;
  bool collapsed_ = false;
};

}  // namespace candor
