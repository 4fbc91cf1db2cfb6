// How often a key changes, from answers to "is it still the same?" after intervals of different length: what
// is left to ask where no change feed tells. Counting changes would miss all but one in each interval. The
// estimate is the maximum likelihood one for a Poisson process (Cho & Garcia-Molina, "Estimating frequency of
// change", ACM TOIT 3(3), 2003): the u that solves
//   sum over changed of t·e^(-ut)/(1 - e^(-ut))  =  sum over unchanged of t.
//
// Intervals are kept in logarithmic bins; old answers fade. Pure. Thread safety: none.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "base/time.h"

namespace candor {

class ChangeRate {
 public:
  void add(Duration interval, bool changed, double weight = 1.0);
  // Every answer counts for `factor` of what it did.
  void fade(double factor);
  // Changes per second; nullopt: fewer than kAnswersMin answers. When every answer was "changed" the rate
  // could be anything above some bound: half a change is then taken as unchanged.
  [[nodiscard]] std::optional<double> per_second() const;

  static constexpr double kAnswersMin = 10.0;

 private:
  // Quarter octaves from a millisecond to about a day.
  static constexpr std::size_t kBins = 108;
  struct Bin {
    double seconds = 0.0;  // sum over all answers of the bin
    double all = 0.0;
    double changed = 0.0;
  };
  [[nodiscard]] static std::size_t bin_of(double seconds);
  std::array<Bin, kBins> bins_{};
};

}  // namespace candor
