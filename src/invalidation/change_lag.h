// How long changes took from their commit to a stage on their way. The commit is by the origin's clock, the
// stage by this node's: a figure for people, as good as the two clocks agree; never used to decide anything.
// A clock that is behind the origin's shows as no lag. Thread safety: record() on one executor; snapshot()
// from any thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/counters.h"
#include "version/change.h"

namespace candor {

class ChangeLag {
 public:
  // Changes of one transaction share their time: commit and how many.
  using Runs = std::vector<std::pair<WallTime, std::uint64_t>>;
  [[nodiscard]] static Runs runs_of(const std::vector<Change>& changes) {
    Runs runs;
    for (const Change& change : changes) {
      if (runs.empty() || runs.back().first != change.committed) runs.emplace_back(change.committed, 0);
      ++runs.back().second;
    }
    return runs;
  }

  void record(const Runs& runs, WallTime now) {
    for (const auto& [committed, count] : runs) {
      if (committed.ns == 0) continue;  // the feed does not say
      histogram_.record(static_cast<std::uint64_t>(std::max<std::int64_t>(0, now.ns - committed.ns)), count);
    }
  }
  [[nodiscard]] LatencyHistogram::Snapshot snapshot() const { return histogram_.snapshot(); }

 private:
  LatencyHistogram histogram_;
};

}  // namespace candor
