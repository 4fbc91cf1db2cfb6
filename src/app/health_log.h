// Writes down when something behind this node goes away and when it is back, once each, with how long it was
// away: what an operator looks for the morning after. Thread safety: none; one owner.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/time.h"

namespace candor::app {

class HealthLog {
 public:
  enum class Change : std::uint8_t { kBegan, kEnded };
  // `write` gets each change: the reason, and for kEnded how long it lasted.
  using Write = std::function<void(Change, const std::string& reason, Duration lasted)>;
  explicit HealthLog(Write write) : write_(std::move(write)) {}

  // `reasons`: all that is wrong at `now` ("l2_down", "origin_down:shop"); see NodeReport::degraded.
  void note(const std::vector<std::string>& reasons, MonoTime now);

 private:
  Write write_;
  std::map<std::string, MonoTime> since_;
};

// To the log: a warning, and the all-clear.
[[nodiscard]] HealthLog::Write write_health_to_log();

}  // namespace candor::app
