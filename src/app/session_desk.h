// The server's questions about session tokens, taken to the cache's home executor and answered there.
// Thread safety: any thread. Outlives whoever asks.
#pragma once

#include <functional>
#include <vector>

#include "base/executor.h"
#include "cache/session_tokens.h"
#include "server/session_desk.h"

namespace candor::app {

class SessionDesk final : public server::SessionDesk {
 public:
  using Watched = SessionTokens::Watched;
  SessionDesk(const CacheCore* cache, Executor* home, std::vector<Watched> origins)
      : home_(home), tokens_(cache, home, std::move(origins)) {}

  void issue(std::function<void(Result<SessionToken>)> done) override {
    home_->post([this, done = std::move(done)]() mutable { spawn(tokens_.issue(), std::move(done)); });
  }
  void check(SessionToken token, std::function<void(Result<void>)> done) override {
    home_->post([this, token = std::move(token), done = std::move(done)]() mutable {
      spawn(tokens_.check(std::move(token)), std::move(done));
    });
  }
  [[nodiscard]] bool meets(const SessionToken& token, const Feature& feature) const override {
    return tokens_.meets(token, feature);
  }

 private:
  Executor* home_;
  SessionTokens tokens_;
};

}  // namespace candor::app
