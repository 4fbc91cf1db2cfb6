// The question "what would happen to a reader of this key now", answered without being one. Each verdict asks
// what serves_at() in cache.cc and ask_l2() in read_path.cc ask, in their order.
#include "cache/explain.h"

#include "cache/freshness.h"
#include "cache/miss_path.h"
#include "tier/disk/disk_tier.h"

namespace candor {

namespace {

// What keeps an entry of L1 from being served, or null.
const char* why_unserved(const Feature& feature, std::string_view key, const l1::EntryMeta& meta,
                         l1::Millis now) {
  const FeaturePolicy& policy = feature.policy();
  if (policy.plain) return nullptr;
  if (feature.is_suspect(meta.loaded_at))
    return "suspect: it was loaded before the feature's floor, and is asked about again when it is read";
  if (feature.is_dropped_by_key(key, meta.loaded_at)) return "dropped: one of its tags was invalidated";
  if (policy.consistency == Consistency::kOrigin) return "the level `origin` passes the tiers by";
  if (policy.consistency == Consistency::kStrong)
    return "the level `strong` asks the origin to confirm it in each read";
  if (needs_proof(policy.consistency)) {
    if (!feature.is_heard()) return "no proof: nobody hears of the feature's changes";
    if (!is_proven(meta, vouched_for(feature), now, policy.max_staleness))
      return "no proof: it cannot be shown to be as fresh as max_staleness asks";
  }
  if (!is_fresh(policy, meta, now))
    return "past its ttl: kept to be served while the origin fails (serve_stale)";
  if (policy.origin_fraction > 0.0) return "a lever sends part of the reads to the origin";
  return nullptr;
}

// What keeps this level from asking L2 at all, or null.
const char* why_l2_is_passed_by(const FeaturePolicy& policy) {
  if (policy.consistency == Consistency::kOrigin) return "the level `origin` passes the tiers by";
  if (policy.consistency == Consistency::kStrong) return "the level `strong` does not read L2";
  return nullptr;
}

}  // namespace

TierExplanation CacheCore::MissPath::explain_l1(const Feature& feature, std::string_view key) const {
  TierExplanation out;
  out.exists = !feature.policy().plain || parts_.l2 == nullptr || !parts_.l2_is_shared;
  if (!out.exists) return out;
  const l1::Store::ReadGuard guard(*parts_.l1);
  const l1::KeyHash hash = parts_.l1->hash(feature.id(), key);
  const l1::Millis now = now_ms();
  l1::EntryView view;
  out.why = "not held";
  if (!parts_.l1->peek(guard, hash, feature.id(), key, now, &view)) return out;
  out.held = true;
  out.negative = view.meta.negative;
  out.value_bytes = view.value.size();
  out.cost_bytes = parts_.l1->entry_cost(hash, feature.id(), key, now);
  out.stamp.up_to = view.meta.stamp.up_to;
  out.age = std::chrono::milliseconds(now - view.meta.loaded_at);
  if (const l1::Millis until = fresh_until(feature.policy(), view.meta); until != 0)
    out.ttl_left = std::chrono::milliseconds(until - now);
  out.fresh_within = entry_within(feature, view.meta, parts_.clock->now());
  out.is_pending = (view.meta.user_flags & kPendingWrite) != 0;
  out.age_is_l2s = (view.meta.user_flags & kAgeFromL2) != 0;
  const char* reason = why_unserved(feature, key, view.meta, parts_.clock->now().ms());
  out.served = reason == nullptr || feature.policy().origin_fraction > 0.0;
  out.why = reason == nullptr ? "it may be served" : reason;
  return out;
}

Task<TierExplanation> CacheCore::MissPath::explain_disk(Feature* feature, std::string key) {
  TierExplanation out;
  out.exists = parts_.disk != nullptr && parts_.disk->holds(feature->id());
  if (!out.exists) co_return out;
  const std::string name = name_of(*feature, key);
  const std::optional<disk::Hit> hit =
      co_await parts_.disk->get(feature->id(), parts_.l1->hash(feature->id(), key), name);
  out.why = parts_.disk->is_on() ? "not held, or not to be had in time" : "the tier is off: its disk failed";
  if (!hit) co_return out;
  const l1::Millis now = now_ms();
  out.held = true;
  out.value_bytes = hit->value.size();
  out.stamp.up_to = hit->meta.stamp.up_to;
  out.age = std::chrono::milliseconds(now - hit->meta.loaded_at);
  if (hit->meta.expires_at != 0) out.ttl_left = std::chrono::milliseconds(hit->meta.expires_at - now);
  out.age_is_l2s = (hit->meta.user_flags & kAgeFromL2) != 0;
  const bool must_be_confirmed = is_in_doubt(*feature, *hit);
  const char* reason = nullptr;
  if (!parts_.disk->is_current(feature->id(), name, *hit))
    reason = "forgotten: it was invalidated, or replaced";
  else if (feature->is_dropped(key, hit->meta.loaded_at))
    reason = "dropped: its feature or one of its tags was invalidated";
  else if (!is_fresh(feature->policy(), hit->meta, now))
    reason = "its ttl is over";
  else if (!markers_allow(*feature, name, Stamp{hit->meta.stamp.up_to}))
    reason = "it lacks a change that this node has heard of";
  else if (must_be_confirmed && !confirmable(*feature, *hit))
    reason = "changes may have been missed since: a load is cheaper than to ask whether its row changed";
  out.served = reason == nullptr;
  out.why = reason != nullptr   ? reason
            : must_be_confirmed ? "it may be served, once the origin has confirmed its row"
                                : "it may be served";
  co_return out;
}

Task<TierExplanation> CacheCore::MissPath::explain_l2(Feature* feature, std::string key) {
  TierExplanation out;
  const bool plain = feature->policy().plain;
  out.exists = l2_of(*feature) != nullptr && (!plain || parts_.l2_is_shared);
  if (!out.exists) co_return out;
  const std::string name = name_of(*feature, key);
  const MonoTime asked = parts_.home->now();
  Result<std::optional<L2Entry>> found = co_await parts_.l2->get(name);
  if (!found) {
    out.problem = std::move(found.error().message);
    co_return out;
  }
  out.why = "not held";
  if (!*found) co_return out;
  const L2Entry& entry = **found;
  out.held = true;
  out.negative = entry.negative;
  out.value_bytes = entry.value.size();
  out.stamp = entry.stamp;
  out.age = entry.age;
  if (entry.ttl_left > Duration::zero()) out.ttl_left = entry.ttl_left;
  out.age_is_l2s = true;
  const char* reason = why_l2_is_passed_by(feature->policy());
  if (reason == nullptr && owed_.owes(name))
    reason = "an invalidation of the key has not reached L2 yet: this node does not read it there";
  else if (reason == nullptr && !plain && !l2_is_believed(*feature))
    reason = "this node may lack what L2 was not told: it does not read L2 for this feature now";
  else if (reason == nullptr && !plain && entry.generation < l2_heard_.generation)
    reason = "L2 has forgotten invalidations: what it holds is not believed";
  else if (reason == nullptr && !plain && !markers_allow(*feature, name, entry.stamp))
    reason = "it lacks a change that this node has heard of";
  else if (reason == nullptr && feature->is_dropped(key, (asked - entry.age).ms()))
    reason = "dropped: its feature or one of its tags was invalidated";
  out.served = reason == nullptr;
  out.why = reason == nullptr ? "it may be served" : reason;
  co_return out;
}

void CacheCore::MissPath::explain_state(const Feature& feature, std::string_view key,
                                        KeyExplanation* out) const {
  const std::string name = name_of(feature, key);
  const MonoTime now = parts_.home->now();
  out->level = feature.policy().consistency;
  out->is_watched = feature.trust() != nullptr;
  out->is_heard = feature.is_heard();
  if (out->is_watched) {
    const OriginTrust& trust = *feature.trust();
    const l1::Millis as_of = trust.fresh_as_of_ms.load(std::memory_order_relaxed);
    if (as_of != OriginTrust::kNever) out->proven_ago = std::chrono::milliseconds(now.ms() - as_of);
    out->applied = Position{trust.applied_position.load(std::memory_order_relaxed)};
  }
  const l1::Millis floor = feature.floor_ms.load(std::memory_order_relaxed);
  out->floor_is_unsettled = floor == kFloorUnsettled;
  if (floor != kNoFloor && floor != kFloorUnsettled)
    out->floor_ago = std::chrono::milliseconds(now.ms() - floor);
  if (const auto cost = feature.load_cost_ns.load(std::memory_order_relaxed); cost != 0)
    out->load_cost = Duration{static_cast<std::int64_t>(cost)};
  if (const KeyMarkers* markers = markers_of(feature)) {
    if (const auto asked = markers->asked_of(name))
      out->marker = MarkerExplanation{asked->change, asked->of_feature, asked->seen_by_reader};
  }
  if (const Flights::Flight* flight = flights_.find(name)) {
    out->is_loading = true;
    out->waiting = flight->waiters.size();
  }
  out->is_owed_to_l2 = owed_.owes(name);
  out->is_unsettled = unsettled_.is_unsettled(name, now);
  out->is_pending = pending(feature, key) != nullptr;
}

// L1 and the state last: nothing comes between them.
Task<KeyExplanation> CacheCore::MissPath::explain(Feature* feature, std::string key) {
  KeyExplanation out;
  ++tasks_;
  out.disk = co_await explain_disk(feature, key);
  out.l2 = co_await explain_l2(feature, key);
  --tasks_;
  out.l1 = explain_l1(*feature, key);
  explain_state(*feature, key, &out);
  co_return out;
}

Task<KeyExplanation> CacheCore::explain(FeatureId feature, std::string key) {
  return miss_->explain(miss_->feature(feature), std::move(key));
}

}  // namespace candor
