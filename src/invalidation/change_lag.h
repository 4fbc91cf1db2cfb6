// How long changes took from their commit to a stage on their way. The commit is by the origin's clock, the
// stage by this node's: a figure for people, as good as the two clocks agree; never used to decide anything.
// A clock that is behind the origin's shows as no lag. The moments of the last positions are kept as well, to
// tell of one change when it came by. Thread safety: record() and when() on one executor; snapshot() from any
// thread.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
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

  // Every change up to this position has come this far now.
  void record(const Runs& runs, WallTime now, Position up_to) {
    if (up_to.value == 0 || runs.empty()) return record(runs, now);
    if (!passed_.empty() && up_to < passed_.back().up_to) passed_.clear();  // another history
    if (passed_.empty() || up_to > passed_.back().up_to) passed_.push_back({up_to, now});
    if (passed_.size() > kPositionsKept) passed_.pop_front();
    record(runs, now);
  }
  // When the change at this position came by; nothing: too long ago, or not yet. The oldest moment that is
  // kept may be of an earlier change: it is no answer.
  [[nodiscard]] std::optional<WallTime> when(Position position) const {
    const auto it = std::ranges::lower_bound(passed_, position, {}, &Passed::up_to);
    if (it == passed_.end() || (it == passed_.begin() && it->up_to != position)) return std::nullopt;
    return it->at;
  }

  void record(const Runs& runs, WallTime now) {
    for (const auto& [committed, count] : runs) {
      if (committed.ns == 0) continue;  // the feed does not say
      histogram_.record(static_cast<std::uint64_t>(std::max<std::int64_t>(0, now.ns - committed.ns)), count);
    }
  }
  [[nodiscard]] LatencyHistogram::Snapshot snapshot() const { return histogram_.snapshot(); }

 private:
  struct Passed {
    Position up_to;
    WallTime at;
  };
  // Of a busy feed some minutes: it hands over a batch at a time.
  static constexpr std::size_t kPositionsKept = 1024;
  std::deque<Passed> passed_;
  LatencyHistogram histogram_;
};

}  // namespace candor
