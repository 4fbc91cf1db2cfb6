// Small strong types that several rooms share.
#pragma once

#include <compare>
#include <cstdint>
#include <string_view>

namespace candor {

// Index of a configured feature on this node: dense, stable for the life of the process, below kMax.
struct FeatureId {
  static constexpr std::uint16_t kMax = 4096;  // twelve bits in an L1 entry's header
  std::uint16_t value = 0;
  friend constexpr auto operator<=>(FeatureId, FeatureId) = default;
};

// Limits of the data model (interface: keys to 4 KiB, values to 64 MiB).
inline constexpr std::size_t kKeyBytesMax = 4096;
inline constexpr std::size_t kValueBytesMax = std::size_t{64} << 20;

// A key inside a feature: borrowed bytes.
struct KeyRef {
  FeatureId feature;
  std::string_view key;  // without the `feature:` prefix
};

}  // namespace candor
