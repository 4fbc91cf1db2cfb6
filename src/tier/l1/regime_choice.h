// Which regime to play, from the misses that the rehearsal counts. Follow the leader, with forgetting and
// with doubt.
//
// Misses are counted with exponential decay. Another regime takes over when it is ahead of the present one by
// more than the noise: were two regimes equally good, each of the n requests on which they disagreed would be
// a fair coin, and their difference a random walk with standard deviation √n. One deviation of lead is asked
// for, plus one miss: an error in either direction costs little (the two are close then), and waiting costs
// where a trace changes its ways.
#pragma once

#include <array>
#include <cstdint>

#include "tier/l1/rehearsal.h"

namespace candor::l1 {

class RegimeChoice {
 public:
  // `window` requests are remembered, in the mean. Starts with the regime that is played now.
  RegimeChoice(double window, unsigned current) : keep_(1.0 - 1.0 / window), current_(current) {}

  // One rehearsed request. Returns true if the choice changed.
  bool record(Rehearsal::Misses misses);
  [[nodiscard]] unsigned current() const { return current_; }

 private:
  [[nodiscard]] unsigned challenger() const;

  double keep_;
  unsigned current_;
  std::array<double, Rehearsal::kCaches> misses_{};
  std::array<double, Rehearsal::kCaches> disagreements_{};  // with the present regime
};

}  // namespace candor::l1
