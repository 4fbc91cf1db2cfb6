// A circuit breaker: stops asking a peer that fails, and asks again carefully. Pure: no clock, no I/O,
// randomness comes from a seed; callers pass `now`.
//
// Closed: everything passes; outcomes are counted over a sliding window. Too large a share of failures: open.
// Open: nothing passes until the cool-down ends. Half-open: a few probes pass; all good: closed, one bad:
// open again with twice the cool-down, up to its limit.
//
// Invariants
//   - While half-open, at most `probes` admitted calls of this round are without an outcome, unless
//     `probe_patience` has passed since they were admitted (a lost outcome must not close the door for ever).
//   - An outcome counts only in the period in which its call was admitted: what was sent before the breaker
//   opened
//     cannot close it, nor open it again.
// Thread safety: none. One owner.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/random.h"
#include "base/time.h"

namespace candor {

class Breaker {
 public:
  struct Options {
    Duration window = 5s;             // how long an outcome is remembered; in kBuckets steps
    std::uint32_t outcomes_min = 10;  // fewer outcomes in the window prove nothing
    double failure_share = 0.5;       // at or above it the breaker opens
    Duration cool_down = 500ms;       // first pause; each failed round doubles it
    Duration cool_down_max = 15s;     // long enough to spare a peer, short enough that its return is noticed
    double jitter = 0.3;  // each pause is shortened by a random share up to this: nodes do not probe together
    std::uint32_t probes = 3;  // calls let through while half-open; all must succeed
    Duration probe_patience = 5s;
  };
  enum class State : std::uint8_t { kClosed, kOpen, kHalfOpen };
  // Names the period in which a call was admitted.
  struct Ticket {
    std::uint64_t period = 0;
  };

  Breaker(Options options, std::uint64_t seed);

  // nullopt: do not call. Otherwise call, and report the outcome with record().
  [[nodiscard]] std::optional<Ticket> admit(MonoTime now);
  void record(Ticket ticket, bool ok, MonoTime now);
  // Instead of record(): the call's outcome says nothing of the peer. Another may be a probe in its place.
  void forget(Ticket ticket);

  // The owner knows that the peer has failed without counting outcomes: a closed breaker opens.
  void trip(MonoTime now);

  // The peer showed a sign of life (a connection was made): an open breaker need not wait for its cool-down.
  void retry_now(MonoTime now);

  // Open becomes half-open when its cool-down is over, without a call having to ask.
  [[nodiscard]] State state(MonoTime now) const;
  // When an open breaker lets probes through; the past otherwise.
  [[nodiscard]] MonoTime opens_until() const { return open_until_; }
  [[nodiscard]] std::uint64_t times_opened() const { return times_opened_; }

 private:
  static constexpr std::size_t kBuckets = 10;
  struct Bucket {
    std::int64_t index = -1;  // which step of the clock it counts; others are leftovers
    std::uint32_t good = 0, bad = 0;
  };

  Bucket& bucket(MonoTime now);
  [[nodiscard]] bool too_many_failures(MonoTime now) const;
  void open(MonoTime now);
  void close();

  Options options_;
  Random random_;
  State state_ = State::kClosed;
  std::uint64_t period_ = 1;  // steps on every change of state
  MonoTime open_until_;
  Duration next_cool_down_;
  std::uint32_t probes_out_ = 0, probes_good_ = 0;
  MonoTime probes_since_;
  std::uint64_t times_opened_ = 0;
  std::array<Bucket, kBuckets> buckets_{};
};

[[nodiscard]] const char* breaker_state_name(Breaker::State state);

}  // namespace candor
