#include "app/reconciliation.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace candor::app {
namespace {

using nlohmann::json;

constexpr std::array kCauses = {Reconciled::kLost, Reconciled::kTtlOnly, Reconciled::kRace,
                                Reconciled::kL2Only};

json per_million(std::uint64_t part, std::uint64_t judged) {
  if (judged == 0) return nullptr;
  return 1e6 * static_cast<double>(part) / static_cast<double>(judged);
}

json tally_json(const ReconcileTally& tally) {
  json entries = json::object();
  for (std::size_t i = 0; i < kReconciledKinds; ++i)
    entries[std::string(kReconciledNames[i])] = tally.entries[i];
  json causes = json::object();
  for (const Reconciled cause : kCauses)
    causes[std::string(kReconciledNames[static_cast<std::size_t>(cause)])] =
        per_million(tally.of(cause), tally.judged());
  return {{"judged", tally.judged()},
          {"divergent", tally.divergent()},
          {"divergent_negatives", tally.negatives},
          {"divergence_per_million", per_million(tally.divergent(), tally.judged())},
          {"per_million_by_cause", std::move(causes)},
          {"entries", std::move(entries)}};
}

}  // namespace

CacheCore::ReconcileOptions reconcile_options(const ReconcileConfig& config, ReconcileWiring wiring) {
  CacheCore::ReconcileOptions options;
  options.keys_per_second = config.rate;
  options.period = config.period;
  options.concerns = [of = wiring.concerned](FeatureId id) { return id.value < of->size(); };
  options.suffers = [of = wiring.concerned, suffers = std::move(wiring.origin_suffers)](FeatureId id) {
    return suffers((*of)[id.value].origin);
  };
  options.was_told = std::move(wiring.was_told);
  options.tell_region = [region = std::move(wiring.region)](std::string name) {
    RegionDesk* const desk = region();
    if (desk == nullptr) return;
    server::RegionWide what;
    what.names.push_back(std::move(name));
    // Nodes that do not hear of it find it themselves, in a pass of their own.
    desk->forget(std::move(what), [](const Result<void>&) {});
  };
  return options;
}

json reconciliation_json(const NodeReport& report) {
  const ReconcileStatus& status = report.reconciliation;
  json features = json::array();
  for (std::size_t i = 0; i < report.features.size() && i < status.features.size(); ++i) {
    if (report.features[i].origin == "none") continue;
    features.push_back({{"feature", report.features[i].name},
                        {"since_start", tally_json(status.features[i].since_start)},
                        {"last_pass", tally_json(status.features[i].last_pass)}});
  }
  json out = {{"on", status.is_on},
              {"waiting_for_origin", status.is_waiting},
              {"keys_per_second", status.rate},
              {"passes", status.passes},
              {"keys_in_this_pass", status.asked},
              {"in_doubt", status.in_doubt},
              {"features", std::move(features)}};
  out["last_pass_seconds"] = status.passes == 0 ? json(nullptr) : json(to_seconds(status.last_pass));
  out["last_divergence_ago_ms"] =
      status.last_divergence_at.ns == 0 ? json(nullptr) : json((report.at - status.last_divergence_at) / 1ms);
  return out;
}

}  // namespace candor::app
