// What is known of exposure, as JSON: one form for the API, the dashboard's events, and `candor budget`.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>

#include "app/budget_timeline.h"
#include "app/steering.h"
#include "monitor/exposure_report.h"

namespace candor::app {

enum class WithKeys : bool { kNo, kYes };

// null where nothing is measured or known.
[[nodiscard]] nlohmann::json exposure_json(const FeatureExposure& exposure, WithKeys with_keys);
[[nodiscard]] nlohmann::json exposures_json(const ExposureReport& report, WithKeys with_keys);
// For an event, which must stay below HttpConnection::kStreamUnsentBytesMax: without the classes of keys (up
// to 40 KB a feature, where the rest is 3), and at most `features_max` features, those that page first.
[[nodiscard]] nlohmann::json exposures_event_json(const ExposureReport& report, std::size_t features_max);
[[nodiscard]] nlohmann::json budget_point_json(const BudgetPoint& point);

// What is pulled and what was done, the newest first; null: nothing was evaluated yet.
[[nodiscard]] nlohmann::json levers_json(const LeverSnapshot* levers);

// "inside", "outside", or "not measured": is the budget kept, by what the interval says? Outside only when
// even the interval's lower end is over the allowed fraction; inside when the measured fraction is within it.
[[nodiscard]] std::string_view verdict_of(const FeatureExposure& exposure);

}  // namespace candor::app
