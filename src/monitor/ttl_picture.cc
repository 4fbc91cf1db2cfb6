#include "monitor/ttl_picture.h"

#include <algorithm>

namespace candor {

namespace {

// Above half of its capacity an origin's answers begin to wait for each other; above all of it they pile up.
constexpr double kWatchShare = 0.5;
constexpr double kHighShare = 1.0;

}  // namespace

void TtlPicture::add(std::optional<Duration> left, bool was_read) {
  ++entries_;
  if (!left) {
    ++without_expiry_;
    return;
  }
  if (*left <= Duration::zero()) {
    ++past_;
    return;
  }
  const auto edge = std::ranges::lower_bound(kEdges, *left);
  ++buckets_[static_cast<std::size_t>(edge - kEdges.begin())];
  for (std::size_t i = 0; i < kAheads.size(); ++i) {
    if (*left > kAheads[i]) continue;
    ++ahead_[i].all;
    ahead_[i].read += was_read ? 1 : 0;
  }
  const auto second = static_cast<std::size_t>(*left / 1s);
  if (was_read && second < kSeconds) ++seconds_[second];
}

TtlPicture::Peak TtlPicture::peak() const {
  const auto most = std::ranges::max_element(seconds_);
  return {*most, *most == 0 ? Duration{0} : std::chrono::seconds(most - seconds_.begin())};
}

StampedeRisk stampede_risk(std::uint64_t peak, double scale, unsigned concurrency,
                           std::optional<Duration> load_cost) {
  StampedeRisk out;
  if (peak == 0) out.verdict = "none";
  if (!load_cost || *load_cost <= Duration::zero() || concurrency == 0) return out;
  out.capacity = concurrency / to_seconds(*load_cost);
  out.share = static_cast<double>(peak) * scale / *out.capacity;
  if (peak > 0) out.verdict = *out.share >= kHighShare ? "high" : *out.share >= kWatchShare ? "watch" : "low";
  return out;
}

}  // namespace candor
