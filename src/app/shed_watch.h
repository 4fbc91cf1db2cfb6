// Which origins refuse requests because too much waits for them: a burst that one look finds stays visible
// for a while, so that an operator and a scrape see it. Pure; belongs to home.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>

#include "origin/origin.h"

namespace candor::app {

class ShedWatch {
 public:
  // Two scrapes of Prometheus' default interval.
  static constexpr Duration kShownFor = 30s;

  void note(const std::string& origin, const OriginStats& stats, MonoTime now) {
    Seen& seen = seen_[origin];
    // The background is refused first by design, and nobody waits for it.
    const std::uint64_t refused = stats.shed[0] + stats.shed[1] + stats.shed[2];
    seen.is_shedding = refused > seen.refused || (seen.is_shedding && now - seen.at < kShownFor);
    if (refused > seen.refused) seen.at = now;
    seen.refused = refused;
  }
  [[nodiscard]] bool is_shedding(std::string_view origin) const {
    const auto it = seen_.find(origin);
    return it != seen_.end() && it->second.is_shedding;
  }

 private:
  struct Seen {
    std::uint64_t refused = 0;
    MonoTime at{0};
    bool is_shedding = false;
  };
  std::map<std::string, Seen, std::less<>> seen_;
};

}  // namespace candor::app
