// What the server needs to know of session tokens (docs/decisions/0005-consistency-protocol.md, "Tokens").
// The app implements it over the origins and what this node has applied of their changes. Thread safety: any
// thread.
#pragma once

#include <functional>

#include "base/result.h"
#include "cache/feature.h"
#include "version/session_token.h"

namespace candor::server {

class SessionDesk {
 public:
  virtual ~SessionDesk() = default;
  // Asks every watched origin where it stands: whoever meets the token sees all that was committed before.
  // `done` runs once, on any thread, perhaps before this returns.
  virtual void issue(std::function<void(Result<SessionToken>)> done) = 0;
  // May this token be adopted here? An origin of another history, or one that has not gone so far, is an
  // error that says so. `done` as above.
  virtual void check(SessionToken token, std::function<void(Result<void>)> done) = 0;
  // True: this node has applied the token's part of the feature's origin, so that no tier of it shows less.
  [[nodiscard]] virtual bool meets(const SessionToken& token, const Feature& feature) const = 0;
};

}  // namespace candor::server
