#include "controller/weigh.h"

#include <algorithm>
#include <cmath>

namespace candor {
namespace {

// Halvings of a lever's range. Its settings are rounded to two digits, and 2^-10 of a range is finer.
constexpr int kHalvings = 10;
// A measurement is explained by at most this many times as many changes as are estimated, or as few.
constexpr double kFactorMost = 64.0;
// Of a window, what a key's heard changes may fill: one a window would stand for any number of writes.
constexpr double kMergedMost = 0.9;
// A lever that takes less than this of what is over the limit is not worth an action, unless it suffices.
constexpr double kHelpsLeast = 0.2;
// A milder setting is worth an action when it is milder by this factor.
constexpr double kMilderLeast = 2.0;
// Of the target: what a milder setting may predict. Whoever goes only part of the way stays further from
// where it would be pulled again.
constexpr double kMilderTarget = 0.75;

// The largest share in [0, 1] that holds; nothing if not even 0 does. Requires: what holds for a share holds
// for every smaller one.
template <class Holds>
std::optional<double> largest_share(const Holds& holds) {
  if (!holds(0.0)) return std::nullopt;
  if (holds(1.0)) return 1.0;
  double low = 0.0, high = 1.0;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = (low + high) / 2.0;
    (holds(middle) ? low : high) = middle;
  }
  return low;
}

double rounded(double value, bool up) {
  if (value <= 0.0) return value;
  const double scale = std::pow(10.0, std::floor(std::log10(value)) - 1.0);
  return up ? std::ceil(value / scale - 1e-9) * scale : std::floor(value / scale + 1e-9) * scale;
}

bool has_range(Lever lever) {
  return lever == Lever::kTtl || lever == Lever::kBatchWrites || lever == Lever::kOriginReads;
}

// Shorter is stronger for a ttl alone.
LeverSetting rounded(LeverSetting setting, bool to_stronger) {
  setting.value = rounded(setting.value, setting.lever == Lever::kTtl ? !to_stronger : to_stronger);
  if (setting.lever == Lever::kOriginReads) setting.value = std::min(setting.value, 1.0);
  return setting;
}

}  // namespace

FeatureModel model_of(const FeatureExposure& exposure, const SteeredFeature& feature) {
  FeatureModel model;
  model.workload = exposure.workload;
  model.delivery = exposure.delivery;
  model.delivery.ttl_seconds = feature.ttl_seconds;  // the report has the one that a lever may have shortened
  model.delivery.ttl_jitter = feature.ttl_jitter;
  model.delivery.delay_p99_seconds = to_seconds(exposure.lag_p99);
  model.budget = exposure.budget;
  model.facts = feature.facts;
  if (exposure.load_seconds_mean > 0.0) model.facts.load_seconds = exposure.load_seconds_mean;
  return model;
}

FeatureModel with_writes_apart(FeatureModel model, double window_seconds) {
  const double others = model.facts.through_share - std::clamp(model.delivery.own_share, 0.0, 1.0);
  if (window_seconds <= 0.0 || others <= 0.0) return model;
  double before = 0.0, after = 0.0;
  for (KeyClass& one : model.workload.classes) {
    const double merged = one.updates_per_second * others;
    const double hidden = merged / (1.0 - std::min(merged * window_seconds, kMergedMost)) - merged;
    before += one.read_share * one.updates_per_second;
    one.updates_per_second += hidden;
    after += one.read_share * one.updates_per_second;
  }
  if (before > 0.0) model.workload.updates_per_second *= after / before;
  return model;
}

FeatureModel with_changes_scaled(FeatureModel model, double factor) {
  model.workload.updates_per_second *= factor;
  for (KeyClass& one : model.workload.classes) one.updates_per_second *= factor;
  return model;
}

double changes_factor(const FeatureModel& model, const LeverPositions& positions, double at_least,
                      double at_most) {
  const auto predicted = [&](double factor) {
    return outcome_of(with_changes_scaled(model, factor), positions).exposure.over_limit;
  };
  const double now = predicted(1.0);
  if (now >= at_least && now <= at_most) return 1.0;
  if (now <= 0.0) return 1.0;  // whatever the rate, these positions leave nothing over the limit
  const bool is_up = now < at_least;
  const double most = std::log(is_up ? kFactorMost : 1.0 / kFactorMost);
  // Saturated: nothing explains it fully, but the most changes come near.
  if (is_up && predicted(kFactorMost) < at_least)
    return predicted(kFactorMost) >= at_least / 2.0 ? kFactorMost : 1.0;
  const auto share = largest_share([&](double part) {
    const double value = predicted(std::exp(part * most));
    return is_up ? value < at_least : value > at_most;
  });
  return std::exp(share.value_or(0.0) * most);
}

bool Weighing::is_allowed(const LeverPositions& positions) const {
  const Outcome outcome = outcome_of(bounds_.estimated != nullptr ? *bounds_.estimated : model_, positions);
  return outcome.origin_loads_per_second <= bounds_.loads_most &&
         outcome.write_wait_seconds <= limits_.write_wait_seconds_max;
}

Outcome Weighing::outcome_with(const LeverPositions& at, const LeverSetting& setting) const {
  return outcome_of(model_, with_setting(at, setting));
}

// From where it stands (0) to the strongest there is (1).
LeverSetting Weighing::strength(Lever lever, double share, const LeverPositions& at) const {
  LeverSetting setting = setting_at(at, lever);
  switch (lever) {
    case Lever::kTtl: {
      const double from = setting.value > 0.0 ? setting.value : feature_.ttl_seconds;
      const double least = std::min(limits_.ttl_seconds_min, from);
      setting.value = from * std::pow(least / from, share);
      break;
    }
    case Lever::kBatchWrites:
      setting.value += (limits_.batch_seconds_max - setting.value) * share;
      break;
    case Lever::kOriginReads:
      setting.value += std::max(0.0, limits_.origin_fraction_max - setting.value) * share;
      break;
    default:
      if (share > 0.0) setting.value = 1.0;
  }
  return setting;
}

std::optional<LeverSetting> Weighing::strongest_allowed(const LeverPositions& at, Lever lever) const {
  const auto allowed = [&](double share) { return is_allowed(with_setting(at, strength(lever, share, at))); };
  if (allowed(1.0)) return strength(lever, 1.0, at);
  if (!has_range(lever)) return std::nullopt;
  const auto share = largest_share(allowed);
  if (!share) return std::nullopt;
  return rounded(strength(lever, *share, at), false);
}

std::optional<Pull> Weighing::pull(const LeverPositions& at, const LeverSetting& to) const {
  Pull pull{.from = setting_at(at, to.lever), .to = to};
  const double from =
      pull.from.value > 0.0 || to.lever != Lever::kTtl ? pull.from.value : feature_.ttl_seconds;
  constexpr double kSame = 0.05;  // less than this is the same setting
  if (std::abs(to.value - from) <= kSame * std::max(to.value, from)) return std::nullopt;
  pull.before = outcome_of(model_, at);
  pull.after = outcome_with(at, to);
  pull.cost = cost_of(model_, at, pull.before, with_setting(at, to), pull.after, {});
  pull.suffices = keeps(pull.after);
  const bool helps = pull.after.exposure.over_limit <= (1.0 - kHelpsLeast) * pull.before.exposure.over_limit;
  if (!is_allowed(with_setting(at, to)) || (!pull.suffices && !helps)) return std::nullopt;
  return pull;
}

std::optional<Pull> Weighing::weigh(const LeverPositions& at, Lever lever) const {
  if (lever == Lever::kWatch || lever == Lever::kRelax) return std::nullopt;  // for people
  if (!feature_.not_at_hand[static_cast<std::size_t>(lever)].empty()) return std::nullopt;
  if (!why_not(model_, at, lever).empty()) return std::nullopt;
  if (!has_range(lever) && setting_at(at, lever).value > 0.0) return std::nullopt;
  const auto strongest = strongest_allowed(at, lever);
  if (!strongest) return std::nullopt;
  if (!has_range(lever) || !keeps(outcome_with(at, *strongest))) return pull(at, *strongest);
  const auto share =
      largest_share([&](double part) { return !keeps(outcome_with(at, strength(lever, part, at))); });
  // The least that holds is one step of the search beyond the most that does not.
  constexpr double kStep = 1.0 / (1 << kHalvings);
  const LeverSetting mildest = rounded(strength(lever, std::min(1.0, share.value_or(0.0) + kStep), at), true);
  if (const auto enough = pull(at, mildest)) return enough;
  return pull(at, *strongest);  // rounding went beyond what is allowed
}

bool Weighing::is_better(const Pull& one, const Pull& other) {
  if (one.suffices != other.suffices) return one.suffices;
  if (one.suffices) return one.cost < other.cost;
  return one.after.exposure.over_limit < other.after.exposure.over_limit;
}

std::optional<LeverSetting> Weighing::milder(const LeverPositions& at, Lever lever) const {
  const LeverSetting untouched{.lever = lever};
  if (keeps(outcome_with(at, untouched))) return untouched;
  if (!has_range(lever)) return std::nullopt;
  const LeverSetting now = setting_at(at, lever);
  const auto at_share = [&](double share) {
    LeverSetting setting = now;
    if (lever == Lever::kTtl)
      setting.value = now.value * std::pow(feature_.ttl_seconds / now.value, share);
    else
      setting.value = now.value * (1.0 - share);
    return setting;
  };
  const auto share = largest_share([&](double part) {
    return outcome_with(at, at_share(part)).exposure.over_limit <= kMilderTarget * bounds_.target;
  });
  if (!share) return std::nullopt;
  const LeverSetting found = rounded(at_share(*share), true);
  const double ratio =
      lever == Lever::kTtl ? found.value / now.value : now.value / std::max(found.value, 1e-9);
  if (ratio < kMilderLeast) return std::nullopt;
  return found;
}

LeverSetting Weighing::within_loads(const LeverPositions& at, Lever lever) const {
  const LeverSetting now = setting_at(at, lever);
  LeverSetting setting{.lever = lever};
  if (!has_range(lever)) return setting;
  // From untouched (0) to where it stands (1): loads grow.
  const auto at_share = [&](double share) {
    LeverSetting one = now;
    if (lever == Lever::kTtl)
      one.value = feature_.ttl_seconds * std::pow(now.value / feature_.ttl_seconds, share);
    else
      one.value = now.value * share;
    return one;
  };
  const auto share = largest_share([&](double part) {
    return outcome_with(at, at_share(part)).origin_loads_per_second <= bounds_.loads_most;
  });
  if (!share) return setting;
  constexpr double kLeastLeft = 0.05;  // less of the range is not worth keeping
  if (*share < kLeastLeft) return setting;
  return rounded(at_share(*share), false);
}

}  // namespace candor
