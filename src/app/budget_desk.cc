#include "app/budget_desk.h"

#include <nlohmann/json.hpp>

#include "app/budget_json.h"
#include "app/engine.h"

namespace candor::app {

nlohmann::json BudgetDesk::budgets() const {
  nlohmann::json out = levers_json(engine_->levers().get());
  const auto exposure = engine_->exposure();
  // Keys are shown to whoever asks the API with the token.
  if (exposure != nullptr) out.update(exposures_json(*exposure, WithKeys::kNo));
  if (!out.contains("features")) out["features"] = nlohmann::json::array();
  return out;
}

}  // namespace candor::app
