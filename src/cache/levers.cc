// What the controller may pull at a feature, where it acts: reads past the tiers, refreshes after a change,
// writes that wait for the region. The ttl acts in freshness.h, write-behind in behind_path.cc. Each makes
// reads fresher and none less: levels are kept by the same code as without.
#include "cache/miss_path.h"

namespace candor {

namespace {

// Refreshes after a change under way on this node. An origin takes some ten statements at a time; more would
// only wait before it, in front of readers. What is beyond is loaded by its next reader.
constexpr std::size_t kRefreshesChangedMax = 128;

// A node that lives answers within some milliseconds. One that has just died is waited for until it is no
// longer counted as alive, by each write for so long.
constexpr Duration kRegionPatience = 500ms;

}  // namespace

// `is_held`: L1 has a fresh copy. Then the reader was drawn on the hit path, or it would not be here; who
// found nothing is drawn now.
bool CacheCore::MissPath::is_sent_past_tiers(const Feature& feature, bool is_held) {
  const double fraction = feature.policy().origin_fraction;
  if (fraction <= 0.0 || (!is_held && random_.unit() >= fraction)) return false;
  feature.counters.past_tiers.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// `accesses`: of the entry that a change has dropped. What nobody has read since it was loaded is not worth a
// load: its next reader, if there is one, makes it.
void CacheCore::MissPath::refresh_changed(Feature& feature, const std::string& key, unsigned accesses) {
  if (!feature.policy().refresh_on_change || accesses == 0 || is_closing_) return;
  if (feature.origin() == nullptr || pending(feature, key) != nullptr) return;
  if (refreshes_changed_ >= kRefreshesChangedMax) {
    feature.counters.refreshes_skipped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  auto [flight, must_load] = flights_.join(feature.id(), name_of(feature, key));
  if (!must_load) return;
  flight->began = parts_.home->now();
  flight->urgency = in_background();
  feature.counters.refreshes.add();
  spawn(refresh_and_count(flight, key));
}

Task<void> CacheCore::MissPath::refresh_and_count(FlightPtr flight, std::string key) {
  ++refreshes_changed_;
  co_await run_flight(std::move(flight), std::move(key));
  --refreshes_changed_;
}

// The write is done, and this node and L2 have forgotten the old value. A node that does not answer holds
// nobody's write up for longer than a moment: its readers see the old value until it hears of the change. So
// do all if L2 (`in_l2` false) could not be told: whoever dropped the value may find it there again.
Task<void> CacheCore::MissPath::wait_for_region(Feature* feature, std::string name, bool in_l2) {
  if (barrier == nullptr) co_return;
  ++tasks_;
  Result<void> dropped = co_await barrier->drop_everywhere(std::move(name), kRegionPatience);
  --tasks_;
  if (!dropped || !in_l2) feature->counters.writes_unconfirmed.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace candor
