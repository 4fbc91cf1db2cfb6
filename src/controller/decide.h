// What should be done about the budgets now: a function of the report, of what is pulled, of limits and of
// the time. It measures nothing and changes nothing; actuate.h does what it says and tells it what was done.
//
// When a lever is pulled
//   - Even the low end of the measured interval is above what the budget allows, or a burn-rate rule fires
//   and
//     the latest span agrees. Not measured, or a workload that is not known: nothing is done.
//   - Which, and how far: the cheapest that suffices by the same model that `candor plan` shows
//   (budget/levers.h),
//     with headroom. Where none suffices alone, the one that helps most, and then the next.
//   - The model's rate of changes is first scaled so that the model explains what was measured: right after a
//     step its own estimate lags by minutes, and what it leaves out counts as well.
// When it is given back
//   - Last pulled, first given back, once the whole interval was inside with a margin for `calm`, and the
//   model
//     says that it stays so without the lever. A lever that had to be pulled again soon is kept twice as long
//     the next time.
// What holds it back
//   - After an action a feature is judged by reads of after it. Each lever rests for `cooldown`; a feature
//   has
//     at most `actions_max` actions in `actions_window`.
//   - What all pulled levers together add to the origins' load stays below a cap; when readers become more
//   and
//     it would not, levers are given back at once.
//   - Reads that are stale because the origin fails are no reason to send it more of them.
//
// Pure: no clock, no I/O, no randomness.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "budget/levers.h"
#include "monitor/exposure_report.h"

namespace candor {

struct ControlLimits {
  // Loads a second that all pulled levers may add, at all origins and for all features together. With a share
  // above 0: this share of what readers cause without levers instead.
  double added_load_max = 100.0;
  double added_load_share = 0.0;
  double ttl_seconds_min = 1.0;         // no ttl is made shorter
  double write_wait_seconds_max = 0.1;  // added to a write; more is felt by whoever writes
  double batch_seconds_max = 5.0;       // a write that others see later than this surprises people
  double origin_fraction_max = 1.0;
  Duration outside_for = 15s;    // outside in each report for this long before anything is pulled
  Duration cooldown = 30s;       // between two actions on one lever of a feature
  Duration calm = 5min;          // inside with a margin for this long before something is given back
  unsigned actions_max = 12;     // of one feature …
  Duration actions_window = 1h;  // … within this
  // Of what is allowed, kept in reserve by what is pulled: the model is within 10 % of measurements, and
  // rates drift.
  double headroom = 0.45;
  // Of what is allowed: what the model may predict without a lever that is given back. The distance to
  // 1 - headroom is the hysteresis.
  double undo_predicted = 0.5;
  // Of what is allowed: the measured interval's high end must be below before something is given back.
  double undo_measured = 0.8;
  Duration advice_period = 1h;  // the same advice is not repeated sooner
};

// What a node can pull; the other levers are people's.
inline constexpr std::array kPullable = {Lever::kTtl, Lever::kRefreshOnChange, Lever::kSynchronous,
                                         Lever::kBatchWrites, Lever::kOriginReads};

// What the controller must know of a feature besides the report.
struct SteeredFeature {
  std::string name;
  double ttl_seconds = 0.0;  // as configured
  double ttl_jitter = 0.0;
  FeatureFacts facts;
  // Why a lever is not at hand here; empty: it is. Part of a sentence.
  std::array<std::string, kLevers> not_at_hand{};
};

enum class ActionKind : std::uint8_t { kPull, kUndo, kAdvise };
[[nodiscard]] constexpr std::string_view action_kind_name(ActionKind kind) {
  constexpr std::array<std::string_view, 3> kNames = {"pull", "undo", "advise"};
  return kNames[static_cast<std::size_t>(kind)];
}

struct Action {
  std::string feature;
  Lever lever = Lever::kTtl;
  ActionKind kind = ActionKind::kAdvise;
  bool is_auto = false;                                 // else it is for people to do
  LeverSetting from, to;                                // value 0: as configured, off
  std::string reason;                                   // a sentence that names the numbers
  std::vector<std::pair<std::string, double>> numbers;  // the same, for machines
};

// What is pulled at a feature, and what was done when.
struct FeatureMemory {
  std::string feature;
  LeverPositions positions;
  std::vector<Lever> pulled;  // in the order in which they were pulled
  std::array<MonoTime, kLevers> acted{};
  std::array<MonoTime, kLevers> refused_until{};  // not pulled again before
  std::vector<MonoTime> actions;  // within actions_window; at most actions_max and what the cap took back
  std::optional<MonoTime> acted_last, undone_last;
  std::optional<MonoTime> outside_since, calm_since;
  double calm_reads = 0.0, calm_over = 0.0;  // judged since then
  MonoTime seen{0};                          // the last report
  unsigned regrets = 0;                      // levers pulled again soon after they were given back
  // Measured loads over predicted ones, smoothed; never below 1.
  double load_factor = 1.0;
  struct Advice {
    std::optional<MonoTime> at;
    LeverSetting setting;
  };
  std::array<Advice, kLevers> advised{};
};

struct ControlMemory {
  std::vector<FeatureMemory> features;  // in the order of the report; made when a feature is first seen
  [[nodiscard]] const FeatureMemory* find(std::string_view feature) const;
  FeatureMemory& at(std::string_view feature);
};

struct Decision {
  std::vector<Action> actions;
  ControlMemory memory;                           // with what was seen; what is done is noted by note_done()
  double added_load = 0.0, added_load_cap = 0.0;  // predicted, of all features, before the actions
};
[[nodiscard]] Decision decide(const ExposureReport& report, const std::vector<SteeredFeature>& features,
                              const ControlMemory& memory, const ControlLimits& limits);

// After the action was applied, or refused: a refusal counts as an action, so that it is not repeated at
// once.
void note_done(ControlMemory& memory, const Action& action, bool was_applied, MonoTime now,
               const ControlLimits& limits);

// Where a lever stands.
[[nodiscard]] LeverSetting setting_at(const LeverPositions& positions, Lever lever);
// For people: "12s", "on", "0.25 of reads", "as configured".
[[nodiscard]] std::string setting_text(const LeverSetting& setting);

}  // namespace candor
