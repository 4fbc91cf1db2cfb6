#include "app/steering.h"

#include <spdlog/spdlog.h>

#include <algorithm>

namespace candor::app {
namespace {

double seconds_of(Duration duration) { return std::chrono::duration<double>(duration).count(); }

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

ControlLimits limits_of(const ControllerConfig& config) {
  ControlLimits limits;
  limits.added_load_max = config.added_loads_max;
  limits.added_load_share = config.added_loads_share;
  limits.ttl_seconds_min = seconds_of(config.ttl_min);
  limits.write_wait_seconds_max = seconds_of(config.write_wait_max);
  limits.batch_seconds_max = seconds_of(config.batch_max);
  limits.origin_fraction_max = config.origin_reads_max;
  limits.outside_for = config.outside_for;
  limits.cooldown = config.cooldown;
  limits.calm = config.calm;
  limits.actions_max = config.actions_max;
  limits.actions_window = config.actions_window;
  limits.headroom = config.headroom;
  limits.undo_predicted = config.undo_predicted;
  limits.undo_measured = config.undo_measured;
  limits.advice_period = config.advice_period;
  return limits;
}

void log_lever(const LeverRecord& record) {
  const Action& action = record.action;
  spdlog::log(action.is_auto ? spdlog::level::warn : spdlog::level::info,
              "lever: {} {} of feature {}: {} -> {}: {}{}", action_kind_name(action.kind),
              lever_name(action.lever), action.feature, setting_text(action.from), setting_text(action.to),
              action.reason, record.refusal.empty() ? "" : "; refused: " + record.refusal);
}

}  // namespace

Steering::Steering(const Config& config, CacheCore* cache, const Clock* clock)
    : cache_(cache),
      clock_(clock),
      is_alone_(!config.stream || config.stream->url == "memory:"),
      origins_(config.origins),
      controller_({}, limits_of(config.controller), this, log_lever) {
  for (const FeatureConfig& feature : config.features) {
    if (!feature.budget || feature.is_plain()) continue;
    const auto origin = std::ranges::find(origins_, feature.origin, &OriginConfig::name);
    Steered& steered = features_[feature.name];
    steered.config = feature;
    steered.origin = origin == origins_.end() ? nullptr : &*origin;
    controller_.features().push_back(facts_of(steered));
  }
}

SteeredFeature Steering::facts_of(const Steered& steered) const {
  const FeatureConfig& config = steered.config;
  SteeredFeature feature;
  feature.name = config.name;
  feature.ttl_seconds = seconds_of(config.ttl);
  feature.ttl_jitter = config.ttl_jitter;
  feature.facts.serving = serving_of(feature_policy(config).consistency);
  feature.facts.can_watch = true;  // each kind of origin there is has a feed
  feature.facts.can_store = !config.store.empty();
  feature.facts.is_batchable = steered.origin != nullptr && steered.origin->url.starts_with("postgres");
  const auto why_not = [&](Lever lever) -> std::string& {
    return feature.not_at_hand[static_cast<std::size_t>(lever)];
  };
  if (is_alone_) why_not(Lever::kSynchronous) = "`[stream]` reaches no other node";
  if (config.write == "behind") why_not(Lever::kSynchronous) = "writes are gathered";
  why_not(Lever::kBatchWrites) = why_not_gathered(config, steered.origin);
  return feature;
}

void Steering::evaluated(const ExposureReport& report) {
  controller_.on_report(report);
  publish();
}

void Steering::publish() {
  auto fresh = std::make_shared<const LeverSnapshot>(controller_.snapshot());
  const MutexLock lock(mutex_);
  snapshot_ = std::move(fresh);
}

std::shared_ptr<const LeverSnapshot> Steering::snapshot() const {
  const MutexLock lock(mutex_);
  return snapshot_;
}

FeaturePolicy Steering::steered(FeaturePolicy policy) const {
  const auto it = features_.find(policy.name);
  if (it == features_.end()) return policy;
  const Pulled& pulled = it->second.pulled;
  if (pulled.ttl) policy.ttl = std::min(policy.ttl, *pulled.ttl);
  policy.negative_ttl = std::min(policy.negative_ttl, policy.ttl);
  policy.origin_fraction = pulled.origin_fraction;
  policy.refresh_on_change = pulled.refresh_on_change;
  policy.synchronous = pulled.synchronous;
  return policy;
}

// The log is switched by whoever reloads. What the file says anew of it, or what it now forbids, ends the
// lever.
void Steering::adopt(const FeatureConfig& feature) {
  const auto it = features_.find(feature.name);
  if (it == features_.end()) return;
  Steered& steered = it->second;
  const bool is_rewritten =
      steered.config.write != feature.write || steered.config.batching().window != feature.batching().window;
  steered.config = feature;
  const auto held = std::ranges::find(controller_.features(), feature.name, &SteeredFeature::name);
  *held = facts_of(steered);
  const bool is_forbidden = !held->not_at_hand[static_cast<std::size_t>(Lever::kBatchWrites)].empty();
  if (steered.pulled.batch_window == Duration::zero() || (!is_rewritten && !is_forbidden)) return;
  steered.pulled.batch_window = Duration::zero();
  controller_.note_put_back(feature.name, Lever::kBatchWrites, "the configuration was rewritten",
                            clock_->now(), clock_->wall());
  publish();
}

void Steering::adopt(const ControllerConfig& limits) { controller_.set_limits(limits_of(limits)); }

template <class Change>
Result<void> Steering::pull(std::string_view feature, const Change& change) {
  const Feature* known = cache_->find_feature(feature);
  const auto it = features_.find(feature);
  if (known == nullptr || it == features_.end()) return fail(ErrorCode::kNoFeature, "no such feature");
  change(it->second.pulled);
  return cache_->update_policy(known->id(), steered(feature_policy(it->second.config)));
}

Result<void> Steering::set_ttl(std::string_view feature, std::optional<Duration> ttl) {
  return pull(feature, [&](Pulled& pulled) { pulled.ttl = ttl; });
}

Result<void> Steering::set_refresh_on_change(std::string_view feature, bool is_on) {
  return pull(feature, [&](Pulled& pulled) { pulled.refresh_on_change = is_on; });
}

Result<void> Steering::set_synchronous(std::string_view feature, bool is_on) {
  return pull(feature, [&](Pulled& pulled) { pulled.synchronous = is_on; });
}

Result<void> Steering::set_batch_window(std::string_view feature, Duration window) {
  using write_behind::WriteMode;
  const Feature* known = cache_->find_feature(feature);
  const auto it = features_.find(feature);
  if (known == nullptr || it == features_.end()) return fail(ErrorCode::kNoFeature, "no such feature");
  const bool is_on = window > Duration::zero();
  const Duration configured = it->second.config.batching().window;
  auto done = cache_->set_write_mode(known->id(), is_on ? WriteMode::kBehind : WriteMode::kThrough,
                                     is_on ? window : configured);
  if (done) it->second.pulled.batch_window = window;
  return done;
}

Result<void> Steering::set_origin_reads(std::string_view feature, double fraction) {
  return pull(feature, [&](Pulled& pulled) { pulled.origin_fraction = fraction; });
}

}  // namespace candor::app
