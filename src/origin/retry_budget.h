// How much a node may ask an origin again: a share of what it asks, and never more than a burst saved up.
// When everything fails, retries would otherwise double the load just when the origin can bear it least.
// Pure; belongs to its origin's executor.
#pragma once

#include <algorithm>

namespace candor {

class RetryBudget {
 public:
  // `share` of the statements, 0: never. `burst`: what one lost server may cost at once, and what a quiet
  // origin is granted.
  RetryBudget(double share, double burst) : share_(share), burst_(burst), tokens_(share > 0 ? burst : 0) {}

  void set_share(double share) {
    share_ = share;
    if (share <= 0) tokens_ = 0;
  }
  void on_statement() { tokens_ = std::min(burst_, tokens_ + share_); }
  [[nodiscard]] bool take() {
    if (tokens_ < 1.0 - 1e-9) return false;  // ten tenths are one
    tokens_ -= 1.0;
    return true;
  }

 private:
  double share_, burst_, tokens_;
};

}  // namespace candor
