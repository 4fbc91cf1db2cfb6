#include "app/steering.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "app/serving.h"

namespace candor::app {
namespace {

ControlLimits limits_of(const ControllerConfig& config) {
  ControlLimits limits;
  limits.added_load_max = config.added_loads_max;
  limits.added_load_share = config.added_loads_share;
  limits.ttl_seconds_min = to_seconds(config.ttl_min);
  limits.write_wait_seconds_max = to_seconds(config.write_wait_max);
  limits.batch_seconds_max = to_seconds(config.batch_max);
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

// Changes a second of the keys that are read, by anyone.
double changes_of(const Workload& workload) {
  double sum = 0.0;
  for (const KeyClass& one : workload.classes)
    if (one.reads_per_second > 0.0)
      sum += one.read_share * workload.reads_per_second / one.reads_per_second * one.updates_per_second;
  return std::max(sum, workload.updates_per_second);
}

// Weight of one evaluation in the smoothed rate of this node's own changes: a minute's worth.
constexpr double kSmoothing = 0.1;

void log_lever(const LeverRecord& record) {
  const Action& action = record.action;
  spdlog::log(action.is_auto ? spdlog::level::warn : spdlog::level::info,
              "lever: {} {} of feature {}: {} -> {}: {}{}", action_kind_name(action.kind),
              lever_name(action.lever), action.feature, setting_text(action.from), setting_text(action.to),
              action.reason, record.refusal.empty() ? "" : "; refused: " + record.refusal);
}

}  // namespace

Steering::Steering(const Config& config, CacheCore* cache, const Clock* clock, RegionWrites* region)
    : cache_(cache),
      clock_(clock),
      region_(region),
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
  feature.ttl_seconds = to_seconds(config.ttl);
  feature.ttl_jitter = config.ttl_jitter;
  feature.facts.serving = serving_of(feature_policy(config).consistency);
  feature.facts.can_watch = true;  // each kind of origin there is has a feed
  feature.facts.can_store = !config.store.empty();
  feature.facts.is_batchable = steered.origin != nullptr && steered.origin->url.starts_with("postgres");
  const auto why_not = [&](Lever lever) -> std::string& {
    return feature.not_at_hand[static_cast<std::size_t>(lever)];
  };
  if (region_ == nullptr) why_not(Lever::kSynchronous) = "`[stream]` reaches no other node";
  // Without a feed the rate of changes is found by comparing what is held with the origin; what this lever
  // drops is not held, and changes would seem to have ended.
  if (!config.watch) why_not(Lever::kSynchronous) = "without `watch` it would hide what it is judged by";
  if (config.write == "behind") why_not(Lever::kSynchronous) = "writes are gathered";
  why_not(Lever::kBatchWrites) = why_not_gathered(config, steered.origin);
  return feature;
}

void Steering::evaluated(const ExposureReport& report) {
  if (region_ != nullptr)
    for (const FeatureExposure& exposure : report.features) hear_region(exposure);
  controller_.on_report(report);
  publish();
}

// Before the controller decides: who makes the feature's changes, and what other nodes ask.
void Steering::hear_region(const FeatureExposure& exposure) {
  const auto it = features_.find(exposure.feature);
  const Feature* known = cache_->find_feature(exposure.feature);
  if (it == features_.end() || known == nullptr) return;
  Steered& steered = it->second;
  const MonoTime now = clock_->now();
  const std::uint64_t made = known->counters.changes_made.load(std::memory_order_relaxed);
  if (steered.counted_at.ns != 0 && now > steered.counted_at) {
    const double rate =
        static_cast<double>(made - steered.changes_made) / to_seconds(now - steered.counted_at);
    steered.changes_per_second += kSmoothing * (rate - steered.changes_per_second);
  }
  steered.changes_made = made;
  steered.counted_at = now;
  tell_region(steered);
  const double all = changes_of(exposure.workload);
  const double others = region_->made_by_others(exposure.feature, now);
  const auto held = std::ranges::find(controller_.features(), exposure.feature, &SteeredFeature::name);
  held->facts.through_share = all <= 0.0 ? 0.0 : std::min(1.0, exposure.delivery.own_share + others / all);
  // There and back twice: the question, and the answer of whoever hears it.
  if (const auto trip = region_->round_trip()) held->facts.region_seconds = 2.0 * to_seconds(*trip);
  RegionWrites::Asked asked = region_->asked_by_others(exposure.feature, now);
  if (steered.config.budget->control != "auto") asked = {};
  if (asked == steered.asked) return;
  steered.asked = std::move(asked);
  do_what_is_asked(steered);
}

void Steering::do_what_is_asked(Steered& steered) {
  const RegionWrites::Asked& asked = steered.asked;
  const std::string what = asked.waits ? "wait until every node has dropped the old value"
                           : asked.gather > Duration::zero() ? "are gathered"
                                                             : "are as configured";
  spdlog::info("lever: writes of feature {} {}{}{}", steered.config.name, what,
               asked.by.empty() ? "" : ", as asked by node ", asked.by);
  const Feature* known = cache_->find_feature(steered.config.name);
  (void)cache_->update_policy(known->id(), this->steered(feature_policy(steered.config)));
  if (auto switched = switch_log(steered); !switched)
    spdlog::info("lever: writes of feature {} are not gathered: {}", steered.config.name,
                 switched.error().message);
}

void Steering::tell_region(const Steered& steered) {
  if (region_ == nullptr) return;
  FeatureWrites writes{.feature = steered.config.name};
  writes.changes_per_hour = static_cast<std::uint64_t>(3600.0 * steered.changes_per_second);
  writes.waits = steered.pulled.synchronous;
  writes.gather_ms = static_cast<std::uint32_t>(steered.pulled.batch_window / 1ms);
  region_->say(std::move(writes));
}

// The longer of what is pulled here and what others ask, within this node's own limit.
Result<void> Steering::switch_log(Steered& steered) {
  using write_behind::WriteMode;
  const Duration limit{static_cast<std::int64_t>(1e9 * controller_.limits().batch_seconds_max)};
  Duration asked = std::min(steered.asked.gather, limit);
  if (!why_not_gathered(steered.config, steered.origin).empty()) asked = Duration::zero();
  const Duration window = std::max(steered.pulled.batch_window, asked);
  if (window == steered.gathers_for) return {};
  const Feature* known = cache_->find_feature(steered.config.name);
  const bool is_on = window > Duration::zero();
  auto done = cache_->set_write_mode(known->id(), is_on ? WriteMode::kBehind : WriteMode::kThrough,
                                     is_on ? window : steered.config.batching().window);
  if (done) steered.gathers_for = window;
  return done;
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
  policy.synchronous = pulled.synchronous || it->second.asked.waits;
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
  if (is_rewritten || is_forbidden) steered.gathers_for = Duration::zero();
  steered.asked = {};  // done again with the next evaluation
  if (steered.pulled.batch_window == Duration::zero() || (!is_rewritten && !is_forbidden)) return;
  steered.pulled.batch_window = Duration::zero();
  tell_region(steered);
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
  auto done = pull(feature, [&](Pulled& pulled) { pulled.synchronous = is_on; });
  if (done) tell_region(features_.find(feature)->second);
  return done;
}

Result<void> Steering::set_batch_window(std::string_view feature, Duration window) {
  const auto it = features_.find(feature);
  if (it == features_.end()) return fail(ErrorCode::kNoFeature, "no such feature");
  Steered& steered = it->second;
  const Duration before = std::exchange(steered.pulled.batch_window, window);
  auto done = switch_log(steered);
  if (!done) steered.pulled.batch_window = before;
  tell_region(steered);
  return done;
}

Result<void> Steering::set_origin_reads(std::string_view feature, double fraction) {
  return pull(feature, [&](Pulled& pulled) { pulled.origin_fraction = fraction; });
}

}  // namespace candor::app
