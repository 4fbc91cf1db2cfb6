// How fast suspects are asked about again: in batches, so many keys a second, slower while the origin is slow
// or refuses. Pure: callers pass times.
#pragma once

#include <algorithm>
#include <cstddef>

#include "base/time.h"

namespace candor {

class RepairPace {
 public:
  // One statement of a confirmation takes as many keys (origin/postgres_origin.cc).
  static constexpr std::size_t kBatchMax = 200;
  // Two: the origin works on one while the other's answer travels. A slow origin slows the pace by itself.
  static constexpr unsigned kUnderWayMax = 2;
  // A batch that takes longer says that the origin has enough to do: some hundred times what it takes at
  // rest.
  static constexpr Duration kSlow = 250ms;
  // At most so many times slower than configured; a batch each few seconds keeps on asking how the origin is.
  static constexpr unsigned kSlowerMax = 64;
  // Batches of a slow rate are this far apart, so that 2,000 a second are batches of 100.
  static constexpr Duration kPeriod = 50ms;

  // `keys_per_second` 0: nothing is asked.
  explicit RepairPace(unsigned keys_per_second) : rate_(keys_per_second) {}

  [[nodiscard]] bool is_off() const { return rate_ == 0; }
  [[nodiscard]] std::size_t batch() const {
    return std::clamp<std::size_t>(rate_ / std::size_t(1s / kPeriod), 1, kBatchMax);
  }
  [[nodiscard]] bool may_ask(MonoTime now) const {
    return rate_ > 0 && under_way_ < kUnderWayMax && now >= next_at_;
  }
  // When may_ask() is worth asking again, as far as time goes.
  [[nodiscard]] MonoTime next_at() const { return next_at_; }
  void on_asked(MonoTime now) {
    ++under_way_;
    next_at_ = now + interval() * slower_;
  }
  // `failed`: some key's question failed: the origin is away, refuses, or answers too late.
  void on_answered(MonoTime now, Duration took, bool failed) {
    --under_way_;
    if (failed || took > kSlow) {
      slower_ = std::min(slower_ * 2, kSlowerMax);
      next_at_ = std::max(next_at_, now + interval() * slower_);
    } else if (slower_ > 1) {
      slower_ /= 2;
    }
  }
  [[nodiscard]] unsigned under_way() const { return under_way_; }
  // Keys a second now.
  [[nodiscard]] double rate() const { return static_cast<double>(rate_) / slower_; }

 private:
  [[nodiscard]] Duration interval() const {
    return Duration{static_cast<std::int64_t>(batch()) * 1'000'000'000 / std::max(rate_, 1U)};
  }

  unsigned rate_;
  unsigned slower_ = 1;
  unsigned under_way_ = 0;
  MonoTime next_at_{0};
};

}  // namespace candor
