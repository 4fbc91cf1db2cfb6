// Asks the running daemon of a configuration for what needs its admin token.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace candor::app {

// Where it listens and where it left its token, the configuration says. Errors are one line: what, what to
// do.
[[nodiscard]] Result<nlohmann::json> post_to_daemon(const std::string& config_file, const std::string& path,
                                                    const nlohmann::json& body, Duration timeout);

}  // namespace candor::app
