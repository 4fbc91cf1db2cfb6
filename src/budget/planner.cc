#include "budget/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

namespace candor {
namespace {

// Halvings of an interval until the setting is known to better than anybody would write it down.
constexpr int kHalvings = 20;
constexpr double kDaySeconds = 86'400.0;

// The largest value in [low, high] that holds, on a scale of ratios; nothing if not even `low` does.
// Requires: what holds for a value holds for every smaller one.
std::optional<double> largest(double low, double high, const std::function<bool(double)>& holds) {
  if (!holds(low)) return std::nullopt;
  if (holds(high)) return high;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = std::sqrt(low * high);
    (holds(middle) ? low : high) = middle;
  }
  return low;
}

// The smallest value in [0, high] that holds. Requires: what holds for a value holds for every larger one.
std::optional<double> smallest(double high, const std::function<bool(double)>& holds) {
  double low = 0.0;
  if (holds(low)) return low;
  if (!holds(high)) return std::nullopt;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2.0;
    (holds(middle) ? high : low) = middle;
  }
  return high;
}

// To three digits, towards the side that keeps what was found true.
double rounded(double value, bool up) {
  if (value <= 0.0) return value;
  const double scale = std::pow(10.0, std::floor(std::log10(value)) - 2.0);
  return up ? std::ceil(value / scale - 1e-9) * scale : std::floor(value / scale + 1e-9) * scale;
}

class Planner {
 public:
  Planner(const FeatureModel& model, const PlanLimits& limits, const CostWeights& weights)
      : model_(model), limits_(limits), weights_(weights), allowed_(model.budget.stale_fraction) {
    plan_.configured = outcome_of(model_, {});
    ttl_ = model_.delivery.ttl_seconds;
  }

  Plan run() {
    plan_.planned = plan_.configured;
    if (!plan_.configured.exposure.is_known) {
      judge_unseen();
      return std::move(plan_);
    }
    plan_.margin = plan_.planned_margin = margin_of(allowed_, plan_.configured.exposure.over_limit);
    find_longest_ttl();
    weigh_each_lever();
    if (plan_.configured.exposure.over_limit <= allowed_) {
      plan_.verdict = PlanVerdict::kKept;
      plan_.reason = keeps(plan_.configured)
                         ? "kept as configured"
                         : "kept as configured, but closer to the limit than the model is exact";
      return std::move(plan_);
    }
    search();
    if (best_)
      settle_on_best();
    else
      settle_on_relaxing();
    return std::move(plan_);
  }

 private:
  struct Candidate {
    LeverPositions positions;
    Outcome outcome;
    double cost = 0.0;
  };

  [[nodiscard]] bool keeps(const Outcome& outcome) const {
    return outcome.exposure.over_limit <= allowed_ * (1.0 - limits_.headroom);
  }
  [[nodiscard]] bool is_affordable(const Outcome& outcome) const {
    return outcome.origin_loads_per_second - plan_.configured.origin_loads_per_second <=
               limits_.origin_loads_added_max &&
           outcome.write_wait_seconds <= limits_.write_wait_seconds_max;
  }
  [[nodiscard]] bool keeps(const LeverPositions& positions) const {
    return keeps(outcome_of(model_, positions));
  }
  [[nodiscard]] bool is_possible(Lever lever) const { return why_not(model_, {}, lever).empty(); }
  [[nodiscard]] double cost(const LeverPositions& positions, const Outcome& outcome) const {
    return cost_of(model_, {}, plan_.configured, positions, outcome, weights_);
  }
  [[nodiscard]] double ttl_min() const { return std::min(limits_.ttl_seconds_min, ttl_); }

  // Some budgets are kept however the feature is read and changed.
  void judge_unseen() {
    const double limit = to_seconds(model_.budget.max_staleness);
    const Serving serving = model_.facts.serving;
    const auto kept = [&](std::string why) {
      plan_.verdict = PlanVerdict::kKept;
      plan_.reason = std::move(why);
      plan_.margin = plan_.planned_margin = margin_of(allowed_, 0.0);
    };
    if (serving == Serving::kOrigin) return kept("kept whatever the workload: each read asks the origin");
    if (serving == Serving::kConfirmed)
      return kept("kept whatever the workload: the origin confirms each value");
    if (serving == Serving::kProven)
      return kept("kept whatever the workload: without a proof a read goes to the origin");
    if (ttl_ <= limit) return kept("kept whatever the workload: no entry lives longer than the limit");
    plan_.reason = "how the feature is read and changed is not known, so nothing can be predicted";
  }

  void find_longest_ttl() {
    if (!is_possible(Lever::kTtl) || ttl_ <= 0.0) return;
    const auto longest = largest(ttl_min(), std::max(ttl_, kDaySeconds),
                                 [&](double ttl) { return keeps({.ttl_seconds = ttl}); });
    if (longest) plan_.ttl_seconds_longest = rounded(*longest, false);
  }

  void weigh(const LeverSetting& setting) {
    plan_.levers.push_back(evaluate(model_, {}, setting, weights_));
    const LeverEffect& effect = plan_.levers.back();
    plan_.suffices.push_back(effect.is_possible() && keeps(effect.after) && is_affordable(effect.after));
  }

  // Each at the mildest setting that suffices, else at its strongest.
  void weigh_each_lever() {
    const bool is_kept = keeps(plan_.configured);
    const double longest = plan_.ttl_seconds_longest;
    weigh({.lever = Lever::kTtl, .value = longest > 0.0 ? longest : ttl_min()});
    weigh({.lever = Lever::kWatch, .value = 1.0});
    weigh({.lever = Lever::kRefreshOnChange, .value = 1.0});
    weigh({.lever = Lever::kSynchronous, .value = 1.0});
    const auto window = smallest(limits_.batch_seconds_max,
                                 [&](double seconds) { return keeps({.batch_seconds = seconds}); });
    weigh({.lever = Lever::kBatchWrites,
           .value = window && !is_kept ? rounded(*window, true) : std::min(1.0, limits_.batch_seconds_max)});
    const auto fraction = smallest(1.0, [&](double share) { return keeps({.origin_fraction = share}); });
    weigh({.lever = Lever::kOriginReads,
           .value = fraction && !is_kept ? std::min(1.0, rounded(*fraction, true)) : 1.0});
    const auto [swept, period] = with_sweep({});
    weigh({.lever = Lever::kRelax, .value = relaxed(swept), .second = period});
    plan_.suffices.back() = true;  // by the owner's word
  }

  // What the owner would have to allow for this outcome to have its headroom.
  [[nodiscard]] double relaxed(const Outcome& outcome) const {
    return std::clamp(rounded(outcome.exposure.over_limit / (1.0 - limits_.headroom), true), allowed_, 1.0);
  }

  // A sweep finds what pushing lost; where a ttl is as short as the sweep's round it brings nothing, and the
  // period is 0.
  [[nodiscard]] std::pair<Outcome, double> with_sweep(LeverPositions positions) const {
    constexpr double kWorthwhile = 0.9;
    const Outcome without = outcome_of(model_, positions);
    positions.sweep_seconds = limits_.sweep_seconds_min;
    const Outcome with = outcome_of(model_, positions);
    const bool helps = with.exposure.over_limit <= kWorthwhile * without.exposure.over_limit &&
                       without.exposure.over_limit > 0.0;
    return helps && is_affordable(with) ? std::pair{with, positions.sweep_seconds} : std::pair{without, 0.0};
  }

  void consider(const LeverPositions& positions) {
    const Outcome outcome = outcome_of(model_, positions);
    if (!is_affordable(outcome)) return;
    if (outcome.exposure.over_limit < least_.exposure.over_limit || !has_least_) {
      has_least_ = true;
      least_ = outcome;
      least_positions_ = positions;
    }
    if (!keeps(outcome)) return;
    const double price = cost(positions, outcome);
    if (!best_ || price < best_->cost) best_ = Candidate{positions, outcome, price};
  }

  // With some levers set: the longest ttl that suffices, then shorter ttls, then reads to the origin for
  // what is left.
  void consider_with_ttl(LeverPositions positions) {
    consider(positions);
    if (keeps(positions)) return;  // nothing stronger is cheaper
    if (is_possible(Lever::kTtl)) {
      const auto longest = largest(ttl_min(), ttl_, [&](double ttl) {
        LeverPositions shorter = positions;
        shorter.ttl_seconds = ttl;
        return keeps(shorter);
      });
      LeverPositions shorter = positions;
      shorter.ttl_seconds = rounded(longest.value_or(ttl_min()), false);
      consider(shorter);
    }
    if (!is_possible(Lever::kOriginReads)) return;
    constexpr int kTtls = 4;  // a ttl and a fraction together: a coarse grid, both smooth
    for (int i = 0; i < kTtls; ++i) {
      LeverPositions mixed = positions;
      const double ttl = ttl_ * std::pow(ttl_min() / ttl_, static_cast<double>(i) / kTtls);
      if (i > 0) mixed.ttl_seconds = rounded(ttl, false);
      const auto fraction = smallest(1.0, [&](double share) {
        mixed.origin_fraction = share;
        return keeps(mixed);
      });
      mixed.origin_fraction = std::min(1.0, rounded(fraction.value_or(1.0), true));
      consider(mixed);
      if (!is_possible(Lever::kTtl)) break;
    }
  }

  void search() {
    const double limit = to_seconds(model_.budget.max_staleness);
    std::vector<double> windows{0.0};
    if (is_possible(Lever::kBatchWrites))
      for (double window : {0.5, 2.0, 5.0, 15.0, 60.0})
        if (window <= limits_.batch_seconds_max) windows.push_back(window);
    for (const bool watch : {false, true}) {
      if (watch && !is_possible(Lever::kWatch)) continue;
      for (const bool synchronous : {false, true}) {
        if (synchronous && !is_possible(Lever::kSynchronous)) continue;
        for (double window : windows)
          if (!synchronous || window <= 0.0)  // a write is gathered or waited for
            consider_with_ttl({.watch = watch, .synchronous = synchronous, .batch_seconds = window});
      }
      if (is_possible(Lever::kOriginReads) && limit > 0.0 && (watch || model_.delivery.is_pushed))
        consider({.watch = watch, .origin_above_seconds = limit});
    }
  }

  // The positions as settings, in the order of the enumeration.
  static std::vector<LeverSetting> settings_of(const LeverPositions& at) {
    std::vector<LeverSetting> settings;
    if (at.ttl_seconds > 0.0) settings.push_back({.lever = Lever::kTtl, .value = at.ttl_seconds});
    if (at.watch) settings.push_back({.lever = Lever::kWatch, .value = 1.0});
    if (at.refresh_on_change) settings.push_back({.lever = Lever::kRefreshOnChange, .value = 1.0});
    if (at.synchronous) settings.push_back({.lever = Lever::kSynchronous, .value = 1.0});
    if (at.batch_seconds > 0.0) settings.push_back({.lever = Lever::kBatchWrites, .value = at.batch_seconds});
    if (at.origin_fraction > 0.0 || at.origin_above_seconds > 0.0)
      settings.push_back(
          {.lever = Lever::kOriginReads, .value = at.origin_fraction, .second = at.origin_above_seconds});
    if (at.relaxed_fraction > 0.0)
      settings.push_back({.lever = Lever::kRelax, .value = at.relaxed_fraction, .second = at.sweep_seconds});
    return settings;
  }

  void settle(const Candidate& choice, double allowed) {
    plan_.positions = choice.positions;
    plan_.planned = choice.outcome;
    plan_.cost = choice.cost;
    plan_.cheapest = settings_of(choice.positions);
    plan_.planned_margin = margin_of(allowed, choice.outcome.exposure.over_limit);
  }

  void settle_on_best() {
    plan_.verdict = PlanVerdict::kNeedsLever;
    plan_.reason = fmt::format("{:.3g} % of reads would exceed the limit, {:.3g} % are allowed",
                               100.0 * plan_.configured.exposure.over_limit, 100.0 * allowed_);
    settle(*best_, allowed_);
  }

  void settle_on_relaxing() {
    plan_.verdict = PlanVerdict::kImpossible;
    if (!has_least_) {
      least_ = plan_.configured;
      least_positions_ = {};
    }
    plan_.reason = fmt::format(
        "no combination of levers keeps {:.3g} %: the least that can be reached within the limits is {:.3g} "
        "%{}",
        100.0 * allowed_, 100.0 * least_.exposure.over_limit, obstacles());
    LeverPositions positions = least_positions_;
    const auto [outcome, period] = with_sweep(positions);
    positions.sweep_seconds = period;
    positions.relaxed_fraction = relaxed(outcome);
    settle({positions, outcome, cost(positions, outcome)}, positions.relaxed_fraction);
  }

  // What stands in the way of the strong levers.
  [[nodiscard]] std::string obstacles() const {
    std::string text;
    const auto add = [&](std::string_view what) {
      text += fmt::format("{}{}", text.empty() ? " (" : "; ", what);
    };
    if (const std::string watch = why_not(model_, {}, Lever::kWatch);
        !watch.empty() && !model_.delivery.is_pushed)
      add("watch: " + watch);
    if (const std::string writes = why_not(model_, {}, Lever::kSynchronous); !writes.empty())
      add("levers on writes: " + writes);
    const Outcome all = outcome_of(model_, {.origin_fraction = 1.0});
    if (is_possible(Lever::kOriginReads) && !is_affordable(all))
      add(fmt::format("reading the origin would add {:.3g} loads/s, the cap is {:.3g}",
                      all.origin_loads_per_second - plan_.configured.origin_loads_per_second,
                      limits_.origin_loads_added_max));
    return text.empty() ? text : text + ")";
  }

  const FeatureModel& model_;
  const PlanLimits& limits_;
  const CostWeights& weights_;
  const double allowed_;
  double ttl_ = 0.0;
  Plan plan_;
  std::optional<Candidate> best_;
  bool has_least_ = false;  // the affordable outcome with the fewest reads over the limit
  Outcome least_;
  LeverPositions least_positions_;
};

}  // namespace

double margin_of(double allowed, double predicted) {
  if (predicted > 0.0) return allowed / predicted;
  return allowed > 0.0 ? std::numeric_limits<double>::infinity() : 1.0;
}

Plan make_plan(const FeatureModel& model, const PlanLimits& limits, const CostWeights& weights) {
  return Planner(model, limits, weights).run();
}

}  // namespace candor
