#include "app/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace candor::app {

void start_log() {
  spdlog::set_default_logger(spdlog::stderr_color_mt("candord"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %^%-7l%$ %v");
  spdlog::flush_on(spdlog::level::info);
}

void set_log_level(const std::string& level) { spdlog::set_level(spdlog::level::from_str(level)); }

}  // namespace candor::app
