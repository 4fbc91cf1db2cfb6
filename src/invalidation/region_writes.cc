#include "invalidation/region_writes.h"

#include <algorithm>
#include <utility>

namespace candor {

void RegionWrites::say(FeatureWrites writes) { own_[writes.feature] = std::move(writes); }

// Where it is too much, what is asked comes first.
std::vector<FeatureWrites> RegionWrites::said() const {
  std::vector<FeatureWrites> out;
  for (const bool asks : {true, false})
    for (const auto& [feature, one] : own_) {
      const bool is_asking = one.waits || one.gather_ms > 0;
      if (is_asking == asks && (asks || one.changes_per_hour > 0) && out.size() < kFeatureWritesMax)
        out.push_back(one);
    }
  return out;
}

void RegionWrites::hear(const message::Presence& presence, MonoTime now) {
  if (presence.node == node_) return;
  std::erase_if(others_, [&](const auto& one) { return now - one.second.at >= kHeardFor; });
  if (presence.leaving || presence.writes.empty())
    others_.erase(presence.node);
  else
    others_.insert_or_assign(presence.node, Heard{now, presence.writes});
}

// A quarter each time: some seconds' worth.
void RegionWrites::note_round_trip(Duration took) {
  round_trip_ = round_trip_ ? *round_trip_ + (took - *round_trip_) / 4 : took;
}

template <class Visit>
void RegionWrites::visit_others(std::string_view feature, MonoTime now, const Visit& visit) const {
  for (const auto& [node, heard] : others_) {
    if (now - heard.at >= kHeardFor) continue;
    for (const FeatureWrites& one : heard.writes)
      if (one.feature == feature) visit(node, one);
  }
}

double RegionWrites::made_by_others(std::string_view feature, MonoTime now) const {
  double sum = 0.0;
  visit_others(feature, now, [&](const std::string&, const FeatureWrites& one) {
    sum += static_cast<double>(one.changes_per_hour) / 3600.0;
  });
  return sum;
}

RegionWrites::Asked RegionWrites::asked_by_others(std::string_view feature, MonoTime now) const {
  Asked asked;
  visit_others(feature, now, [&](const std::string& node, const FeatureWrites& one) {
    if (!one.waits && one.gather_ms == 0) return;
    asked.waits = asked.waits || one.waits;
    asked.gather = std::max<Duration>(asked.gather, std::chrono::milliseconds(one.gather_ms));
    asked.by = node;
  });
  return asked;
}

}  // namespace candor
