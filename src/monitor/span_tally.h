// Reads that were judged, added up: over the last span, and since the start. A read is staler than its limit
// or not; where that could not be told for certain, it is a chance between 0 and 1. Reads are weighted by how
// many they stand for.
//
// Thread safety: none. Pure: callers pass `now`.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"
#include "monitor/exposure_report.h"

namespace candor {

class SpanTally {
 public:
  // The span is kept as kSteps buckets: what leaves it leaves in steps of a sixth.
  static constexpr Duration kSpan = 60s;
  static constexpr std::size_t kSteps = 6;

  struct Judged {
    double weight = 1.0;
    double over = 0.0;   // the chance that the read was staler than its limit
    StaleCause cause{};  // counts when `over` is above 0
    // One uncertain fact (when did this entry's row change?) decides several reads, which are right or wrong
    // together: this one's weight, and twice that of those before it. 0: only this one.
    double together = 0.0;
  };
  void add(MonoTime now, const Judged& read);

  [[nodiscard]] Measured over_span(MonoTime now) const;
  [[nodiscard]] Measured since_start() const { return measured(total_); }

  struct Sum {
    double reads = 0.0;           // sum of weights
    double squares = 0.0;         // sum of squared weights
    double sure = 0.0;            // of `over`: reads that were so for certain
    double log_none = 0.0;        // logarithm of the chance that none of the others was
    double guess_variance = 0.0;  // of `over`, because some chances are neither 0 nor 1
    double over = 0.0;            // weighted chances
    std::uint64_t samples = 0;
    std::array<double, kStaleCauses> by_cause{};
    void add(const Judged& read);
    void add(const Sum& other);
  };
  [[nodiscard]] const Sum& total() const { return total_; }
  // With an interval. The sample is one of a finite number of reads, the sum of weights: when it was all of
  // them, only guesses leave something to chance.
  [[nodiscard]] static Measured measured(const Sum& sum);

 private:
  struct Step {
    std::int64_t number = -1;
    Sum sum;
  };
  [[nodiscard]] static std::int64_t step_of(MonoTime now) {
    return now.ns / (kSpan.count() / static_cast<std::int64_t>(kSteps));
  }
  std::array<Step, kSteps + 1> steps_{};  // the one under way and the span's before it
  Sum total_;
};

}  // namespace candor
