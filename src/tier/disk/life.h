// What one run of the disk tier leaves to the next, and what the next makes of it. Pure.
//
// Times on the disk are of the monotonic clock, which does not step; it begins anew when the machine does. A
// mark holds that clock and the wall clock side by side at the end of the run, so that the ages of before are
// known whatever the wall clock did during the run. The time between two boots is the wall clock's word
// alone: if that went backwards meanwhile, nothing of before is kept.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

namespace candor::disk {

// One life of the tier, from open() to close().
struct Moment {
  std::uint64_t boot = 0;  // names this start of the machine
  MonoTime mono{0};
  WallTime wall{0};
};

struct FeatureLife {
  // Of what an answer depends on beside the row: another load statement makes other values.
  std::uint64_t fingerprint = 0;
  std::uint64_t floor = 0;      // records below it are never served
  std::uint64_t kept_from = 0;  // records below it are not served by a later run
};

struct Life {
  Moment end;
  std::uint64_t next_sequence = 1;
  std::uint64_t floor = 0;  // of all features
  // What to add to times of an earlier boot to have them on the clock of `end`.
  struct Boot {
    std::uint64_t boot = 0;
    std::int64_t shift_ms = 0;
  };
  std::vector<Boot> boots;  // youngest first
  std::map<std::string, FeatureLife, std::less<>> features;

  // More boots than this within the life of an entry: the oldest are not kept.
  static constexpr std::size_t kBootsMax = 16;
};

[[nodiscard]] std::string encode_life(const Life& life);
[[nodiscard]] std::optional<Life> decode_life(std::string_view bytes);

// The life of a run that begins now. Nothing: what is there cannot be dated.
[[nodiscard]] std::optional<Life> resume(Life before, const Moment& now);

}  // namespace candor::disk
