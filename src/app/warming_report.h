// How warming is told: JSON for the API, for CANDOR.WARM and for the tool.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "server/warm_desk.h"
#include "warm/warmer.h"

namespace candor::app {

class Engine;

// `names`: by FeatureId. `problems`: with the last error of each feature, which may quote a key.
[[nodiscard]] nlohmann::json warming_json(const warm::WarmProgress& progress,
                                          const std::vector<std::string>& names, bool problems);

// CANDOR.WARM's source.
class WarmDesk final : public server::WarmDesk {
 public:
  explicit WarmDesk(Engine* engine) : engine_(engine) {}  // outlives this
  void warm(std::string feature, std::function<void(Result<nlohmann::json>)> done) override;

 private:
  Engine* engine_;
};

}  // namespace candor::app
