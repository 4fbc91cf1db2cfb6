// From a configuration and what is known of the workload to a plan for each feature.
#include <fmt/format.h>

#include <algorithm>

#include "app/plan_report.h"
#include "app/serving.h"
#include "base/units.h"

namespace candor::app {
namespace {

// A share of the origin's connections that readers may keep busy with what a plan adds; the rest is for what
// the application does besides.
constexpr double kOriginShare = 0.5;

class FeaturePlanner {
 public:
  FeaturePlanner(const Config& config, const FeatureConfig& feature, const PlanSources& sources)
      : feature_(feature), origin_(config.find_origin(feature.origin)), limits_(sources.limits) {
    const auto it = sources.known.find(feature.name);
    if (it != sources.known.end()) known_ = &it->second;
    has_load_cap_ = sources.has_load_cap;
    const bool shares_stream = config.stream && config.stream->url != "memory:";
    is_alone_ = !shares_stream && (config.l2.url == "memory:" || config.l2.url == "none");
  }

  PlannedFeature run() {
    out_.name = feature_.name;
    out_.policy = feature_policy(feature_);
    out_.is_redis = is_redis();
    if (feature_.budget) {
      out_.has_budget = true;
      out_.impact = feature_.budget->impact;
      out_.owner = feature_.budget->owner;
      out_.model.budget = budget_of(*feature_.budget);
    }
    if (known_ != nullptr) {
      out_.model.workload = known_->workload;
      out_.source = known_->source;
      out_.notes = known_->notes;
      out_.measured = known_->measured;
    }
    fill_facts();
    fill_delivery();
    if (!has_load_cap_) cap_by_origin();
    if (feature_.serve_stale > Duration::zero())
      out_.notes.push_back(
          fmt::format("while the origin fails, values are served up to {} past their ttl and "
                      "charged to the budget; that is not part of the prediction",
                      format_duration(feature_.serve_stale)));
    out_.plan = make_plan(out_.model, limits_);
    return std::move(out_);
  }

 private:
  [[nodiscard]] bool is_redis() const {
    return origin_ != nullptr &&
           (origin_->url.starts_with("redis://") || origin_->url.starts_with("rediss://"));
  }

  void fill_facts() {
    FeatureFacts& facts = out_.model.facts;
    facts.serving = serving_of(out_.policy.consistency);
    facts.can_watch = true;  // each kind of origin there is has a feed
    facts.can_store = is_redis() || !feature_.store.empty();
    facts.is_batchable = origin_ != nullptr && origin_->url.starts_with("postgres");
    if (known_ != nullptr && known_->load_seconds)
      facts.load_seconds = *known_->load_seconds;
    else
      out_.assumptions.push_back(
          fmt::format("a load takes {} of the origin", format_seconds(facts.load_seconds)));
    if (known_ != nullptr && known_->through_share)
      facts.through_share = *known_->through_share;
    else if (facts.can_store)
      out_.assumptions.emplace_back(
          "no change goes through Candor (through_share), so that levers on writes bring nothing");
    if (known_ == nullptr) return;
    facts.push_delay_seconds = known_->delay_seconds.value_or(facts.push_delay_seconds);
    if (known_->delay_p99_seconds)
      facts.push_delay_p99_seconds = *known_->delay_p99_seconds;
    else if (known_->delay_seconds)
      facts.push_delay_p99_seconds = 0.0;
    facts.push_loss = known_->loss.value_or(facts.push_loss);
  }

  void fill_delivery() {
    const FeatureFacts& facts = out_.model.facts;
    Delivery& delivery = out_.model.delivery;
    delivery.ttl_seconds = to_seconds(feature_.ttl);
    delivery.ttl_jitter = feature_.ttl_jitter;
    delivery.is_pushed = feature_.watch.has_value();
    if (delivery.is_pushed) {
      delivery.delay_seconds = facts.push_delay_seconds;
      delivery.delay_p99_seconds = facts.push_delay_p99_seconds;
      delivery.loss = facts.push_loss;
    }
    delivery.own_share = own_share();
    if (known_ != nullptr && known_->delay_seconds && known_->loss) return;
    out_.assumptions.push_back(
        fmt::format("{} after {} (p99 {}), and {} of them never",
                    delivery.is_pushed ? "a change is heard of" : "if watched, a change would be heard of",
                    format_seconds(facts.push_delay_seconds), format_seconds(facts.push_delay_p99_seconds),
                    format_fraction(facts.push_loss)));
  }

  // A node drops what it writes from its own tiers before it acknowledges the write; if no other node serves
  // the feature, that covers every change through Candor.
  double own_share() {
    if (known_ != nullptr && known_->own_share) return *known_->own_share;
    const double through = out_.model.facts.through_share;
    if (!is_alone_ || through <= 0.0) return 0.0;
    out_.assumptions.emplace_back(
        "no other node serves it (neither stream nor l2 is shared): a change through "
        "Candor drops the copy at once");
    return through;
  }

  void cap_by_origin() {
    if (origin_ == nullptr) return;
    limits_.origin_loads_added_max =
        kOriginShare * static_cast<double>(origin_->max_concurrency) / out_.model.facts.load_seconds;
    out_.assumptions.push_back(
        fmt::format("the origin can bear {} more loads a second: half of max_concurrency = {}",
                    format_rate(limits_.origin_loads_added_max), origin_->max_concurrency));
  }

  const FeatureConfig& feature_;
  const OriginConfig* origin_;
  const KnownWorkload* known_ = nullptr;
  PlanLimits limits_;
  bool has_load_cap_ = false;
  bool is_alone_ = false;
  PlannedFeature out_;
};

}  // namespace

bool PlanReport::has_finding() const {
  return std::ranges::any_of(features, [](const PlannedFeature& one) {
    return one.has_budget && one.plan.verdict != PlanVerdict::kKept;
  });
}

PlanReport plan_features(const Config& config, const PlanSources& sources) {
  PlanReport report{.file = config.file, .features = {}};
  for (const FeatureConfig& feature : config.features) {
    if (feature.is_plain()) continue;  // it has no authority to be staler than
    if (!sources.only.empty() && std::ranges::find(sources.only, feature.name) == sources.only.end())
      continue;
    report.features.push_back(FeaturePlanner(config, feature, sources).run());
  }
  return report;
}

}  // namespace candor::app
