#include "app/budget_desk.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/budget_json.h"
#include "app/engine.h"

namespace candor::app {

namespace {

// Chosen before JSON is made of it: whoever asks stands on a loop that serves others as well.
LeverSnapshot latest_of(const LeverSnapshot& all, std::string_view feature) {
  LeverSnapshot out{{}, {}, all.added_load, all.added_load_cap};
  for (auto it = all.log.rbegin(); it != all.log.rend() && out.log.size() < BudgetDesk::kRecordsMost; ++it)
    if (feature.empty() || it->action.feature == feature) out.log.push_back(*it);
  std::ranges::reverse(out.log);
  for (const FeatureMemory& one : all.features)
    if (feature.empty() || one.feature == feature) out.features.push_back(one);
  return out;
}

ExposureReport part_of(const ExposureReport& all, std::string_view feature) {
  ExposureReport out{all.at, all.wall, {}};
  for (const FeatureExposure& one : all.features)
    if (feature.empty() || one.feature == feature) out.features.push_back(one);
  return out;
}

}  // namespace

nlohmann::json BudgetDesk::budgets(std::string_view feature) const {
  const auto levers = engine_->levers();
  const LeverSnapshot latest = levers == nullptr ? LeverSnapshot{} : latest_of(*levers, feature);
  nlohmann::json out = levers_json(&latest);
  const auto exposure = engine_->exposure();
  // Keys are shown to whoever asks the API with the token.
  if (exposure != nullptr) out.update(exposures_json(part_of(*exposure, feature), WithKeys::kNo));
  if (!out.contains("features")) out["features"] = nlohmann::json::array();
  return out;
}

}  // namespace candor::app
