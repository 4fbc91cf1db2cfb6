// One feature under the model: what its levers would bring now, and which is the cheapest that suffices.
//
// The search is greedy, for it runs beside traffic: one lever at a time, each at the mildest setting that
// suffices. `candor plan` looks at combinations.
//
// Pure.
#pragma once

#include <optional>
#include <string>

#include "budget/levers.h"
#include "controller/decide.h"

namespace candor {

// The feature as its workload is, with levers untouched.
[[nodiscard]] FeatureModel model_of(const FeatureExposure& exposure, const SteeredFeature& feature);

// The model with writes as they are made, where what is heard of them was gathered in windows: else the lever
// would hide what it was pulled for, and be given back too early.
[[nodiscard]] FeatureModel with_writes_apart(FeatureModel model, double window_seconds);

// The model with all rates of changes multiplied.
[[nodiscard]] FeatureModel with_changes_scaled(FeatureModel model, double factor);
// The factor by which changes must be scaled for the model to predict `over_limit` at these positions; 1
// where the model explains it, or where no factor does.
[[nodiscard]] double changes_factor(const FeatureModel& model, const LeverPositions& positions,
                                    double at_least, double at_most);

struct Pull {
  LeverSetting from, to;
  Outcome before, after;
  double cost = 0.0;
  bool suffices = false;
};

class Weighing {
 public:
  struct Bounds {
    double target = 0.0;  // of reads over the limit
    // Loads a second of this feature: its own without levers, and what the cap leaves.
    double loads_most = 1e300;
    // Loads are counted with the changes as estimated, as they will be when the cap is looked after; null:
    // with the same model.
    const FeatureModel* estimated = nullptr;
  };
  Weighing(const FeatureModel& model, const SteeredFeature& feature, const ControlLimits& limits,
           const Bounds& bounds)
      : model_(model), feature_(feature), limits_(limits), bounds_(bounds) {}

  // The next lever to pull from here among those that `may_pull`; nothing: none helps within the limits.
  template <class MayPull>
  [[nodiscard]] std::optional<Pull> next(const LeverPositions& at, const MayPull& may_pull) const {
    std::optional<Pull> best;
    for (std::size_t i = 0; i < kLevers; ++i) {
      const Lever lever = static_cast<Lever>(i);
      if (!may_pull(lever)) continue;
      const auto one = weigh(at, lever);
      if (one && (!best || is_better(*one, *best))) best = one;
    }
    return best;
  }
  // The mildest setting of this lever that suffices, else the strongest that is allowed; nothing: it does not
  // help.
  [[nodiscard]] std::optional<Pull> weigh(const LeverPositions& at, Lever lever) const;
  // A milder setting under which `target` is still kept, if it is worth an action; value 0: as configured.
  [[nodiscard]] std::optional<LeverSetting> milder(const LeverPositions& at, Lever lever) const;
  // The strongest setting of this lever, from where it stands towards untouched, that keeps within
  // loads_most.
  [[nodiscard]] LeverSetting within_loads(const LeverPositions& at, Lever lever) const;

 private:
  [[nodiscard]] bool is_allowed(const LeverPositions& positions) const;
  [[nodiscard]] bool keeps(const Outcome& outcome) const {
    return outcome.exposure.over_limit <= bounds_.target;
  }
  [[nodiscard]] static bool is_better(const Pull& one, const Pull& other);
  [[nodiscard]] Outcome outcome_with(const LeverPositions& at, const LeverSetting& setting) const;
  [[nodiscard]] LeverSetting strength(Lever lever, double share, const LeverPositions& at) const;
  [[nodiscard]] std::optional<LeverSetting> strongest_allowed(const LeverPositions& at, Lever lever) const;
  [[nodiscard]] std::optional<Pull> pull(const LeverPositions& at, const LeverSetting& to) const;

  const FeatureModel& model_;
  const SteeredFeature& feature_;
  const ControlLimits& limits_;
  const Bounds bounds_;
};

}  // namespace candor
