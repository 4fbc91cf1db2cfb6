// Keys into classes: from counts of what was seen, or from a few figures given by hand.
//
// Pure. A feature has millions of keys and a formula for each; what matters of them is how often they are
// read and changed, and the hottest matter most.
#pragma once

#include <cstdint>
#include <vector>

#include "budget/workload.h"

namespace candor {

struct KeyCount {
  std::uint64_t reads = 0;
  std::uint64_t updates = 0;
};

// The most read keys are classes of their own, the rest is put together with its like: keys that are read
// equally often within a factor of two, and whose changes are too few to tell their rates apart, or differ by
// less than a factor of two. Keys that nobody read are in the totals alone. Takes the counts apart.
[[nodiscard]] Workload workload_of(std::vector<KeyCount> counts, double seconds);

// Most of the classes that workload_of() and spread_workload() make, so that a prediction takes well below a
// millisecond. Log2 bins of 64-bit counts cannot exceed it by much in any case.
inline constexpr std::size_t kKeyClassesMax = 512;

// Figures of a feature as people know them.
struct SpreadFigures {
  double reads_per_second = 0.0;
  double updates_per_second = 0.0;
  double keys = 1.0;         // that are read at all
  double read_skew = 0.0;    // Zipf: the k-th key is read k^-skew times as often as the first; 0: all alike
  double update_skew = 0.0;  // the same, in the same order of keys
};
// Requires: keys >= 1, rates and skews not negative.
[[nodiscard]] Workload spread_workload(const SpreadFigures& figures);

// Distinct keys that are read, by the classes.
[[nodiscard]] double keys_of(const Workload& workload);

}  // namespace candor
