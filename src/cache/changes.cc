// The change river's end on this node: markers, fences, L1, floors and proofs. See change_target.h for the
// contract and docs/decisions/0005-consistency-protocol.md for why each step is there.
#include <algorithm>
#include <utility>

#include "cache/freshness.h"
#include "cache/miss_path.h"
#include "tier/disk/disk_tier.h"
#include "version/mutant.h"

namespace candor {

namespace {

// Names that wait for their change to be visible or for a reader's load to be applied: with a change feed
// some ten milliseconds behind, ten million changes a second would be needed to fill it; a synchronous
// standby that is away fills it, and then whole features are marked.
constexpr std::size_t kMarkedNamesMax = 100'000;

}  // namespace

void CacheCore::MissPath::watch_origin(OriginTrust* trust) {
  watched_.push_back(std::make_unique<Watched>(
      Watched{trust, KeyMarkers(kMarkedNamesMax, mix64(parts_.seed + 100 + watched_.size()))}));
  watch_suspects(watched_.back().get());
}

std::size_t CacheCore::MissPath::markers(std::string_view origin) const {
  const Watched* one = watched(origin);
  return one == nullptr ? 0 : one->markers.size();
}

CacheCore::MissPath::Watched* CacheCore::MissPath::watched(std::string_view origin) const {
  for (const auto& one : watched_) {
    if (one->trust->name == origin) return one.get();
  }
  return nullptr;
}

CacheCore::MissPath::Watched* CacheCore::MissPath::watched(const Feature& feature) const {
  if (feature.trust() == nullptr) return nullptr;
  for (const auto& one : watched_) {
    if (one->trust == feature.trust()) return one.get();
  }
  return nullptr;
}

KeyMarkers* CacheCore::MissPath::markers_of(const Feature& feature) const {
  Watched* origin = watched(feature);
  return origin == nullptr ? nullptr : &origin->markers;
}

bool CacheCore::MissPath::markers_allow(const Feature& feature, std::string_view name,
                                        const Stamp& stamp) const {
  const Watched* origin = watched(feature);
  if (origin == nullptr || mutant(Mutant::kMarkersOff)) return true;
  // A load that says nothing of what it saw cannot be compared with changes: not kept once changes are heard
  // of.
  const bool hears = feature.is_heard() && origin->trust->incarnation.load(std::memory_order_relaxed) != 0;
  if (hears && !stamp.is_known()) return false;
  return origin->markers.allows(name, stamp);
}

void CacheCore::MissPath::note_seen(const Feature& feature, std::string_view key, std::string_view name,
                                    const Stamp& stamp) {
  KeyMarkers* markers = markers_of(feature);
  if (markers == nullptr || !stamp.is_known() || mutant(Mutant::kSeenMarkersOff)) return;
  markers->add_seen(name, stamp, parts_.home->now());
  const l1::KeyHash hash = parts_.l1->hash(feature.id(), key);
  // L1 keeps bounds only: an entry certainly includes all that the load saw when its bound reaches the
  // highest id that the load may include. Equal bounds say nothing while a long transaction holds both down.
  bool may_be_older = false;
  {
    const l1::Store::ReadGuard guard(*parts_.l1);
    l1::EntryView view;
    may_be_older = parts_.l1->peek(guard, hash, feature.id(), key, now_ms(), &view) &&
                   view.meta.stamp.up_to < (mutant(Mutant::kSeenByBound) ? stamp.up_to : stamp.highest());
  }
  if (may_be_older) (void)parts_.l1->erase(hash, feature.id(), key, now_ms());
}

void CacheCore::MissPath::apply_change(std::string_view origin, const candor::Change& change) {
  Watched* source = watched(origin);
  const auto found = std::ranges::find(features_, change.feature,
                                       [](const auto& f) -> const std::string& { return f->policy().name; });
  if (source == nullptr || found == features_.end()) return;
  Feature& feature = **found;
  if (change.scope == candor::Change::Scope::kFeature) {
    source->markers.add_feature_change(change.feature, change.id, change.position);
    flights_.fence_if([&](const Flights::Flight& flight) { return flight.feature == feature.id(); });
    parts_.l1->erase_feature(feature.id());
    forget_on_disk(feature.id());
    if (parts_.observer != nullptr) {
      parts_.observer->on_invalidate_feature(feature.id());
      parts_.observer->on_change_applied(feature.id(), std::nullopt, change);
    }
    return;
  }
  const std::string name = name_of(feature, change.key);
  source->markers.add_change(name, change.id, change.position);
  (void)flights_.fence(name);
  const l1::KeyHash hash = parts_.l1->hash(feature.id(), change.key);
  bool keeps = false;
  {
    const l1::Store::ReadGuard guard(*parts_.l1);
    l1::EntryView view;
    keeps = parts_.l1->peek(guard, hash, feature.id(), change.key, now_ms(), &view) &&
            KeyMarkers::keeps(view.meta.stamp, change.id);
    if (mutant(Mutant::kClockAsStamp)) {  // the newer of two clocks wins
      const WallTime loaded{parts_.clock->wall().ns - (now_ms() - view.meta.loaded_at) * 1'000'000};
      keeps = view.meta.loaded_at != 0 && loaded >= change.committed;
    }
  }
  unsigned accesses = 0;
  if (!keeps) (void)parts_.l1->erase(hash, feature.id(), change.key, now_ms(), &accesses);
  forget_on_disk(feature, change.key);
  if (parts_.observer != nullptr) {
    const KeyRef ref{feature.id(), change.key};
    parts_.observer->on_invalidate(ref, "change");
    parts_.observer->on_change_applied(feature.id(), change.key, change);
  }
  refresh_changed(feature, change.key, accesses);
}

void CacheCore::MissPath::raise_floor(std::string_view origin, std::string_view only, Suspects suspects) {
  Watched* source = watched(origin);
  if (source == nullptr) return;
  // Loads past the tiers that are under way may bring what another history said.
  if (!mutant(Mutant::kBypassUnfenced))
    for (const auto& feature : features_) ++feature->forgets;
  source->trust->fresh_as_of_ms.store(OriginTrust::kNever, std::memory_order_relaxed);
  source->repair->halt();
  const bool is_other_history = suspects == Suspects::kAreOfAnotherHistory;
  if (is_other_history) {
    source->markers.clear();
    source->visible = source->visible_to_all = ChangeId{};
  }
  for (const auto& feature : features_) {
    if (feature->trust() != source->trust) continue;
    if (!only.empty() && feature->policy().name != only) continue;
    feature->floor_ms.store(kFloorUnsettled, std::memory_order_relaxed);
    flights_.fence_if([&](const Flights::Flight& flight) { return flight.feature == feature->id(); });
    // Stamps of another history would be compared with ids that mean something else: nothing of it is kept.
    if (is_other_history && !mutant(Mutant::kRepairOtherHistory)) parts_.l1->erase_feature(feature->id());
    if (suspects == Suspects::kMustBeLoaded) feature->confirmable_since = kFloorUnsettled;
    if (suspects != Suspects::kMayBeConfirmed) forget_on_disk(feature->id());
    if (parts_.observer != nullptr) parts_.observer->on_invalidate_feature(feature->id());
  }
}

void CacheCore::MissPath::settle_floor(std::string_view origin, MonoTime since) {
  Watched* source = watched(origin);
  if (source == nullptr) return;
  const bool is_first = !std::exchange(source->has_settled, true);
  for (const auto& feature : features_) {
    if (feature->trust() != source->trust) continue;
    // Where one feature's floor was raised, the others' entries are as good as they were.
    const bool was_raised = feature->floor_ms.load(std::memory_order_relaxed) == kFloorUnsettled;
    if (!is_first && !was_raised) continue;
    // The millisecond in which it began may hold older loads. What a tag dropped stays dropped.
    const l1::Millis floor = std::max(since.ms() + 1, feature->dropped_ms.load(std::memory_order_relaxed));
    feature->floor_ms.store(floor, std::memory_order_relaxed);
    if (feature->confirmable_since == kFloorUnsettled) feature->confirmable_since = floor;
    // What was read before it, and is kept elsewhere, may have missed a change that nobody will tell of.
    if (parts_.observer != nullptr) parts_.observer->on_invalidate_feature(feature->id());
  }
  if (!is_closing_) source->repair->begin();
}

void CacheCore::MissPath::note_unheard(std::string_view origin, const std::vector<Unheard>& unheard) {
  const Watched* source = watched(origin);
  if (source == nullptr) return;
  for (const auto& feature : features_) {
    if (feature->trust() != source->trust) continue;
    feature->is_unheard.store(is_unheard(unheard, feature->policy().name), std::memory_order_release);
  }
}

void CacheCore::MissPath::trust_l2(std::string_view origin, bool trusted) {
  if (Watched* source = watched(origin)) source->l2_trusted = trusted;
}

void CacheCore::MissPath::prove(std::string_view origin, MonoTime fresh_as_of) {
  Watched* source = watched(origin);
  if (source == nullptr) return;
  // Behind the changes that it speaks of (Proof).
  source->trust->fresh_as_of_ms.store(fresh_as_of.ms(), std::memory_order_release);
  source->markers.prove(fresh_as_of);
  if (parts_.observer != nullptr) parts_.observer->on_proven(origin, fresh_as_of);
}

void CacheCore::MissPath::retire_markers(std::string_view origin, ChangeId visible, MonoTime asked,
                                         Position l2_told) {
  Watched* source = watched(origin);
  if (source == nullptr) return;
  source->l2_told = std::max(source->l2_told, l2_told);
  source->visible_to_all = std::max(source->visible_to_all, visible);
  // A newer probe while an older one still waits for its loads: the older one is kept, or loads that follow
  // each other closely would put retirement off for ever.
  if (source->visible_asked.ns == 0) {
    source->visible = visible;
    source->visible_asked = asked;
  }
  retire_what_may(*source);
}

void CacheCore::MissPath::retire_what_may(Watched& source) {
  if (source.visible_asked.ns == 0 || !loads_.all_since(source.visible_asked)) return;
  source.markers.retire(source.visible, source.l2_told);
  source.visible_asked = MonoTime{0};
}

void CacheCore::MissPath::forget_name(std::string_view name) {
  const auto colon = name.find(':');
  if (colon == std::string_view::npos) return;
  const auto found = std::ranges::find(features_, name.substr(0, colon),
                                       [](const auto& f) { return std::string_view(f->policy().name); });
  if (found == features_.end()) return;
  const std::string_view key = name.substr(colon + 1);
  ++(*found)->forgets;
  (void)flights_.fence(name);
  (void)parts_.l1->erase(parts_.l1->hash((*found)->id(), key), (*found)->id(), key, now_ms());
  forget_on_disk(**found, key);
  if (parts_.observer != nullptr) parts_.observer->on_invalidate(KeyRef{(*found)->id(), key}, "command");
}

void CacheCore::MissPath::forget_feature(std::string_view name) {
  for (const auto& feature : features_) {
    if (name != "*" && feature->policy().name != name) continue;
    ++feature->forgets;
    flights_.fence_if([&](const Flights::Flight& flight) { return flight.feature == feature->id(); });
    parts_.l1->erase_feature(feature->id());
    forget_on_disk(feature->id());
    if (parts_.observer != nullptr) parts_.observer->on_invalidate_feature(feature->id());
  }
}

// No entry is looked for: those whose load began until now are old from now on, of all keys of a feature or
// of those whose tags share the tag's slot.
void CacheCore::MissPath::forget_tag(std::string_view tag) {
  const l1::Millis now = now_ms();
  bool is_marked = false;
  for (const auto& feature : features_) {
    const FeatureTags* tags = feature->tags();
    if (tags == nullptr) continue;
    const bool of_all = tags->is_of_all(tag);
    if (!of_all && !tags->is_of_some(tag)) continue;
    ++feature->forgets;
    if (of_all) {
      feature->dropped_ms.store(now + 1, std::memory_order_relaxed);
      const l1::Millis floor = feature->floor_ms.load(std::memory_order_relaxed);
      feature->floor_ms.store(std::max(floor, now + 1), std::memory_order_relaxed);
      forget_on_disk(feature->id());
    } else if (!is_marked) {
      feature->invalidate_tag(tag, now);
      is_marked = true;
    }
    // When tags were invalidated is known to this run alone.
    if (!of_all && parts_.disk != nullptr) parts_.disk->keep_for_this_run(feature->id());
    flights_.fence_if([&](const Flights::Flight& flight) { return flight.feature == feature->id(); });
    if (parts_.observer != nullptr) parts_.observer->on_invalidate_feature(feature->id());
  }
}

// ---- CacheCore as ChangeTarget ----

void CacheCore::apply_change(std::string_view origin, const candor::Change& change) {
  miss_->apply_change(origin, change);
}
void CacheCore::raise_floor(std::string_view origin, std::string_view feature, Suspects suspects) {
  miss_->raise_floor(origin, feature, suspects);
}
void CacheCore::settle_floor(std::string_view origin, MonoTime since) { miss_->settle_floor(origin, since); }
void CacheCore::prove(std::string_view origin, MonoTime fresh_as_of, ChangeId /*applied_up_to*/) {
  miss_->prove(origin, fresh_as_of);
}
void CacheCore::note_unheard(std::string_view origin, const std::vector<Unheard>& unheard) {
  miss_->note_unheard(origin, unheard);
}
void CacheCore::lose_proof(std::string_view origin) {
  for (const auto& one : trusts_) {
    if (one->name == origin) one->fresh_as_of_ms.store(OriginTrust::kNever, std::memory_order_relaxed);
  }
}
void CacheCore::note_applied(std::string_view origin, Incarnation incarnation, Position position) {
  for (const auto& one : trusts_) {
    if (one->name != origin) continue;
    if (one->incarnation.load(std::memory_order_relaxed) != incarnation.value) miss_->note_history(origin);
    one->incarnation.store(incarnation.value, std::memory_order_relaxed);
    // Whoever sees the position sees the incarnation that it belongs to.
    one->applied_position.store(position.value, std::memory_order_release);
  }
}
void CacheCore::retire_markers(std::string_view origin, ChangeId visible, MonoTime asked, Position l2_told) {
  miss_->retire_markers(origin, visible, asked, l2_told);
}
void CacheCore::note_l2_state(std::uint32_t generation, std::uint64_t told) {
  miss_->note_l2_state(L2State{generation, told});
}
void CacheCore::trust_l2(std::string_view origin, bool trusted) { miss_->trust_l2(origin, trusted); }
void CacheCore::forget_name(std::string_view name) { miss_->forget_name(name); }
void CacheCore::forget_feature(std::string_view feature) { miss_->forget_feature(feature); }
void CacheCore::forget_tag(std::string_view tag) { miss_->forget_tag(tag); }

void CacheCore::set_repair_rate(std::string_view origin, unsigned keys_per_second) {
  miss_->set_repair_rate(origin, keys_per_second);
}
std::optional<RepairStatus> CacheCore::repair(std::string_view origin) const { return miss_->repair(origin); }

std::size_t CacheCore::markers(std::string_view origin) const { return miss_->markers(origin); }

const OriginTrust* CacheCore::trust(std::string_view origin) const {
  for (const auto& one : trusts_) {
    if (one->name == origin) return one.get();
  }
  return nullptr;
}

}  // namespace candor
