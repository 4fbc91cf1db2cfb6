// Reads that were judged in some span of time, counted with their weights.
#pragma once

#include <array>

#include "monitor/exposure_report.h"

namespace candor {

// Sums over the judged reads. A read's weight says for how many reads it stands: 1 where all are judged.
struct Tally {
  double reads = 0.0;                           // sum of weights
  double stale = 0.0;                           // … of reads staler than the budget's max_staleness
  double squares = 0.0;                         // sum of squared weights, for effective()
  std::array<double, kStaleCauses> by_cause{};  // `stale`, by cause

  // Reads that each stand for themselves.
  [[nodiscard]] static Tally plain(double reads, double stale) { return {reads, stale, reads, {}}; }
  // A span that was judged as `measured` says, and in which `reads` reads happened (or more exactly: were
  // there to be judged). Spans then weigh as they were read, however many of their reads could be judged.
  [[nodiscard]] static Tally of(const Measured& measured, double reads) {
    Tally out;
    if (!measured.is_measured()) return out;
    out.reads = reads;
    out.stale = reads * measured.stale_fraction;
    out.squares = reads * reads / measured.reads;
    for (std::size_t i = 0; i < kStaleCauses; ++i) out.by_cause[i] = reads * measured.by_cause[i];
    return out;
  }

  Tally& operator+=(const Tally& more) {
    reads += more.reads;
    stale += more.stale;
    squares += more.squares;
    for (std::size_t i = 0; i < kStaleCauses; ++i) by_cause[i] += more.by_cause[i];
    return *this;
  }
  [[nodiscard]] double fraction() const { return reads > 0.0 ? stale / reads : 0.0; }
  // How many reads of weight 1 would tell as much (Kish 1965).
  [[nodiscard]] double effective() const { return squares > 0.0 ? reads * reads / squares : 0.0; }
  [[nodiscard]] double effective_stale() const { return fraction() * effective(); }
  friend bool operator==(const Tally&, const Tally&) = default;
};

}  // namespace candor
