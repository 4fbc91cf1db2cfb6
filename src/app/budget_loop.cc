#include "app/budget_loop.h"

#include <algorithm>
#include <utility>

#include "budget/exposure.h"

namespace candor::app {

namespace {

std::vector<BudgetBook::Feature> book_features(const Config& config) {
  std::vector<BudgetBook::Feature> out;
  for (const FeatureConfig& feature : config.features) {
    BudgetBook::Feature& one = out.emplace_back();
    one.name = feature.name;
    if (feature.budget && !feature.is_plain()) one.budget = budget_of(*feature.budget);
  }
  return out;
}

Tally tally_of(const SpanTally::Sum& sum) { return Tally::of(SpanTally::measured(sum), sum.reads); }

// The share of changes that never arrives, from what only the origin knew of: stale reads are, to first
// order, proportional to it, and with no change arriving they would be those of the ttl alone.
double loss_of(const FeatureExposure& exposure) {
  if (exposure.lost_fraction <= 0.0) return 0.0;
  Delivery by_ttl = exposure.delivery;
  by_ttl.is_pushed = false;
  const Exposure all_lost = predict(exposure.workload, by_ttl, exposure.budget.max_staleness);
  if (!all_lost.is_known || all_lost.over_limit <= 0.0) return 0.0;
  return std::min(1.0, exposure.lost_fraction / all_lost.over_limit);
}

}  // namespace

BudgetLoop::BudgetLoop(const Config& config, std::size_t features_max, World world)
    : world_(std::move(world)),
      region_(config.node.region),
      has_budgets_(std::ranges::any_of(
          config.features, [](const FeatureConfig& f) { return f.budget.has_value() && !f.is_plain(); })),
      monitor_(Monitor::World{world_.home, world_.clock, world_.seed, features_max, world_.origin_suffers,
                              world_.tell_lost,
                              [this](std::size_t index, MonoTime now, const SpanTally::Sum& by_stream,
                                     const SpanTally::Sum& by_origin) {
                                if (by_stream.reads > 0.0)
                                  book_.add(places_[index], JudgedBy::kStream, now, tally_of(by_stream));
                                if (by_origin.reads > 0.0)
                                  book_.add(places_[index], JudgedBy::kOrigin, now, tally_of(by_origin));
                              }}),
      book_(book_features(config)) {}

BudgetLoop::~BudgetLoop() = default;

void BudgetLoop::add(CacheCore* cache, FeatureId id, const FeatureConfig& config) {
  MonitoredFeature facts;
  facts.id = id;
  facts.name = config.name;
  facts.region = region_;
  facts.origin = config.origin;
  facts.level = consistency_name(cache->feature(id).policy().consistency);
  facts.owner = config.budget->owner;
  facts.impact = config.budget->impact;
  facts.may_steer = config.budget->control == "auto";
  facts.is_watched = config.watch.has_value();
  facts.budget = budget_of(*config.budget);
  monitor_.watch(cache, std::move(facts));
  places_.push_back(id.value);
}

void BudgetLoop::start() {
  if (!has_budgets_) return;
  monitor_.start();
  evaluate();
}

void BudgetLoop::stop() {
  monitor_.stop();
  world_.home->cancel(timer_);
}

ExposureReport BudgetLoop::make_report() {
  ExposureReport report;
  report.at = world_.clock->now();
  report.wall = world_.clock->wall();
  report.features = monitor_.exposures();
  for (std::size_t i = 0; i < report.features.size(); ++i) {
    FeatureExposure& one = report.features[i];
    book_.fill(places_[i], one, report.at);
    one.delivery.delay_p99_seconds = to_seconds(one.lag_p99);
    one.delivery.loss = loss_of(one);
    const Exposure predicted = predict(one.workload, one.delivery, one.budget.max_staleness);
    one.predicted.is_known = predicted.is_known;
    one.predicted.bound = predicted.bound;
    one.predicted.stale = predicted.stale;
    one.predicted.over_limit = predicted.over_limit;
  }
  return report;
}

void BudgetLoop::evaluate() {
  auto report = std::make_shared<const ExposureReport>(make_report());
  {
    const MutexLock lock(mutex_);
    latest_ = report;
  }
  if (world_.evaluated) world_.evaluated(*report);
  timer_ = world_.home->schedule(world_.home->now() + kEvaluatePeriod, [this] { evaluate(); });
}

std::shared_ptr<const ExposureReport> BudgetLoop::latest() const {
  const MutexLock lock(mutex_);
  return latest_;
}

}  // namespace candor::app
