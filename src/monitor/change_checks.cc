#include "monitor/change_checks.h"

#include <algorithm>

namespace candor {

bool lacks_change(const TierCopy& copy, const HeardChange& change, bool is_bound) {
  if (copy.stamp.includes(change.id)) return false;
  return (copy.stamp.is_known() && !is_bound) || copy.loaded_at < change.committed;
}

void ChangeChecks::add(MonoTime now, std::string_view key, const HeardChange& change, double sample,
                       Duration lag) {
  if (waiting_.size() >= kWaitingMax || random_.unit() >= sample) return;
  waiting_.push_back({std::string(key), change, now + std::clamp(2 * lag, kSoonest, kLatest)});
}

// In the order of arrival: a change that is due before an earlier one waits for it.
std::vector<ChangeChecks::Due> ChangeChecks::take(MonoTime now, std::size_t questions) {
  std::vector<Due> due;
  while (!waiting_.empty() && waiting_.front().at <= now && due.size() < questions) {
    due.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  return due;
}

void ChangeChecks::judge(const Due& due, const TierCopies& held) {
  ++totals_.checked;
  if (held.l1 && lacks_change(*held.l1, due.change, true)) ++totals_.old_in_l1;
  if (held.l2 && lacks_change(*held.l2, due.change, false)) ++totals_.old_in_l2;
}

}  // namespace candor
