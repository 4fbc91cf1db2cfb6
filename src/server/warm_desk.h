// What the server needs to know of warming, for CANDOR.WARM. The app implements it over the same run that its
// API shows. Thread safety: any thread; `done` runs on the cache's home executor.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/result.h"

namespace candor::server {

class WarmDesk {
 public:
  virtual ~WarmDesk() = default;
  // Begins to warm what the configuration says of this feature, or (empty) of all, or joins the run that is
  // under way; the answer is as GET /api/v1/warm, of then.
  virtual void warm(std::string feature, std::function<void(Result<nlohmann::json>)> done) = 0;
};

}  // namespace candor::server
