#include "cache/key_markers.h"

#include <algorithm>
#include <utility>

namespace candor {

KeyMarkers::Entry& KeyMarkers::entry(std::string_view name) {
  auto it = names_.find(name);
  if (it == names_.end()) {
    make_room();
    it = names_.emplace(std::string(name), Entry{}).first;
  }
  it->second.ticket = next_ticket_++;
  line_.push_back(Place{it->first, it->second.ticket});
  return it->second;
}

void KeyMarkers::add_change(std::string_view name, ChangeId change, Position l2_position) {
  if (change.value == 0) return;
  Entry& e = entry(name);
  e.changes.add(change);
  e.l2_position = std::max(e.l2_position, l2_position);
}

void KeyMarkers::add_feature_change(std::string_view feature, ChangeId change, Position l2_position) {
  Entry& e = features_.try_emplace(std::string(feature)).first->second;
  e.changes.add(change);
  e.l2_position = std::max(e.l2_position, l2_position);
}

void KeyMarkers::add_seen(std::string_view name, const Stamp& stamp, MonoTime when) {
  if (!stamp.is_known()) return;
  Entry& e = entry(name);
  if (!e.seen || stamp.covers(*e.seen)) e.seen = stamp;
  e.seen_at = std::max(e.seen_at, when);
}

bool KeyMarkers::allows(std::string_view name, const Stamp& stamp) const {
  const auto passes = [&stamp](const Entry& e) {
    return e.changes.passed_by(stamp) && (!e.seen || stamp.covers(*e.seen));
  };
  if (const auto it = names_.find(name); it != names_.end() && !passes(it->second)) return false;
  const auto feature = features_.find(name.substr(0, name.find(':')));
  return feature == features_.end() || passes(feature->second);
}

std::optional<KeyMarkers::Asked> KeyMarkers::asked_of(std::string_view name) const {
  const auto it = names_.find(name);
  const auto feature = features_.find(name.substr(0, name.find(':')));
  if (it == names_.end() && feature == features_.end()) return std::nullopt;
  Asked out;
  if (it != names_.end()) {
    out.change = it->second.changes.highest();
    out.seen_by_reader = it->second.seen.has_value();
  }
  if (feature != features_.end() && feature->second.changes.highest() > out.change) {
    out.change = feature->second.changes.highest();
    out.of_feature = true;
  }
  return out;
}

void KeyMarkers::retire(ChangeId visible, Position l2_told) {
  visible_ = std::max(visible_, visible);
  l2_told_ = std::max(l2_told_, l2_told);
  pass_front();
  retire_features();
}

void KeyMarkers::prove(MonoTime fresh_as_of) {
  proven_ = std::max(proven_, fresh_as_of);
  pass_front();
  retire_features();
}

void KeyMarkers::clear() {
  names_.clear();
  features_.clear();
  line_.clear();
  visible_ = ChangeId{};
  l2_told_ = Position{};
}

void KeyMarkers::pass_front() {
  while (!line_.empty()) {
    const auto it = names_.find(line_.front().name);
    const bool current = it != names_.end() && it->second.ticket == line_.front().ticket;
    if (current) {
      if (!it->second.done(visible_, l2_told_, proven_)) return;
      names_.erase(it);
    }
    line_.pop_front();
  }
}

void KeyMarkers::retire_features() {
  std::erase_if(features_,
                [this](const auto& item) { return item.second.done(visible_, l2_told_, proven_); });
}

// The line may hold several places of one name; it is bounded because a name's earlier places are dropped
// here, too.
void KeyMarkers::make_room() {
  while (names_.size() >= names_max_ || line_.size() >= 4 * names_max_) {
    const Place place = std::move(line_.front());
    line_.pop_front();
    const auto it = names_.find(place.name);
    if (it == names_.end() || it->second.ticket != place.ticket) continue;
    Entry& feature = features_.try_emplace(place.name.substr(0, place.name.find(':'))).first->second;
    Entry& old = it->second;
    const ChangeId seen = old.seen ? old.seen->highest() : ChangeId{};
    feature.changes.add_all_up_to(std::max(old.changes.highest(), seen));
    feature.l2_position = std::max(feature.l2_position, old.l2_position);
    if (old.seen) {
      // Time-bound as well: the marker of the feature ends no earlier than the proof that this one waited
      // for.
      feature.seen = feature.seen && feature.seen->covers(*old.seen) ? feature.seen : old.seen;
      feature.seen_at = std::max(feature.seen_at, old.seen_at);
    }
    names_.erase(it);
  }
}

}  // namespace candor
