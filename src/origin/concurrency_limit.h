// How many statements an origin should have in flight, learned from how long they take. Pure: no clock, no
// I/O; callers pass `now`.
//
// An origin has a knee: up to it more statements at once mean more answers, beyond it only longer waits. What
// a statement takes at next to no concurrency is its baseline; the mean of took/baseline over a window says
// how much of the time is waiting inside the origin.
//     below kGrowBelow, and the limit was reached: grow (double until it first went too far, then by a tenth)
//     above kShrinkAbove:                          shrink towards it, by half at most
//     a failure (lost, no answer in time):         keep seven tenths
// So it settles where statements take between 1.5 and 2 times what they take alone.
//
// The idea is TCP Vegas' (Brakmo, Peterson 1995) as Netflix' concurrency-limits and Envoy's filter use it.
// What their issues taught:
//   - Nothing is learned from a window in which the limit was not reached: an idle origin is always quick.
//   - Statements are compared with their own kind only (feature, number of keys in steps of 8): a mix of
//   short
//     and long ones, or a batch, is not an overload. One baseline for all gets stuck at the floor there.
//   - A baseline out of the common traffic drifts up with the overload that it should show. It is taken from
//     statements sent at the floor only; when none were for kBaselineAge, the limit dips to the floor for
//     a moment and asks.
//   - The first statements of a kind prepare, connect and warm: they say nothing.
//   - Growing by steps alone takes minutes after a stall: up to where the limit was before, it doubles.
//
// Invariants
//   - floor <= limit(now) <= ceiling, always; a dip is over kDipMax after it began, whatever answers.
// Thread safety: none. One owner.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>

#include "base/time.h"

namespace candor {

class ConcurrencyLimit {
 public:
  struct Options {
    std::uint32_t floor = 2;
    std::uint32_t ceiling = 32;
    bool is_fixed = false;  // always the ceiling
  };
  static constexpr double kGrowBelow = 1.5;
  static constexpr double kShrinkAbove = 2.0;
  static constexpr double kKeptOnFailure = 0.7;
  // Long enough to hold some statements of a quick origin, short enough to follow a burst.
  static constexpr Duration kWindow = 100ms;
  static constexpr unsigned kSamplesMin = 10;
  static constexpr Duration kBaselineAge = 30s;
  // While nothing that was answered has a baseline: a cold node under load, a statement that is new.
  static constexpr Duration kFirstBaselineAge = 1s;
  // A dip is over after so many answers, or so long: a reader may wait that much longer, once in
  // kBaselineAge.
  static constexpr unsigned kDipSamples = 8;
  static constexpr Duration kDipMax = 250ms;
  static constexpr unsigned kColdSamples = 2;
  static constexpr unsigned kBaselineSamples = 5;  // fewer are no baseline

  explicit ConcurrencyLimit(Options options);

  // Statements that take about as long as each other.
  struct Kind {
    std::uint32_t feature = 0;
    std::uint32_t keys = 1;
  };

  [[nodiscard]] std::uint32_t limit(MonoTime now) const {
    return is_dipping_ && now < dip_until_ ? options_.floor : whole(limit_);
  }
  // Once for each dip, after it began: when it ends, whatever answers. What waits can go then.
  [[nodiscard]] std::optional<MonoTime> take_dip() {
    return is_dipping_ && !std::exchange(is_dip_taken_, true) ? std::optional(dip_until_) : std::nullopt;
  }
  [[nodiscard]] const Options& options() const { return options_; }
  // Other bounds; where it stands between them stays.
  void adopt(Options options);

  // `in_flight`: with it.
  void on_sent(std::uint32_t in_flight, MonoTime now);
  // `in_flight_then`: as given to on_sent().
  void on_answered(Kind kind, Duration took, std::uint32_t in_flight_then, MonoTime now);
  void on_failed(MonoTime now);

 private:
  // Of one kind, at the floor.
  struct Baseline {
    double mean_ns = 0;
    unsigned samples = 0;
  };
  // Kinds beyond share: features are few, and a wrong neighbour only makes the ratio less sharp.
  static constexpr std::uint32_t kFeaturesMax = 1024;

  [[nodiscard]] static std::uint32_t index_of(Kind kind);
  [[nodiscard]] static std::uint32_t whole(double limit) { return static_cast<std::uint32_t>(limit + 1e-9); }
  void note_baseline(Baseline& baseline, double took_ns, MonoTime now);
  void look(MonoTime now);
  void set(double limit);
  void grow();
  void begin_window(MonoTime now);
  void dip_if_due(MonoTime now, Duration age);

  Options options_;
  double limit_;
  double doubles_below_;  // up to here the limit doubles: it held before
  std::unordered_map<std::uint32_t, Baseline> baselines_;

  // The window.
  MonoTime since_{0};
  unsigned answers_ = 0, failures_ = 0, votes_ = 0;
  double ratios_ = 0;
  std::uint32_t in_flight_max_ = 0;

  MonoTime baseline_at_{0};
  bool is_dipping_ = false;
  bool is_dip_taken_ = false;
  MonoTime dip_until_{0};
  unsigned dip_samples_ = 0;
};

}  // namespace candor
