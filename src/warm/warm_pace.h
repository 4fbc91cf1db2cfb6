// How many statements of warming an origin bears at a time. Additive increase while it answers about as fast
// as it did for one statement at a time, multiplicative decrease when it answers slower or fails (Chiu & Jain
// 1989); doubling until the first decrease, as TCP's slow start does.
//
// Features differ in what a load costs, so that each is compared with its own best. The best drifts upwards:
// an origin that has become slower for good is warmed from all the same. Pure: callers pass `now`. Thread
// safety: none.
#pragma once

#include <algorithm>
#include <cstdint>
#include <unordered_map>

#include "base/ids.h"
#include "base/time.h"

namespace candor::warm {

class WarmPace {
 public:
  // So much slower than its best is still well.
  static constexpr double kSlower = 2.0;
  // Below it, a difference is noise of timers and not the origin's.
  static constexpr Duration kNoise = 1ms;
  static constexpr Duration kPauseFirst = 100ms, kPauseMax = 5s;

  explicit WarmPace(unsigned statements_max) : max_(std::max(1U, statements_max)) {}

  // Statements that may be under way now.
  [[nodiscard]] unsigned window(MonoTime now) const {
    return now < paused_until_ ? 0 : static_cast<unsigned>(window_);
  }
  [[nodiscard]] unsigned max() const { return max_; }
  [[nodiscard]] MonoTime paused_until() const { return paused_until_; }

  // A statement as large as they come has been answered; `alone`: no other of ours was under way meanwhile.
  void on_done(FeatureId feature, Duration took, bool alone) {
    const auto [it, is_new] = best_.try_emplace(feature.value, took);
    if (!is_new) it->second = alone ? took : std::min(it->second, took);
    failures_ = 0;
    slow_ += took > std::max<Duration>(scaled(it->second, kSlower), it->second + kNoise) ? 1 : 0;
    if (++answered_ < static_cast<unsigned>(window_)) return;
    const bool is_slow = slow_ * 2 > answered_;
    answered_ = slow_ = 0;
    if (is_slow) return shrink();
    window_ = std::min<double>(max_, is_starting_ ? window_ * 2 : window_ + 1);
  }

  // Others wait for the origin: once in a while is enough.
  void on_busy(MonoTime now) {
    if (now < busy_since_ + kPauseFirst) return;
    busy_since_ = now;
    shrink();
  }

  void on_failure(MonoTime now) {
    if (now < paused_until_) return;  // of the same bad moment
    window_ = 1;
    is_starting_ = false;
    answered_ = slow_ = 0;
    paused_until_ = now + std::min<Duration>(kPauseMax, kPauseFirst * (1U << std::min(failures_, 10U)));
    ++failures_;
  }

 private:
  static Duration scaled(Duration of, double by) {
    return std::chrono::duration_cast<Duration>(
        std::chrono::duration<double, std::nano>(std::chrono::duration<double, std::nano>(of).count() * by));
  }
  void shrink() {
    is_starting_ = false;
    window_ = std::max(1.0, window_ * 0.75);
  }

  unsigned max_;
  double window_ = 1;
  bool is_starting_ = true;
  unsigned answered_ = 0, slow_ = 0, failures_ = 0;
  MonoTime paused_until_{0}, busy_since_{0};
  std::unordered_map<std::uint32_t, Duration> best_;
};

}  // namespace candor::warm
