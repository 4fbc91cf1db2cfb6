// Reads that an old value may not answer: bounded ones need a proof, strong ones the origin's word in this
// read.
#include <algorithm>

#include "cache/freshness.h"
#include "cache/miss_path.h"
#include "version/mutant.h"

namespace candor {

// Out of L1 or L2 with a proof, else from the origin. What a load brings is as old as its beginning, so that
// a flight which began within the bound may be shared; run_flight() looks again before it answers.
void CacheCore::MissPath::read_bounded(Feature& feature, std::string key, std::shared_ptr<Waiter> waiter,
                                       MonoTime deadline) {
  auto copy = proven_copy(feature, key, *waiter);
  if (is_sent_past_tiers(feature, copy.has_value()))
    return spawn(bypass(&feature, std::move(key), std::move(waiter), deadline));
  if (copy) {
    feature.counters.hits_l1.add();
    return answer(feature, key, *waiter, std::move(*copy));
  }
  if (proof_holds(feature, waiter->bound)) return join_flight(feature, std::move(key), waiter, deadline);
  spawn(bypass(&feature, std::move(key), std::move(waiter), deadline));
}

std::optional<ReadResult> CacheCore::MissPath::proven_copy(const Feature& feature, std::string_view key,
                                                           const Waiter& waiter) {
  if (waiter.level != Consistency::kBounded) return std::nullopt;
  auto copy = l1_copy(feature, key);
  if (copy && (!copy->fresh_within || *copy->fresh_within > waiter.bound)) copy.reset();
  return copy;
}

// Out of L1 if the origin confirms, in this read, that the row is still the one that was loaded.
Task<void> CacheCore::MissPath::read_strong(Feature* feature, std::string key, std::shared_ptr<Waiter> waiter,
                                            MonoTime deadline) {
  std::optional<ReadResult> copy;
  std::optional<HeldRow> row;
  {
    const l1::Store::ReadGuard guard(*parts_.l1);
    l1::EntryView view;
    const bool held =
        parts_.l1->peek(guard, parts_.l1->hash(feature->id(), key), feature->id(), key, now_ms(), &view);
    if (held && !feature->is_dropped(key, view.meta.loaded_at)) row = held_row(*feature, view.meta);
    if (row) copy = copy_of(*feature, view);
  }
  if (copy) {
    const MonoTime began = parts_.home->now();
    Result<bool> same = true;
    if (!mutant(Mutant::kStrongUnconfirmed)) same = co_await feature->origin()->confirm(key, *row, deadline);
    if (same && *same) {
      feature->counters.confirmed.add();
      feature->counters.hits_l1.add();
      copy->fresh_within = parts_.clock->now() - began;
      waiter->in_origin = parts_.home->now() - began;
      answer(*feature, key, *waiter, std::move(*copy));
      co_return;
    }
  }
  co_await bypass(feature, std::move(key), std::move(waiter), deadline);
}

void CacheCore::MissPath::keep_bypassed(const Feature& feature, std::string_view key, const Loaded& loaded,
                                        std::uint64_t forgets) {
  if (feature.trust() == nullptr) return;
  if (!loaded.stamp.is_known()) {
    if (parts_.observer != nullptr)
      parts_.observer->on_fill(KeyRef{feature.id(), key}, loaded.stamp, FillOutcome::kFenced);
    return;
  }
  const std::string name = name_of(feature, key);
  note_seen(feature, key, name, loaded.stamp);
  // An older load of the key that is under way would take its readers back: whoever comes later does not join
  // it.
  (void)flights_.fence(name);
  const bool is_current = forgets == feature.forgets && pending(feature, key) == nullptr &&
                          !unsettled_.is_unsettled(name, parts_.home->now()) &&
                          markers_allow(feature, name, loaded.stamp);
  if (parts_.observer != nullptr) {
    const KeyRef ref{feature.id(), key};
    parts_.observer->on_fill(ref, loaded.stamp, is_current ? FillOutcome::kStored : FillOutcome::kFenced);
  }
  if (!is_current || feature.policy().consistency == Consistency::kOrigin) return;
  Loaded kept = loaded;
  kept.ttl = ttl_of(feature, loaded);
  fill_l1(feature, key, kept);
}

// A reader who asked for a bound, or for the truth, gets an error rather than an old value.
Result<ReadResult> CacheCore::MissPath::strictly(const Feature& feature, const Waiter& waiter,
                                                 Result<ReadResult> result) const {
  if (!waiter.is_strict() || (result && result->degraded == nullptr)) return result;
  if (!result && result.error().code != ErrorCode::kOriginDown &&
      result.error().code != ErrorCode::kTimeout) {
    return result;
  }
  feature.counters.too_stale.add();
  const std::string why = result ? std::string(result->degraded) : result.error().message;
  return fail(ErrorCode::kTooStale,
              "feature '" + feature.policy().name + "': nothing can be proven fresh enough (" +
                  std::string(consistency_name(waiter.level)) + ") and the origin did not answer: " + why);
}

// How long ago what a flight brought can have been superseded, at most.
std::optional<Duration> CacheCore::MissPath::within_of(const Feature& feature, const Loaded& loaded,
                                                       MonoTime began) const {
  if (loaded.tier != Tier::kL2 && loaded.tier != Tier::kDisk) return parts_.clock->now() - began;
  const bool is_l2 = loaded.tier == Tier::kL2;
  l1::EntryMeta as_if_stored;
  as_if_stored.loaded_at = is_l2 ? began.ms() : loaded.as_of.ms();
  as_if_stored.user_flags = is_l2 ? kAgeFromL2 : loaded.flags;
  return entry_within(feature, as_if_stored, parts_.clock->now());
}

bool CacheCore::MissPath::proof_holds(const Feature& feature, Duration bound) const {
  l1::EntryMeta as_if_stored;
  as_if_stored.loaded_at = now_ms();
  as_if_stored.user_flags = kAgeFromL2;
  const auto within = entry_within(feature, as_if_stored, parts_.clock->now());
  return within && *within <= bound;
}

// After a loss this node may lack markers that guard it against what L2 was not told. Before the first floor,
// at a start, everything is suspect as soon as the stream is heard; until then L2 is better than a stampede.
bool CacheCore::MissPath::l2_is_believed(const Feature& feature) const {
  const Watched* origin = watched(feature);
  const l1::Millis floor = feature.floor_ms.load(std::memory_order_relaxed);
  if (origin == nullptr || floor == kNoFloor) return true;
  return origin->l2_trusted && floor != kFloorUnsettled;
}

}  // namespace candor
