#include "cache/session_tokens.h"

#include <algorithm>
#include <utility>

#include "version/mutant.h"

namespace candor {

namespace {

// The position first: a node that takes up another history writes its incarnation before the position.
bool is_applied(const OriginTrust& trust, const SessionToken::Entry& entry) {
  const std::uint64_t position = trust.applied_position.load(std::memory_order_acquire);
  return trust.incarnation.load(std::memory_order_relaxed) == entry.incarnation.value &&
         position >= entry.position.value;
}

}  // namespace

bool SessionTokens::has_applied(const SessionToken::Entry& entry) const {
  const OriginTrust* trust = cache_->trust(entry.origin);
  return trust != nullptr && is_applied(*trust, entry);
}

bool SessionTokens::meets(const SessionToken& token, const Feature& feature) const {
  const OriginTrust* trust = feature.trust();
  if (trust == nullptr || mutant(Mutant::kTokenIgnored)) return true;
  const SessionToken::Entry* entry = token.find(trust->name);
  return entry == nullptr || (feature.is_heard() && is_applied(*trust, *entry));
}

Task<Result<SessionToken>> SessionTokens::issue() const {
  SessionToken token;
  for (const auto& one : origins_) {
    // What this node has acknowledged and the origin does not have yet lies below no position of the
    // origin's.
    Result<void> settled = co_await cache_->settle_writes(one.name, home_->now() + kProbeTimeout);
    if (!settled) co_return std::unexpected(std::move(settled.error()));
    Result<OriginProbe> probe = co_await one.origin->probe(home_->now() + kProbeTimeout);
    if (!probe) co_return std::unexpected(std::move(probe.error()));
    if (auto added = token.add(one.name, probe->incarnation, probe->position); !added)
      co_return std::unexpected(std::move(added.error()));
  }
  co_return token;
}

Task<Result<void>> SessionTokens::check(SessionToken token) const {
  for (const auto& entry : token.entries()) {
    const auto watched = std::ranges::find(origins_, entry.origin, &Watched::name);
    // Another region may use origins that this one does not have: nothing here can fall behind them.
    // An order of another node's own, or of a connection that is gone: never met, so that the session reads
    // this origin past the cache.
    if (watched == origins_.end() || watched->origin->has_local_order() || has_applied(entry)) continue;
    Result<OriginProbe> probe = co_await watched->origin->probe(home_->now() + kProbeTimeout);
    if (!probe) co_return std::unexpected(std::move(probe.error()));
    if (probe->incarnation != entry.incarnation) {
      co_return fail(ErrorCode::kInvalidArgument,
                     "the token belongs to another history of origin '" + entry.origin +
                         "', which was restored or replaced since; begin a new session");
    }
    if (probe->position < entry.position) {
      co_return fail(ErrorCode::kInvalidArgument,
                     "the token is ahead of origin '" + entry.origin +
                         "': it was not made from it, or this region's copy of it lags; retry later");
    }
  }
  co_return Result<void>{};
}

}  // namespace candor
