// Whether a budget can be kept before anything is deployed: as configured, by which levers, and at what cost.
//
// The search is small and complete rather than clever: every combination of the levers that are on or off, a
// grid of ttls and windows, and for each the fewest reads that must go to the origin. What it proposes keeps
// the budget under the same model with `headroom` to spare, or it says that nothing does.
//
// Pure: no clock, no I/O.
#pragma once

#include <string>
#include <vector>

#include "budget/levers.h"

namespace candor {

struct PlanLimits {
  double origin_loads_added_max = 1e300;  // a second, above today's; what the origin can bear
  double ttl_seconds_min = 0.1;           // below it an entry hardly lives longer than its load takes
  double write_wait_seconds_max = 0.1;    // added to a write; more is felt by whoever writes
  double batch_seconds_max = 5.0;         // a write that others see later than this surprises people
  double sweep_seconds_min = 60.0;        // a sweep's shortest round
  // Of the allowed fraction, kept in reserve by what is proposed: rates drift, and the model is within 10 %
  // of measurements.
  double headroom = 0.2;
};

enum class PlanVerdict : std::uint8_t {
  kUnknown,     // the workload is not known: nothing is claimed
  kKept,        // as configured
  kNeedsLever,  // not as configured, but `cheapest` keeps it
  kImpossible,  // no lever within the limits keeps it
};
[[nodiscard]] constexpr std::string_view plan_verdict_name(PlanVerdict verdict) {
  constexpr std::array<std::string_view, 4> kNames = {"unknown", "kept", "needs_lever", "impossible"};
  return kNames[static_cast<std::size_t>(verdict)];
}

struct Plan {
  PlanVerdict verdict = PlanVerdict::kUnknown;
  std::string reason;               // one sentence for people
  Outcome configured;               // before any lever
  double margin = 0.0;              // allowed / predicted; infinity when nothing is over the limit
  std::vector<LeverEffect> levers;  // each alone, at the setting that suffices, or at its best
  std::vector<bool> suffices;       // of each of them: keeps the budget alone, within the limits
  // Of kNeedsLever: what to pull together. Of kKept: nothing. Of kImpossible: relaxing, after the rest.
  std::vector<LeverSetting> cheapest;
  LeverPositions positions;  // with `cheapest` pulled
  Outcome planned;
  double planned_margin = 0.0;
  double cost = 0.0;
  double ttl_seconds_longest = 0.0;  // the longest ttl that keeps the budget, all else as configured; 0: none
};

[[nodiscard]] Plan make_plan(const FeatureModel& model, const PlanLimits& limits = {},
                             const CostWeights& weights = {});

// allowed / predicted; 1 when nothing is allowed and nothing predicted.
[[nodiscard]] double margin_of(double allowed, double predicted);

}  // namespace candor
