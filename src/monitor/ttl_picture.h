// When what a feature holds will expire: how its remaining lives are spread, how many end soon, and what the
// worst second ahead would ask of the origin. Pure: entries in, figures out.
//
// Only entries that were read since they were stored count for the origin: the others expire and nobody asks.
// Keys that are refreshed ahead of their expiry (refresh_beta) come earlier and more evenly than this says:
// it is the worst case.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/time.h"

namespace candor {

class TtlPicture {
 public:
  // Upper edges; the last bucket has none. Entries past their ttl, kept for serve_stale, and those without an
  // expiry are counted apart.
  static constexpr std::array<Duration, 13> kEdges = {1s,   2s,    5s,    10s, 30s, 1min, 2min,
                                                      5min, 10min, 30min, 1h,  6h,  24h};
  static constexpr std::array<Duration, 4> kAheads = {1s, 10s, 1min, 10min};
  static constexpr std::size_t kSeconds = 60;  // looked at one by one

  // `left`: nothing: no expiry.
  void add(std::optional<Duration> left, bool was_read);

  struct Ahead {
    std::uint64_t all = 0, read = 0;
  };
  [[nodiscard]] std::uint64_t entries() const { return entries_; }
  [[nodiscard]] std::uint64_t without_expiry() const { return without_expiry_; }
  [[nodiscard]] std::uint64_t past() const { return past_; }
  // kEdges.size() + 1 of them.
  [[nodiscard]] const std::array<std::uint64_t, kEdges.size() + 1>& buckets() const { return buckets_; }
  // Expiries within kAheads[i] from now.
  [[nodiscard]] const std::array<Ahead, kAheads.size()>& ahead() const { return ahead_; }
  // The second of the next minute in which most read entries expire: how many, and how far ahead it begins.
  struct Peak {
    std::uint64_t expiries = 0;
    Duration in{0};
  };
  [[nodiscard]] Peak peak() const;

 private:
  std::uint64_t entries_ = 0, without_expiry_ = 0, past_ = 0;
  std::array<std::uint64_t, kEdges.size() + 1> buckets_{};
  std::array<Ahead, kAheads.size()> ahead_{};
  std::array<std::uint64_t, kSeconds> seconds_{};
};

// The worst second's loads against what the origin can take in a second, at `concurrency` statements at once
// of `load_cost` each.
struct StampedeRisk {
  std::optional<double> capacity;   // loads a second; nothing: no load was measured yet
  std::optional<double> share;      // of it that the peak asks for
  const char* verdict = "unknown";  // none low watch high unknown
};
[[nodiscard]] StampedeRisk stampede_risk(std::uint64_t peak, double scale, unsigned concurrency,
                                         std::optional<Duration> load_cost);

}  // namespace candor
