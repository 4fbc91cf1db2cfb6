#include "app/warming_report.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "app/engine.h"

namespace candor::app {
namespace {

using nlohmann::json;

json tally_json(const warm::WarmTally& tally) {
  json out = json::object();
  for (std::size_t i = 0; i < warm::kWarmStates; ++i)
    out[std::string(warm::kWarmStateNames[i])] = tally.keys[i];
  out["total"] = tally.total();
  return out;
}

json origins_json(const warm::WarmProgress& progress) {
  json out = json::array();
  for (const auto& origin : progress.origins)
    out.push_back({{"origin", origin.name},
                   {"statements", origin.statements},
                   {"statements_allowed", origin.window},
                   {"statements_max", origin.statements_max},
                   {"statements_most", origin.most}});
  return out;
}

// A database's words may quote values.
constexpr std::string_view kWithheld = "the origin refused it; `candor warm` and the log have its words";

}  // namespace

json warming_json(const warm::WarmProgress& progress, const std::vector<std::string>& names, bool problems) {
  json by_priority = json::object();
  for (std::size_t i = 0; i < warm::kWarmClasses; ++i)
    by_priority[std::string(warm::kWarmClassNames[i])] = tally_json(progress.by_class[i]);
  json features = json::array();
  for (const auto& one : progress.features) {
    if (one.feature.value >= names.size()) continue;
    json feature = {{"feature", names[one.feature.value]}, {"keys", tally_json(one.keys)}};
    if (problems) feature["problem"] = one.problem;
    features.push_back(std::move(feature));
  }
  json sources = json::array();
  for (const auto& source : progress.sources)
    sources.push_back(
        {{"source", source.name},
         {"keys", source.keys},
         {"done", !source.is_open},
         {"problem", !problems && source.is_the_origins ? std::string(kWithheld) : source.problem}});
  json out = {{"running", progress.is_running},        {"runs", progress.runs},
              {"took_ms", progress.took / 1ms},        {"keys_per_second", progress.keys_per_second},
              {"keys", tally_json(progress.all)},      {"keys_ever", tally_json(progress.ever)},
              {"by_priority", std::move(by_priority)}, {"features", std::move(features)},
              {"sources", std::move(sources)},         {"origins", origins_json(progress)}};
  out["eta_ms"] = progress.eta ? json(*progress.eta / 1ms) : json(nullptr);
  out["predicted_hit_rate"] =
      progress.predicted_hit_rate ? json(*progress.predicted_hit_rate) : json(nullptr);
  return out;
}

void WarmDesk::warm(std::string feature, std::function<void(Result<json>)> done) {
  engine_->home().post([engine = engine_, feature = std::move(feature), done = std::move(done)] {
    const Result<void> begun = engine->warming().request({feature, {}});
    if (!begun) return done(std::unexpected(begun.error()));
    std::vector<std::string> names;
    for (std::size_t i = 0; i < engine->cache().feature_count(); ++i)
      names.push_back(engine->cache().feature(FeatureId{static_cast<std::uint16_t>(i)}).policy().name);
    done(warming_json(engine->warming().progress(), names, false));
  });
}

}  // namespace candor::app
