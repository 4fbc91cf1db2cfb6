// A read that was picked to be judged, with what is needed to judge it later.
#pragma once

#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/time.h"
#include "cache/cache.h"
#include "version/stamp.h"

namespace candor {

// The hit path's time is a millisecond that may be some turns of its loop old: a change that was applied less
// than this before a read may have come after it.
inline constexpr Duration kReadTimeSlack = 20ms;

struct PickedRead {
  FeatureId feature;
  std::string key;
  std::uint64_t key_hash = 0;    // of feature and key
  std::uint64_t value_hash = 0;  // fingerprint(); of an absent row: of nothing
  bool negative = false;
  bool degraded = false;
  bool is_checked = false;  // against the origin as well
  Tier tier = Tier::kL1;
  Consistency level = Consistency::kSession;
  StampBound stamp;
  MonoTime loaded_at{0};
  MonoTime at{0};
  double weight = 1.0;        // reads that it stands for
  double check_weight = 1.0;  // the same, among those that are checked
  [[nodiscard]] Duration age() const { return at - loaded_at; }
};

// Of a value, to tell whether the origin still has it. Values above a mebibyte by their length and their
// first and last half: hashing one whole would hold up the thread that serves it.
[[nodiscard]] std::uint64_t fingerprint(std::string_view value);

}  // namespace candor
