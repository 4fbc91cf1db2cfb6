// Pauses between attempts: exponential with full jitter (Brooker, "Exponential Backoff And Jitter", AWS
// 2015): each pause is uniform in [0, min(limit, first · 2^n)], so that many clients of one peer spread out
// instead of returning in step. A floor keeps a lucky draw from becoming a busy loop.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/random.h"
#include "base/time.h"

namespace candor {

class Backoff {
 public:
  struct Options {
    Duration first = 50ms;
    Duration limit = 2s;
    Duration floor = 5ms;
  };
  Backoff(Options options, std::uint64_t seed) : options_(options), random_(seed), ceiling_(options.first) {}

  // The pause before the next attempt.
  [[nodiscard]] Duration next() {
    const auto drawn =
        Duration{static_cast<std::int64_t>(random_.unit() * static_cast<double>(ceiling_.count()))};
    ceiling_ = std::min(ceiling_ * 2, options_.limit);
    return std::max(drawn, options_.floor);
  }
  // An attempt succeeded.
  void reset() { ceiling_ = options_.first; }

 private:
  Options options_;
  Random random_;
  Duration ceiling_;
};

}  // namespace candor
