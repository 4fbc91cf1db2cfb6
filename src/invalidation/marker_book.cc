#include "invalidation/marker_book.h"

#include <algorithm>
#include <utility>

namespace candor {

std::optional<MarkerBook::Ticket> MarkerBook::begin(Item item) {
  if (untold_.size() >= options_.untold_max) return std::nullopt;
  untold_positions_.insert(item.position);
  untold_.emplace(++last_ticket_, Untold{std::move(item), true});
  return last_ticket_;
}

void MarkerBook::told(Ticket ticket, MonoTime now) {
  const auto found = untold_.find(ticket);
  if (found == untold_.end()) return;
  untold_positions_.erase(untold_positions_.find(found->second.item.position));
  Item item = std::move(found->second.item);
  untold_.erase(found);
  if (!item.whole_feature) hold(std::move(item), now);
}

void MarkerBook::owe(Ticket ticket) {
  const auto found = untold_.find(ticket);
  if (found == untold_.end() || !found->second.in_flight) return;
  found->second.in_flight = false;
  owed_.push_back(ticket);
}

std::vector<MarkerBook::Owed> MarkerBook::take_owed(std::size_t count) {
  std::vector<Owed> taken;
  while (!owed_.empty() && taken.size() < count) {
    const auto found = untold_.find(owed_.front());
    owed_.pop_front();
    if (found == untold_.end() || found->second.in_flight) continue;
    found->second.in_flight = true;
    taken.push_back({found->first, found->second.item});
  }
  return taken;
}

std::optional<Position> MarkerBook::first_untold() const {
  if (untold_positions_.empty()) return std::nullopt;
  return *untold_positions_.begin();
}

void MarkerBook::clear() {
  untold_.clear();
  untold_positions_.clear();
  owed_.clear();
  held_.clear();
  unheld_.reset();
}

void MarkerBook::hold(Item item, MonoTime now) {
  if (held_.size() >= options_.held_max) {
    const Held& oldest = held_.front();
    if (!oldest.shortened) {
      if (!unheld_) unheld_ = Unheld{oldest.item.change, oldest.item.position, oldest.since + options_.hold};
      unheld_->id = std::max(unheld_->id, oldest.item.change);
      unheld_->position = std::min(unheld_->position, oldest.item.position);
    }
    held_.pop_front();
  }
  held_.push_back({std::move(item), now, false, count_});
}

std::vector<MarkerBook::Hold> MarkerBook::on_visible(ChangeId visible, MonoTime now, std::size_t count) {
  std::vector<Hold> actions;
  // What was shortened is kept for as long as its marker: an L2 that loses it must be told again.
  std::erase_if(held_, [&](const Held& one) {
    return one.shortened && one.count < count_ && now - one.since > options_.lease_time;
  });
  for (Held& one : held_) {
    if (actions.size() >= count) break;
    if (one.shortened) continue;
    if (one.item.change <= visible) {
      one.shortened = true;
      one.since = now;
      actions.push_back({one.item.name, one.item.change, options_.lease_time});
    } else if (now - one.since >= options_.renew_after) {
      one.since = now;
      actions.push_back({one.item.name, one.item.change, options_.hold});
    }
  }
  if (unheld_ && unheld_->id <= visible) unheld_.reset();
  return actions;
}

void MarkerBook::tell_again() {
  for (Held& one : std::exchange(held_, {})) owe_again(std::move(one));
}

void MarkerBook::tell_uncounted_again() {
  for (Held& one : std::exchange(held_, {}))
    one.count == count_ ? owe_again(std::move(one)) : held_.push_back(std::move(one));
}

void MarkerBook::owe_again(Held one) {
  if (const auto ticket = begin(one.item)) return owe(*ticket);
  if (!unheld_) unheld_ = Unheld{one.item.change, one.item.position, one.since};
  unheld_->id = std::max(unheld_->id, one.item.change);
  unheld_->position = std::min(unheld_->position, one.item.position);
  unheld_->ends = std::min(unheld_->ends, one.since);  // it has none: at once
}

}  // namespace candor
