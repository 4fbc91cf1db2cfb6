#include "app/health_log.h"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace candor::app {

void HealthLog::note(const std::vector<std::string>& reasons, MonoTime now) {
  for (const std::string& reason : reasons) {
    if (since_.emplace(reason, now).second) write_(Change::kBegan, reason, Duration{0});
  }
  std::erase_if(since_, [&](const auto& item) {
    if (std::ranges::find(reasons, item.first) != reasons.end()) return false;
    write_(Change::kEnded, item.first, now - item.second);
    return true;
  });
}

HealthLog::Write write_health_to_log() {
  return [](HealthLog::Change change, const std::string& reason, Duration lasted) {
    if (change == HealthLog::Change::kBegan) {
      spdlog::warn("degraded: {}", reason);
    } else {
      spdlog::info("recovered: {}, after {:.1f} s", reason, to_seconds(lasted));
    }
  };
}

}  // namespace candor::app
