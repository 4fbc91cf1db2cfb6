#include "monitor/change_history.h"

#include <algorithm>

namespace candor {

MonoTime commit_time(WallTime told, WallTime wall_now, MonoTime now, MonoTime proven_before) {
  const MonoTime earliest = std::min(proven_before, now);
  // Not told: as good as the middle, where the error is at most half of the bracket.
  if (told.ns == 0) return earliest.ns == 0 ? now : MonoTime{earliest.ns + (now.ns - earliest.ns) / 2};
  return std::clamp(now - Duration{wall_now.ns - told.ns}, earliest, now);
}

void ChangeHistory::add(std::uint64_t key, const HeardChange& change) {
  if (order_.size() >= changes_max_) drop_oldest();
  by_key_[key].changes.push_back(change);
  order_.push_back({key, change.applied});
}

void ChangeHistory::drop_oldest() {
  const Place oldest = order_.front();
  order_.pop_front();
  complete_since_ = std::max(complete_since_, oldest.applied + 1ns);
  const auto it = by_key_.find(oldest.key);
  if (it == by_key_.end()) return;
  OfKey& of_key = it->second;
  ++of_key.head;
  if (of_key.head == of_key.changes.size()) {
    by_key_.erase(it);
  } else if (of_key.head * 2 > of_key.changes.size()) {
    of_key.changes.erase(of_key.changes.begin(),
                         of_key.changes.begin() + static_cast<std::ptrdiff_t>(of_key.head));
    of_key.head = 0;
  }
}

void ChangeHistory::forget_before(MonoTime applied) {
  while (!order_.empty() && order_.front().applied < applied) drop_oldest();
}

void ChangeHistory::begin_anew(MonoTime now) {
  by_key_.clear();
  order_.clear();
  complete_since_ = now;
}

namespace {

using Changes = std::vector<HeardChange>;

Changes::const_iterator applied_since(const Changes& changes, std::size_t head, MonoTime since) {
  return std::lower_bound(changes.begin() + static_cast<std::ptrdiff_t>(head), changes.end(), since,
                          [](const HeardChange& change, MonoTime when) { return change.applied < when; });
}

}  // namespace

std::optional<HeardChange> ChangeHistory::first_missing(std::uint64_t key, StampBound stamp,
                                                        MonoTime loaded_at) const {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return std::nullopt;
  const Changes& changes = it->second.changes;
  // What was applied before the load began was committed before it as well. So is what the commit's time says
  // of: L1 keeps a bound of the stamp only, which may deny a change that the load did see.
  for (auto change = applied_since(changes, it->second.head, loaded_at); change != changes.end(); ++change)
    if (!stamp.includes(change->id) && change->committed >= loaded_at) return *change;
  return std::nullopt;
}

std::size_t ChangeHistory::count_since(std::uint64_t key, MonoTime since) const {
  const auto it = by_key_.find(key);
  if (it == by_key_.end()) return 0;
  const Changes& changes = it->second.changes;
  return static_cast<std::size_t>(changes.end() - applied_since(changes, it->second.head, since));
}

}  // namespace candor
