// Samples of changes: some while after a change was applied here, do the tiers still hold what it made old?
// Reads that are sampled are those of hot keys; a change of a key that nobody reads just now is looked at
// here. It costs no load: what a tier holds says by its stamp whether it includes the change.
//
//   add()     a change that was applied: taken with the feature's chance, due after the lag of late
//   take()    what is due, as many as may be asked
//   judge()   what the tiers held: which of them would serve a value older than the change
//
// All that is found here was applied before: the old value came, or stayed, past it. Its cause is a race.
// Pure: callers pass `now`. Thread safety: none.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/random.h"
#include "cache/tier_copies.h"
#include "monitor/change_history.h"
#include "monitor/exposure_report.h"

namespace candor {

class ChangeChecks {
 public:
  explicit ChangeChecks(std::uint64_t seed) : random_(seed) {}

  struct Due {
    std::string key;
    HeardChange change;
    MonoTime at{0};
  };
  // `sample`: of the changes. `lag`: within which all but a few are everywhere.
  void add(MonoTime now, std::string_view key, const HeardChange& change, double sample, Duration lag);
  [[nodiscard]] std::vector<Due> take(MonoTime now, std::size_t questions);
  void judge(const Due& due, const TierCopies& held);

  [[nodiscard]] const ChangeTotals& totals() const { return totals_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }

  // More than one drain of questions can use; beyond it the newest are left out.
  static constexpr std::size_t kWaitingMax = 1024;
  static constexpr Duration kSoonest = 1s, kLatest = 10s;

 private:
  Random random_;
  std::deque<Due> waiting_;
  ChangeTotals totals_;
};

// Does a value with this stamp, loaded then, lack the change for certain? Of L1 the stamp is a bound, which
// may deny a change that the load saw: then only a load from before the commit counts.
[[nodiscard]] bool lacks_change(const TierCopy& copy, const HeardChange& change, bool is_bound);

}  // namespace candor
