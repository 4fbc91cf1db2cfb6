// Session tokens over the watched origins of this node and what its cache has applied of their changes.
//
// A token is made from probes asked after the request came: whatever was committed before lies at or below
// them. Adopting one asks the origins again, unless this node has already applied as much. Thread safety:
// meets() any thread; the tasks on the cache's home executor. Outlives whoever asks.
#pragma once

#include <string>
#include <vector>

#include "base/executor.h"
#include "base/task.h"
#include "cache/cache.h"
#include "origin/origin.h"
#include "version/session_token.h"

namespace candor {

class SessionTokens {
 public:
  struct Watched {
    std::string name;
    Origin* origin = nullptr;
  };
  // As long as a client waits for a read by default; an origin that takes longer to say where it stands is
  // down for a session.
  static constexpr Duration kProbeTimeout = 5s;

  SessionTokens(const CacheCore* cache, Executor* home, std::vector<Watched> origins)
      : cache_(cache), home_(home), origins_(std::move(origins)) {}

  // Whoever meets the token sees all that was committed before this was asked.
  [[nodiscard]] Task<Result<SessionToken>> issue() const;
  // May this token be adopted here? An origin of another history, or one that has not gone so far, is an
  // error that says so.
  [[nodiscard]] Task<Result<void>> check(SessionToken token) const;
  // True: this node has applied the token's part of the feature's origin, so that no tier of it shows less.
  // Never of an unheard feature: what is applied holds nothing of it.
  [[nodiscard]] bool meets(const SessionToken& token, const Feature& feature) const;

 private:
  [[nodiscard]] bool has_applied(const SessionToken::Entry& entry) const;

  const CacheCore* cache_;
  Executor* home_;
  std::vector<Watched> origins_;
};

}  // namespace candor
