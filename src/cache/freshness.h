// May this entry be served to a reader of this feature now? Pure: policy, entry times and `now` in, an answer
// out.
//
// An entry lives longer in L1 than it is fresh: it is kept for `serve_stale` past its ttl, so that there is
// something to serve when the origin fails. Its `expires_at` is the end of that grace; fresh_until() is the
// end of the ttl.
#pragma once

#include <algorithm>
#include <optional>

#include "base/random.h"
#include "cache/feature.h"
#include "tier/l1/store.h"

namespace candor {

// How an entry of this policy is stored: ttl with jitter, grace on top.
struct EntryLifetime {
  l1::Millis loaded_at = 0;
  l1::Millis expires_at = 0;  // physical: the end of the grace; 0: never
};

// `loaded_at`: when the value's load began; `ttl`: what is left of its life, 0 for "no expiry".
[[nodiscard]] EntryLifetime lifetime_of(const FeaturePolicy& policy, l1::Millis now, l1::Millis loaded_at,
                                        Duration ttl);

// The policy's ttl (negative_ttl for an absent row) with jitter applied: shortened by a random share, never
// extended. Entries that were loaded together then expire apart. Never below one millisecond.
[[nodiscard]] Duration jittered_ttl(const FeaturePolicy& policy, bool negative, Random& random);

// The moment from which the entry is no longer fresh by its ttl; 0: never. Negative entries have no grace. A
// ttl that was shortened since the entry was stored counts at once.
[[nodiscard]] inline l1::Millis fresh_until(const FeaturePolicy& policy, const l1::EntryMeta& meta) {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  l1::Millis until = meta.expires_at;
  if (until != 0 && !meta.negative) until -= duration_cast<milliseconds>(policy.serve_stale).count();
  if (policy.plain || policy.ttl <= Duration::zero()) return until;
  const l1::Millis by_ttl = meta.loaded_at + duration_cast<milliseconds>(policy.ttl).count();
  return until == 0 ? by_ttl : std::min(until, by_ttl);
}

[[nodiscard]] inline bool is_fresh(const FeaturePolicy& policy, const l1::EntryMeta& meta, l1::Millis now) {
  const l1::Millis until = fresh_until(policy, meta);
  return until == 0 || now < until;
}

// Is it the same load of the same key?
[[nodiscard]] inline bool is_same_entry(const l1::EntryMeta& a, const l1::EntryMeta& b) {
  return a.stamp == b.stamp && a.loaded_at == b.loaded_at && a.expires_at == b.expires_at &&
         a.negative == b.negative;
}

// In an entry's user_flags: its age was told by L2's clock, and is no proof.
inline constexpr std::uint8_t kAgeFromL2 = 1;
// In an entry's user_flags: an acknowledged write that the origin may not have yet (write-behind). It is
// newer than the origin's row, not staler.
inline constexpr std::uint8_t kPendingWrite = 2;
// In an entry's user_flags: the disk tier holds it as it is, so that its eviction needs no write.
inline constexpr std::uint8_t kHeldByDisk = 4;

// How long ago the value can have been superseded, at most, in milliseconds; nullopt: nothing is proven. Two
// proofs, the better counts: every change before `fresh_as_of` is applied here, and the load began on this
// node at loaded_at. `now` was read after the request. The entry is not suspect. Times are rounded down, so
// that a millisecond is added.
[[nodiscard]] inline std::optional<l1::Millis> proven_within(const l1::EntryMeta& meta,
                                                             l1::Millis fresh_as_of, l1::Millis now) {
  std::optional<l1::Millis> within;
  if (fresh_as_of != OriginTrust::kNever) within = now - fresh_as_of + 1;
  if ((meta.user_flags & kAgeFromL2) == 0) {
    const l1::Millis since_load = now - meta.loaded_at + 1;
    within = within ? std::min(*within, since_load) : since_load;
  }
  return within;
}
// The same of an entry of this feature, as the feature stands now. On the cache's home executor, where
// nothing comes between the entry and its proof.
[[nodiscard]] inline std::optional<Duration> entry_within(const Feature& feature, const l1::EntryMeta& meta,
                                                          MonoTime now) {
  if (feature.policy().plain || feature.is_suspect(meta.loaded_at)) return std::nullopt;
  const l1::Millis as_of = feature.is_heard()
                               ? feature.trust()->fresh_as_of_ms.load(std::memory_order_relaxed)
                               : OriginTrust::kNever;
  const auto within = proven_within(meta, as_of, now.ms());
  if (!within) return std::nullopt;
  return std::chrono::milliseconds(*within);
}
[[nodiscard]] inline bool is_proven(const l1::EntryMeta& meta, l1::Millis fresh_as_of, l1::Millis now,
                                    Duration bound) {
  if (mutant(Mutant::kBoundIgnored)) return true;
  const auto within = proven_within(meta, fresh_as_of, now);
  return within && std::chrono::milliseconds(*within) <= bound;
}

// Levels that tiers may answer without a proof. Bounded reads need one, strong ones ask the origin each time.
[[nodiscard]] inline bool tiers_may_answer(Consistency level) {
  return level == Consistency::kEventual || level == Consistency::kSession;
}
[[nodiscard]] inline bool needs_proof(Consistency level) { return level == Consistency::kBounded; }

// What a read's proof rests on. Two orders make it hold on any thread:
//   - `at` is read after the request has arrived, so that the proof speaks of a moment after it, also when
//   the
//     process is stopped for an hour right here. A time read before, as the event loop's, would prove too
//     much.
//   - `fresh_as_of` is read before the entry is looked up. Changes are applied first and vouched for
//   afterwards:
//     whoever sees the word finds what it speaks of. The other way round an entry that was found just before
//     its change would be vouched for by a word that came with the change.
// One clock reading does for all requests that are answered together. It waits for all loads under way, so it
// is best done before the lookups, or nothing of the next key overlaps with this one's misses.
struct Proof {
  l1::Millis at = 0;
  l1::Millis fresh_as_of = OriginTrust::kNever;
};
[[nodiscard]] inline l1::Millis vouched_for(const Feature& feature) {
  if (!feature.is_heard()) return OriginTrust::kNever;
  return feature.trust()->fresh_as_of_ms.load(std::memory_order_acquire);
}

// Whether should_refresh_early() is worth its draw: beyond 16 scales the chance is below 2e-7.
[[nodiscard]] inline bool may_refresh_early(const FeaturePolicy& policy, Duration load_cost, l1::Millis until,
                                            l1::Millis now) {
  if (until == 0 || policy.refresh_beta <= 0.0) return false;
  return static_cast<double>(until - now) <
         16e-6 * static_cast<double>(load_cost.count()) * policy.refresh_beta;
}

// XFetch (Vattani, Chierichetti, Lowenstein: "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015):
// refresh ahead of expiry when now + cost · beta · −ln(u) ≥ expiry, u uniform in (0, 1]. A key that is read
// often is refreshed early by one of its readers; a key that nobody reads expires. `cost` is the mean time of
// a load of the feature.
[[nodiscard]] bool should_refresh_early(const FeaturePolicy& policy, Duration load_cost, l1::Millis until,
                                        l1::Millis now, Random& random);

}  // namespace candor
