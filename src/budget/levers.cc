#include "budget/levers.h"

#include <algorithm>
#include <utility>

namespace candor {
namespace {

bool is_pushed(const FeatureModel& model, const LeverPositions& positions) {
  return model.delivery.is_pushed || (positions.watch && model.facts.can_watch);
}

// Levers may make more of a feature's changes go through Candor's hands than this node's own.
double through_share(const FeatureModel& model) {
  return std::clamp(std::max(model.facts.through_share, model.delivery.own_share), 0.0, 1.0);
}

// Write-behind: the first write of a key opens a window, everything within it becomes one change. Windows
// are renewals, one per (1 / w + B).
double merged_rate(double writes_per_second, double window_seconds) {
  return writes_per_second / (1.0 + writes_per_second * window_seconds);
}

// A key's changes, in kinds that differ in how they arrive.
struct Changes {
  double elsewhere = 0.0;  // past Candor
  double own = 0.0;        // through this node
  double others = 0.0;     // through other nodes
  [[nodiscard]] double all() const { return elsewhere + own + others; }
};

Changes split(const FeatureModel& model, const LeverPositions& positions, double updates_per_second) {
  const double through = through_share(model);
  const double own = std::clamp(model.delivery.own_share, 0.0, 1.0);
  // A write of this node drops its copy when it is made, however late it reaches the origin.
  return {.elsewhere = updates_per_second * (1.0 - through),
          .own = updates_per_second * own,
          .others = merged_rate(updates_per_second * (through - own), positions.batch_seconds)};
}

// Reads of what may be older than this go to the origin; 0: no such promise. Only where changes are heard of,
// else nothing is proven.
double proven_within(const FeatureModel& model, const LeverPositions& positions) {
  if (!is_pushed(model, positions)) return 0.0;
  const double above = positions.origin_above_seconds;
  if (model.facts.serving != Serving::kProven) return above;
  const double limit = to_seconds(model.budget.max_staleness);
  return above > 0.0 ? std::min(above, limit) : limit;
}

Arrivals arrivals_for(const FeatureModel& model, const LeverPositions& positions, const Changes& changes) {
  Arrivals arrivals;
  const double all = changes.all();
  if (all <= 0.0) return arrivals;
  const FeatureFacts& facts = model.facts;
  const Delivery& delivery = model.delivery;
  double rest = changes.elsewhere + changes.others;
  arrivals.add(changes.own / all, 0.0);
  if (positions.synchronous) {
    arrivals.add(changes.others / all, facts.region_seconds);
    rest = changes.elsewhere;
  }
  double lost = rest / all;
  if (is_pushed(model, positions)) {
    const double loss = std::clamp(delivery.is_pushed ? delivery.loss : facts.push_loss, 0.0, 1.0);
    const double arriving = rest / all * (1.0 - loss);
    if (delivery.is_pushed)
      arrivals.add_spread(arriving, delivery.delay_seconds, delivery.delay_p99_seconds);
    else
      arrivals.add_spread(arriving, facts.push_delay_seconds, facts.push_delay_p99_seconds);
    lost *= loss;
  }
  if (positions.sweep_seconds > 0.0) {
    arrivals.add_uniform(lost, positions.sweep_seconds);
    lost = 0.0;
  }
  arrivals.lost = lost;
  arrivals.settle();
  return arrivals;
}

// A proof covers what is late: from `within` on such a read goes to the origin. It does not cover what the
// feed never tells of.
Arrivals proven(Arrivals arrivals, double within) {
  if (within > 0.0)
    for (Arrival& one : arrivals.points) one.delay_seconds = std::min(one.delay_seconds, within);
  return arrivals;
}

// A class after another: read-weighted means, and sums of what is counted per second.
void accumulate(Exposure& sum, const Exposure& one, double share) {
  sum.bound += share * one.bound;
  sum.first_order += share * one.first_order;
  sum.hot += share * one.hot;
  sum.stale += share * one.stale;
  sum.over_limit += share * one.over_limit;
  sum.over_limit_bound += share * one.over_limit_bound;
  sum.miss_ratio += share * one.miss_ratio;
  sum.loads_per_second += one.loads_per_second;
  sum.refreshes_per_second += one.refreshes_per_second;
  sum.entries += one.entries;
}

// Reads that are answered from tiers, at rates below the feature's own where some go to the origin.
Exposure expose(const FeatureModel& model, const LeverPositions& positions, const Delivery& delivery) {
  const double kept = 1.0 - positions.origin_fraction;
  const double limit = to_seconds(model.budget.max_staleness);
  const OnArrival on_arrival = positions.refresh_on_change ? OnArrival::kReload : OnArrival::kDrop;
  const double within = proven_within(model, positions);
  Exposure sum;
  sum.is_known = !model.workload.classes.empty();
  // Changes that merge do so by their key's own rate, so that each class has its own mix of arrivals.
  for (const KeyClass& one : model.workload.classes) {
    const Changes changes = split(model, positions, one.updates_per_second);
    const Workload alone{.reads_per_second = model.workload.reads_per_second * one.read_share * kept,
                         .updates_per_second = changes.all(),
                         .classes = {{.read_share = 1.0,
                                      .reads_per_second = one.reads_per_second * kept,
                                      .updates_per_second = changes.all()}}};
    accumulate(
        sum,
        predict(alone, delivery, proven(arrivals_for(model, positions, changes), within), limit, on_arrival),
        one.read_share);
  }
  return sum;
}

// Of the changes that do not get lost, the share that takes longer: about how often a proof is older.
double share_later_than(const Arrivals& arrivals, double seconds) {
  double later = 0.0;
  for (const Arrival& one : arrivals.points)
    if (one.delay_seconds > seconds) later += one.share;
  return later;
}

// Changes and writes of the whole feature.
void count_changes(const FeatureModel& model, const LeverPositions& positions, Outcome& outcome) {
  // Classes know keys by how they are read; changes of keys that nobody reads are in the total alone.
  double before = 0.0, merged = 0.0;
  const double through = through_share(model);
  for (const KeyClass& one : model.workload.classes) {
    if (one.reads_per_second <= 0.0) continue;
    const double keys = one.read_share * model.workload.reads_per_second / one.reads_per_second;
    const double writes = one.updates_per_second * through;
    before += keys * writes;
    merged += keys * merged_rate(writes, positions.batch_seconds);
  }
  const double total = std::max(model.workload.updates_per_second, through > 0.0 ? before / through : 0.0);
  const double ratio = before > 0.0 ? merged / before : 1.0;
  outcome.origin_writes_per_second = total * through * ratio;
  outcome.updates_per_second = total * (1.0 - through) + outcome.origin_writes_per_second;
  outcome.heard_per_second = is_pushed(model, positions) ? outcome.updates_per_second : 0.0;
}

void read_origin(Outcome& outcome, double reads_per_second) {
  outcome.exposure = Exposure{.is_known = outcome.exposure.is_known, .miss_ratio = 1.0};
  outcome.exposure.loads_per_second = reads_per_second;
}

// What the feature's level, or reads sent to the origin above a staleness, change about what tiers may serve.
void apply_serving(const FeatureModel& model, const LeverPositions& positions, Outcome& outcome) {
  const bool pushed = is_pushed(model, positions);
  const double reads = model.workload.reads_per_second;
  const Serving serving = model.facts.serving;
  const bool needs_proof = serving == Serving::kProven || serving == Serving::kConfirmed;
  if (serving == Serving::kOrigin || (needs_proof && !pushed)) return read_origin(outcome, reads);
  const double hits = reads * (1.0 - positions.origin_fraction) * (1.0 - outcome.exposure.miss_ratio);
  if (serving == Serving::kConfirmed) {
    outcome.exposure.stale = outcome.exposure.over_limit = 0.0;
    outcome.exposure.bound = outcome.exposure.over_limit_bound = 0.0;
    outcome.exposure.hot = outcome.exposure.first_order = 0.0;
    outcome.origin_checks_per_second += hits;
    return;
  }
  const double within = proven_within(model, positions);
  if (within <= 0.0) return;
  const Arrivals arrivals = arrivals_for(model, positions, {.elsewhere = 1.0});
  outcome.origin_loads_per_second += hits * share_later_than(arrivals, within);
}

}  // namespace

LeverPositions with_setting(LeverPositions positions, const LeverSetting& setting) {
  const bool is_on = setting.value > 0.0;
  switch (setting.lever) {
    case Lever::kTtl:
      positions.ttl_seconds = setting.value;
      break;
    case Lever::kWatch:
      positions.watch = is_on;
      break;
    case Lever::kRefreshOnChange:
      positions.refresh_on_change = is_on;
      break;
    case Lever::kSynchronous:
      positions.synchronous = is_on;
      break;
    case Lever::kBatchWrites:
      positions.batch_seconds = setting.value;
      break;
    case Lever::kOriginReads:
      positions.origin_fraction = std::clamp(setting.value, 0.0, 1.0);
      positions.origin_above_seconds = setting.second;
      break;
    case Lever::kRelax:
      positions.relaxed_fraction = setting.value;
      positions.sweep_seconds = setting.second;
      break;
  }
  return positions;
}

Outcome outcome_of(const FeatureModel& model, const LeverPositions& positions) {
  Delivery delivery = model.delivery;
  if (positions.ttl_seconds > 0.0) delivery.ttl_seconds = positions.ttl_seconds;
  // Where nobody hears of changes, how old an entry can be is all that is known of its staleness.
  if (!is_pushed(model, positions) && positions.origin_above_seconds > 0.0)
    delivery.ttl_seconds = std::min(delivery.ttl_seconds, positions.origin_above_seconds);
  if (!delivery.is_pushed && is_pushed(model, positions)) {
    delivery.is_pushed = true;
    delivery.delay_seconds = model.facts.push_delay_seconds;
    delivery.loss = model.facts.push_loss;
  }
  Outcome outcome;
  outcome.exposure = expose(model, positions, delivery);
  apply_serving(model, positions, outcome);
  const double kept = model.facts.serving == Serving::kOrigin ? 1.0 : 1.0 - positions.origin_fraction;
  Exposure& exposure = outcome.exposure;
  for (double* fraction : {&exposure.bound, &exposure.first_order, &exposure.hot, &exposure.stale,
                           &exposure.over_limit, &exposure.over_limit_bound})
    *fraction = std::min(1.0, *fraction * kept);
  outcome.origin_loads_per_second += exposure.loads_per_second + exposure.refreshes_per_second +
                                     model.workload.reads_per_second * (1.0 - kept);
  if (positions.sweep_seconds > 0.0)
    outcome.origin_checks_per_second += exposure.entries / positions.sweep_seconds;
  count_changes(model, positions, outcome);
  if (positions.synchronous && through_share(model) > 0.0)
    outcome.write_wait_seconds = model.facts.region_seconds;
  if (through_share(model) > 0.0) outcome.visibility_delay_seconds = positions.batch_seconds;
  return outcome;
}

std::string why_not(const FeatureModel& model, const LeverPositions& positions, Lever lever) {
  const FeatureFacts& facts = model.facts;
  const bool reads_origin = facts.serving == Serving::kOrigin || facts.serving == Serving::kConfirmed;
  switch (lever) {
    case Lever::kTtl:
      return facts.serving == Serving::kOrigin ? "reads go past the cache" : "";
    case Lever::kWatch:
      if (model.delivery.is_pushed) return "changes are heard of already";
      return facts.can_watch ? "" : "its origin tells of no changes";
    case Lever::kRefreshOnChange:
      return is_pushed(model, positions) ? "" : "nobody hears of its changes: needs watch";
    case Lever::kSynchronous:
    case Lever::kBatchWrites:
      if (!facts.can_store) return "no write goes through Candor: it has no store statement";
      if (through_share(model) <= 0.0) return "no change is known to go through Candor";
      // A write that is gathered is acknowledged before there is a change to tell of.
      if (lever == Lever::kSynchronous && positions.batch_seconds > 0.0) return "writes are gathered";
      if (lever == Lever::kBatchWrites && positions.synchronous) return "writes wait for the region";
      if (lever == Lever::kSynchronous && model.delivery.own_share >= through_share(model))
        return "no other node is known to write it, and this one drops what it writes";
      return "";
    case Lever::kOriginReads:
      return reads_origin ? "every read asks the origin already" : "";
    case Lever::kRelax:
      return "";
  }
  return "";
}

double cost_of(const FeatureModel& model, const LeverPositions& from, const Outcome& before,
               const LeverPositions& to, const Outcome& after, const CostWeights& weights) {
  const FeatureFacts& facts = model.facts;
  const auto added = [&](double Outcome::* field) { return after.*field - before.*field; };
  // Nobody waits for refreshes, so that they can be gathered where loads can be sent together.
  const double refreshes = after.exposure.refreshes_per_second - before.exposure.refreshes_per_second;
  const double gathered = facts.is_batchable ? refreshes : 0.0;
  const double alone = added(&Outcome::origin_loads_per_second) - gathered;
  const double writers = std::max(before.updates_per_second, after.updates_per_second) * through_share(model);
  double cost = 0.0;
  cost += weights.origin_work * facts.load_seconds * (alone + added(&Outcome::origin_writes_per_second));
  cost += weights.batched_work * facts.load_seconds * (gathered + added(&Outcome::origin_checks_per_second));
  cost += weights.write_wait * writers * added(&Outcome::write_wait_seconds);
  cost += weights.visibility * writers * added(&Outcome::visibility_delay_seconds);
  cost += weights.watch_change * added(&Outcome::heard_per_second);
  if (is_pushed(model, to) != is_pushed(model, from))
    cost += is_pushed(model, to) ? weights.watch_standing : -weights.watch_standing;
  const bool batched = from.batch_seconds > 0.0;
  if (batched != (to.batch_seconds > 0.0))
    cost += batched ? -weights.write_behind_standing : weights.write_behind_standing;
  if (to.relaxed_fraction > 0.0 && from.relaxed_fraction <= 0.0) cost += weights.relaxing;
  return cost;
}

LeverEffect evaluate(const FeatureModel& model, const LeverPositions& positions, const LeverSetting& setting,
                     const CostWeights& weights) {
  LeverEffect effect{.lever = setting.lever, .setting = setting};
  effect.why_not = why_not(model, positions, setting.lever);
  effect.before = outcome_of(model, positions);
  if (!effect.is_possible()) {
    effect.after = effect.before;
    return effect;
  }
  const LeverPositions pulled = with_setting(positions, setting);
  effect.after = outcome_of(model, pulled);
  effect.cost = cost_of(model, positions, effect.before, pulled, effect.after, weights);
  return effect;
}

}  // namespace candor
