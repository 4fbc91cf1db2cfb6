#include "app/steering.h"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace candor::app {
namespace {

Serving serving_of(Consistency level) {
  switch (level) {
    case Consistency::kBounded:
      return Serving::kProven;
    case Consistency::kStrong:
      return Serving::kConfirmed;
    case Consistency::kOrigin:
      return Serving::kOrigin;
    case Consistency::kEventual:
    case Consistency::kSession:
      break;
  }
  return Serving::kFromTier;
}

SteeredFeature steered_feature(const FeatureConfig& config, const Config& all) {
  SteeredFeature feature;
  feature.name = config.name;
  feature.ttl_seconds = std::chrono::duration<double>(config.ttl).count();
  feature.ttl_jitter = config.ttl_jitter;
  feature.facts.serving = serving_of(feature_policy(config).consistency);
  feature.facts.can_watch = true;  // each kind of origin there is has a feed
  feature.facts.can_store = !config.store.empty();
  const OriginConfig* origin = all.find_origin(config.origin);
  feature.facts.is_batchable = origin != nullptr && origin->url.starts_with("postgres");
  for (const Lever lever :
       {Lever::kRefreshOnChange, Lever::kSynchronous, Lever::kBatchWrites, Lever::kOriginReads})
    feature.not_at_hand[static_cast<std::size_t>(lever)] = "not built into this node yet";
  return feature;
}

std::vector<SteeredFeature> steered_features(const Config& config) {
  std::vector<SteeredFeature> out;
  for (const FeatureConfig& feature : config.features)
    if (feature.budget && !feature.is_plain()) out.push_back(steered_feature(feature, config));
  return out;
}

void log_lever(const LeverRecord& record) {
  const Action& action = record.action;
  spdlog::log(action.is_auto ? spdlog::level::warn : spdlog::level::info,
              "lever: {} {} of feature {}: {} -> {}: {}{}", action_kind_name(action.kind),
              lever_name(action.lever), action.feature, setting_text(action.from), setting_text(action.to),
              action.reason, record.refusal.empty() ? "" : "; refused: " + record.refusal);
}

std::unexpected<Error> not_yet(std::string_view lever) {
  return fail(ErrorCode::kUnavailable, std::string(lever) + " is not built into this node yet");
}

}  // namespace

Steering::Steering(const Config& config, CacheCore* cache)
    : cache_(cache), controller_(steered_features(config), ControlLimits{}, this, log_lever) {
  for (const FeatureConfig& feature : config.features)
    if (feature.budget && !feature.is_plain()) configured_.emplace(feature.name, feature);
}

void Steering::evaluated(const ExposureReport& report) {
  controller_.on_report(report);
  auto fresh = std::make_shared<LeverSnapshot>();
  fresh->log.assign(controller_.log().begin(), controller_.log().end());
  fresh->features = controller_.memory().features;
  fresh->added_load = controller_.added_load();
  fresh->added_load_cap = controller_.added_load_cap();
  const MutexLock lock(mutex_);
  snapshot_ = std::move(fresh);
}

std::shared_ptr<const LeverSnapshot> Steering::snapshot() const {
  const MutexLock lock(mutex_);
  return snapshot_;
}

FeaturePolicy Steering::steered(FeaturePolicy policy) const {
  const auto it = ttls_.find(policy.name);
  if (it == ttls_.end()) return policy;
  policy.ttl = std::min(policy.ttl, it->second);
  policy.negative_ttl = std::min(policy.negative_ttl, policy.ttl);
  return policy;
}

void Steering::adopt(const FeatureConfig& feature) {
  const auto it = configured_.find(feature.name);
  if (it == configured_.end()) return;
  it->second = feature;
  for (SteeredFeature& one : controller_.features())
    if (one.name == feature.name) one.ttl_seconds = std::chrono::duration<double>(feature.ttl).count();
}

Result<void> Steering::set_ttl(std::string_view feature, std::optional<Duration> ttl) {
  const Feature* known = cache_->find_feature(feature);
  const auto configured = configured_.find(feature);
  if (known == nullptr || configured == configured_.end())
    return fail(ErrorCode::kNoFeature, "no such feature");
  if (ttl)
    ttls_[std::string(feature)] = *ttl;
  else
    ttls_.erase(configured->first);
  return cache_->update_policy(known->id(), steered(feature_policy(configured->second)));
}

Result<void> Steering::set_refresh_on_change(std::string_view /*feature*/, bool /*is_on*/) {
  return not_yet("refresh on change");
}
Result<void> Steering::set_synchronous(std::string_view /*feature*/, bool /*is_on*/) {
  return not_yet("synchronous invalidation");
}
Result<void> Steering::set_batch_window(std::string_view /*feature*/, Duration /*window*/) {
  return not_yet("write batching");
}
Result<void> Steering::set_origin_reads(std::string_view /*feature*/, double /*fraction*/) {
  return not_yet("reads to the origin");
}

}  // namespace candor::app
