// Where the disk tier meets the read river and the changes. What the disk answers is judged as L1 would judge
// it, and is L1's entry again; what L1 forgets, or takes from elsewhere, the disk forgets behind it.
//
//   L1 erases key 7, then the disk forgets it (one turn)      the disk answers record 7 of before
//                                                             → forgotten since: a miss
//   L1 evicts 7 just before it would be erased: demoted       → its sequence is below the forgetting's
//   L1 takes 7 from the origin: the disk forgets its 7        → it can never answer something older than
//                                                               what a reader of this node was given
#include <algorithm>
#include <utility>

#include "cache/freshness.h"
#include "cache/miss_path.h"
#include "tier/disk/disk_tier.h"
#include "version/mutant.h"

namespace candor {

void CacheCore::MissPath::forget_on_disk(const Feature& feature, std::string_view key) {
  if (parts_.disk == nullptr || mutant(Mutant::kDiskForgetLost)) return;
  parts_.disk->forget(feature.id(), parts_.l1->hash(feature.id(), key), name_of(feature, key));
}

void CacheCore::MissPath::forget_on_disk(std::optional<FeatureId> feature) {
  if (parts_.disk == nullptr || mutant(Mutant::kDiskForgetLost)) return;
  if (feature)
    parts_.disk->forget_feature(*feature);
  else
    parts_.disk->forget_all();
}

std::uint64_t CacheCore::MissPath::history_of(FeatureId id, l1::Millis loaded_at) const {
  const Feature& feature = *features_[id.value];
  if (feature.trust() == nullptr || loaded_at < feature.confirmable_since) return 0;
  return feature.trust()->incarnation.load(std::memory_order_relaxed);
}

// Would L1 serve it, but for suspicion?
bool CacheCore::MissPath::is_servable(const Feature& feature, std::string_view key, const disk::Hit& hit,
                                      const Flights::Flight& flight) const {
  const Stamp stamp{hit.meta.stamp.up_to};
  return parts_.disk->is_current(feature.id(), flight.name, hit) && may_keep(flight) &&
         is_fresh(feature.policy(), hit.meta, now_ms()) && !feature.is_dropped(key, hit.meta.loaded_at) &&
         markers_allow(feature, flight.name, stamp);
}

// Changes that came while this node was down, or in a gap, were not heard of.
bool CacheCore::MissPath::is_in_doubt(const Feature& feature, const disk::Hit& hit) {
  return (hit.is_of_earlier_run && feature.trust() != nullptr) || feature.is_suspect(hit.meta.loaded_at);
}

// What the origin may be asked about it; nothing: no word of it would prove anything, or a load is cheaper.
std::optional<HeldRow> CacheCore::MissPath::confirmable(const Feature& feature, const disk::Hit& hit) const {
  const l1::Millis floor = feature.floor_ms.load(std::memory_order_relaxed);
  if (floor == kNoFloor || floor == kFloorUnsettled || !feature.origin()->can_confirm()) return std::nullopt;
  if (!hit.is_of_earlier_run) {
    if (hit.value.size() < kConfirmsOnReadFrom) return std::nullopt;
    return held_row(feature, hit.meta);
  }
  // Its load was of another run, but of which history is written beside it; and this run has forgotten it if
  // anything came that makes row versions mean something else (raise_floor()).
  if (!feature.is_heard() || !hit.meta.stamp.is_known() || hit.history == 0) return std::nullopt;
  HeldRow held;
  held.stamp = hit.meta.stamp;
  held.history.value = feature.trust()->incarnation.load(std::memory_order_relaxed);
  if (held.history.value != hit.history) return std::nullopt;
  return held;
}

Task<std::optional<CacheCore::MissPath::Loaded>> CacheCore::MissPath::ask_disk(Feature* feature,
                                                                               std::string key,
                                                                               FlightPtr flight,
                                                                               MonoTime deadline) {
  if (parts_.disk == nullptr || flight->past_tiers || flight->refreshes || flight->repairs)
    co_return std::nullopt;
  std::optional<disk::Hit> hit =
      co_await parts_.disk->get(feature->id(), parts_.l1->hash(feature->id(), key), flight->name);
  if (!hit || !is_servable(*feature, key, *hit, *flight)) co_return std::nullopt;
  Loaded loaded;
  loaded.tier = Tier::kDisk;
  loaded.stamp.up_to = hit->meta.stamp.up_to;
  loaded.as_of = MonoTime{hit->meta.loaded_at * 1'000'000};
  loaded.flags = static_cast<std::uint8_t>(hit->meta.user_flags & kAgeFromL2);
  if (!hit->is_old && !hit->is_of_earlier_run) loaded.flags |= kHeldByDisk;
  if (is_in_doubt(*feature, *hit)) {
    const std::optional<HeldRow> held = confirmable(*feature, *hit);
    if (!held) co_return std::nullopt;
    const MonoTime asked = parts_.home->now();
    const ChangeId visible = watched(*feature)->visible_to_all;
    Result<bool> same = co_await feature->origin()->confirm(key, *held, deadline);
    if (!same || !*same || !is_servable(*feature, key, *hit, *flight)) co_return std::nullopt;
    feature->counters.confirmed.add();
    loaded.stamp.up_to = std::max(loaded.stamp.up_to, visible);
    loaded.as_of = asked;
    loaded.flags = 0;
  }
  const l1::Millis until = fresh_until(feature->policy(), hit->meta);
  if (until != 0) loaded.ttl = std::chrono::milliseconds(std::max<l1::Millis>(1, until - now_ms()));
  loaded.value = std::make_shared<const std::string>(std::move(hit->value));
  co_return loaded;
}

}  // namespace candor
