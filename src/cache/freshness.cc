#include "cache/freshness.h"

#include <algorithm>
#include <cmath>

namespace candor {

namespace {
l1::Millis to_ms(Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }
}  // namespace

EntryLifetime lifetime_of(const FeaturePolicy& policy, l1::Millis now, l1::Millis loaded_at, Duration ttl) {
  EntryLifetime life;
  life.loaded_at = loaded_at;
  if (ttl > Duration::zero())
    life.expires_at = now + std::max<l1::Millis>(1, to_ms(ttl)) + to_ms(policy.serve_stale);
  return life;
}

Duration jittered_ttl(const FeaturePolicy& policy, bool negative, Random& random) {
  const Duration base = negative ? std::min(policy.negative_ttl, policy.ttl) : policy.ttl;
  if (base <= Duration::zero()) return Duration::zero();
  const double keep = 1.0 - policy.ttl_jitter * random.unit();
  const Duration jittered{static_cast<std::int64_t>(static_cast<double>(base.count()) * keep)};
  return std::max<Duration>(jittered, 1ms);
}

bool should_refresh_early(const FeaturePolicy& policy, Duration load_cost, l1::Millis until, l1::Millis now,
                          Random& random) {
  if (!may_refresh_early(policy, load_cost, until, now)) return false;
  const double scale_ms = static_cast<double>(load_cost.count()) / 1e6 * policy.refresh_beta;
  const auto remaining_ms = static_cast<double>(until - now);
  return -std::log(1.0 - random.unit()) * scale_ms >= remaining_ms;
}

}  // namespace candor
