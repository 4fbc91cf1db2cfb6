// What this node can prove about one origin. Written by the change river on the cache's home executor, read
// by the hit path on any thread: single words, relaxed, because each stands for itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <string>

#include "tier/l1/store.h"
#include "version/change.h"

namespace candor {

struct OriginTrust {
  explicit OriginTrust(std::string origin) : name(std::move(origin)) {}

  static constexpr l1::Millis kNever = std::numeric_limits<l1::Millis>::min();

  const std::string name;
  // Every change committed before this moment of this node's monotonic clock is applied here. kNever: no
  // proof.
  std::atomic<l1::Millis> fresh_as_of_ms{kNever};
  // How far this node has applied the origin's stream, and of which history: what session tokens are compared
  // with.
  std::atomic<std::uint64_t> applied_position{0};
  std::atomic<std::uint64_t> incarnation{0};
};

// The floor of a feature: entries whose load began before it are suspect.
inline constexpr l1::Millis kNoFloor = std::numeric_limits<l1::Millis>::min();
inline constexpr l1::Millis kFloorUnsettled =
    std::numeric_limits<l1::Millis>::max();  // every entry is suspect

}  // namespace candor
