// What the tiers hold of one key that a reader may be served now: what is past its ttl, below a floor,
// dropped by a tag, guarded by a marker or waits to be written is not there.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/time.h"
#include "tier/l1/entry_view.h"
#include "version/stamp.h"

namespace candor {

struct TierCopy {
  std::shared_ptr<const std::string> value;  // null: "no such row"
  Stamp stamp;                               // of L1 its bound only
  MonoTime loaded_at{0};                     // of L2 as its clock tells
  l1::EntryMeta entry;                       // of L1

  [[nodiscard]] bool negative() const { return value == nullptr; }
  [[nodiscard]] bool is(const std::optional<std::string>& row) const {
    return value == nullptr ? !row : row && *row == *value;
  }
};

struct TierCopies {
  std::optional<TierCopy> l1, l2;
};

}  // namespace candor
