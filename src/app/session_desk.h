// Session tokens over the origins of this node and what the cache has applied of their changes.
//
// A token is made from probes asked after the command came: whatever was committed before lies at or below
// them. Adopting one asks the origins again, unless this node has already applied as much.
// Thread safety: any thread; probes run on the home executor. Outlives whoever asks.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/executor.h"
#include "cache/cache.h"
#include "origin/origin.h"
#include "server/session_desk.h"

namespace candor::app {

class SessionDesk final : public server::SessionDesk {
 public:
  struct Watched {
    std::string name;
    Origin* origin = nullptr;
  };
  // As long as a client waits for a read by default; an origin that takes longer to say where it stands is
  // down for a session.
  static constexpr Duration kProbeTimeout = 5s;

  SessionDesk(const CacheCore* cache, Executor* home, std::vector<Watched> origins)
      : cache_(cache), home_(home), origins_(std::move(origins)) {}

  void issue(std::function<void(Result<SessionToken>)> done) override;
  void check(SessionToken token, std::function<void(Result<void>)> done) override;
  [[nodiscard]] bool meets(const SessionToken& token, const Feature& feature) const override;

 private:
  [[nodiscard]] bool has_applied(const SessionToken::Entry& entry) const;
  [[nodiscard]] Task<Result<SessionToken>> probe_all() const;
  [[nodiscard]] Task<Result<void>> check_all(SessionToken token) const;

  const CacheCore* cache_;
  Executor* home_;
  std::vector<Watched> origins_;
};

}  // namespace candor::app
