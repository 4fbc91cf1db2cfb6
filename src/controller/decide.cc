#include "controller/decide.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/assert.h"
#include "controller/weigh.h"
#include "monitor/burn_rules.h"
#include "monitor/interval.h"
#include "monitor/span_tally.h"

namespace candor {
namespace {

// A span of reads from after an action: the span, and the seconds by which reads are judged late.
constexpr Duration kSettle = SpanTally::kSpan + 10s;
// Levers pulled for one feature in one evaluation.
constexpr int kPullsAtOnce = 3;
// Of the cap: what is filled by pulling. Giving back begins at the whole of it.
constexpr double kCapFilled = 0.85;
// Pulled again within this after it was given back: it was given back too early.
constexpr Duration kRegretWithin = 30min;
constexpr unsigned kRegretsMost = 5;  // calm times 32: 2 h 40 min of the default
// Weight of one evaluation in the smoothed load factor; with less, chance alone would move it by some
// percent.
constexpr double kLoadSmoothing = 0.05;
constexpr double kLoadFactorMost = 4.0;

std::size_t index_of(Lever lever) { return static_cast<std::size_t>(lever); }

// What was measured of one feature, as far as levers are concerned.
struct Evidence {
  std::string_view by;      // "the stream", "the origin"; empty: not measured
  Measured measured;        // `reads`: of those, as many as are independent
  double judged = 0.0;      // all of them
  bool is_outside = false;  // even the low end
  bool is_burning = false;  // by a burn-rate rule, and the span agrees
  double by_failure = 0.0;  // of reads: over the limit because the origin failed
};

double shortest_burn(const FeatureExposure& e) {
  for (const BurnRate& one : e.burn)
    if (one.reads >= kReadsLeast) return one.rate;
  return 0.0;
}

// Reads of one key are stale together, from the limit on until its entry ends: how many reads tell as much as
// one. Where few hot keys make most of the reads, a minute's thousands are worth some tens, and a single
// change of a hot key is no trend.
double reads_together(const FeatureExposure& e, const Measured& measured) {
  const double all = e.workload.reads_per_second * to_seconds(SpanTally::kSpan);
  if (all <= 0.0) return 1.0;
  const double judged = std::min(1.0, measured.reads / all);
  const double limit = to_seconds(e.budget.max_staleness);
  const double by_lag = measured.by_cause[static_cast<std::size_t>(StaleCause::kLag)];
  const double until_ttl = std::max(0.0, e.delivery.ttl_seconds - limit) / 2.0;
  const bool is_lag = e.delivery.is_pushed && by_lag >= measured.stale_fraction / 2.0;
  const double run = is_lag ? std::min(until_ttl, to_seconds(e.lag_p99)) : until_ttl;
  return 1.0 + judged * e.workload.read_weighted_reads() * run;
}

// As the report has it, with that in mind.
Measured judged_together(const FeatureExposure& e, Measured measured) {
  if (!measured.is_measured()) return measured;
  measured.reads /= reads_together(e, measured);
  const Interval interval = wilson_interval(measured.stale_fraction, measured.reads);
  measured.low = std::min(measured.low, interval.low);
  measured.high = std::max(measured.high, interval.high);
  return measured;
}

// The worse of the two ways of judging: the origin knows of changes that the stream never told of.
Evidence evidence_of(const FeatureExposure& e) {
  Evidence evidence;
  const Measured by_stream = judged_together(e, e.by_stream);
  const Measured by_origin = judged_together(e, e.by_origin);
  if (by_stream.is_measured()) {
    evidence.by = "the stream";
    evidence.judged = e.by_stream.reads;
    evidence.measured = by_stream;
  }
  if (by_origin.is_measured() && (evidence.by.empty() || by_origin.low > by_stream.low)) {
    evidence.by = "the origin";
    evidence.judged = e.by_origin.reads;
    evidence.measured = by_origin;
  }
  if (evidence.by.empty()) return evidence;
  const double allowed = e.budget.stale_fraction;
  evidence.by_failure = evidence.measured.by_cause[static_cast<std::size_t>(StaleCause::kServeStale)];
  evidence.is_outside = evidence.measured.low > allowed;
  const bool fires = e.state == BudgetState::kTicket || e.state == BudgetState::kPage;
  evidence.is_burning = fires && shortest_burn(e) > 1.0 && evidence.measured.stale_fraction > allowed;
  return evidence;
}

void add(Action& action, const char* name, double value) { action.numbers.emplace_back(name, value); }

std::string percent(double fraction) { return fmt::format("{:.3g} %", 100.0 * fraction); }

std::string measured_text(const FeatureExposure& e, const Evidence& evidence) {
  return fmt::format(
      "{} of reads were staler than {:.3g} s (95 %: {} to {}; {:.0f} judged by {}, worth {:.0f}), {} are "
      "allowed",
      percent(evidence.measured.stale_fraction), to_seconds(e.budget.max_staleness),
      percent(evidence.measured.low), percent(evidence.measured.high), evidence.judged, evidence.by,
      evidence.measured.reads, percent(e.budget.stale_fraction));
}

void add_measured(Action& action, const FeatureExposure& e, const Evidence& evidence) {
  add(action, "allowed", e.budget.stale_fraction);
  add(action, "measured", evidence.measured.stale_fraction);
  add(action, "measured_low", evidence.measured.low);
  add(action, "measured_high", evidence.measured.high);
  add(action, "judged_reads", evidence.judged);
  add(action, "independent_reads", evidence.measured.reads);
  if (evidence.is_burning) add(action, "burn_rate", shortest_burn(e));
  add(action, "u_per_second", e.workload.read_weighted_updates());
  add(action, "r_per_second", e.workload.read_weighted_reads());
  add(action, "ttl_seconds", e.delivery.ttl_seconds);
}

bool is_pulled(const FeatureMemory& memory, Lever lever) {
  return std::ranges::find(memory.pulled, lever) != memory.pulled.end();
}

// One feature in one evaluation.
class FeatureTurn {
 public:
  FeatureTurn(const ExposureReport& report, const FeatureExposure& exposure, const SteeredFeature& feature,
              FeatureMemory& memory, const ControlLimits& limits)
      : now_(report.at),
        exposure_(exposure),
        feature_(feature),
        memory_(memory),
        limits_(limits),
        evidence_(evidence_of(exposure)),
        model_(with_writes_apart(model_of(exposure, feature), memory.positions.batch_seconds)) {}

  // What its levers add to the load now.
  void look() {
    base_loads_ = outcome_of(model_, {}).origin_loads_per_second;
    const double loads = outcome_of(model_, memory_.positions).origin_loads_per_second;
    note_load_factor(loads);
    if (!memory_.pulled.empty()) added_ = std::max(0.0, loads - base_loads_) * memory_.load_factor;
    std::erase_if(memory_.actions, [&](MonoTime at) { return now_ - at >= limits_.actions_window; });
    note_calm();
    if (!is_outside())
      memory_.outside_since.reset();
    else if (!memory_.outside_since)
      memory_.outside_since = now_;
    memory_.seen = now_;
  }
  [[nodiscard]] double added() const { return added_; }
  [[nodiscard]] double base_loads() const { return base_loads_; }

  // `room`: loads a second that this feature may add more than now.
  void steer(double room, std::vector<Action>& actions) {
    if (!is_known() || !is_settled()) return;
    if (!is_outside()) return give_back(actions);
    if (now_ - *memory_.outside_since >= limits_.outside_for) pull(room, actions);
  }
  // Levers add more than they may: gives back until it is at most `added_most`.
  void give_way(double added_most, double cap, std::vector<Action>& actions);

 private:
  [[nodiscard]] bool is_known() const { return !evidence_.by.empty() && !model_.workload.classes.empty(); }
  // Judged by reads of after the last action.
  [[nodiscard]] bool is_settled() const {
    return !memory_.acted_last || now_ - *memory_.acted_last >= std::max(kSettle, limits_.cooldown);
  }
  [[nodiscard]] bool is_outside() const { return evidence_.is_outside || evidence_.is_burning; }
  [[nodiscard]] bool may_act(Lever lever) const {
    const MonoTime acted = memory_.acted[index_of(lever)];
    return acted.ns == 0 || now_ - acted >= limits_.cooldown;
  }
  [[nodiscard]] bool may_pull(Lever lever) const {
    return may_act(lever) && now_ >= memory_.refused_until[index_of(lever)];
  }
  [[nodiscard]] Duration calm_needed() const { return limits_.calm * (1U << memory_.regrets); }
  [[nodiscard]] double allowed() const { return exposure_.budget.stale_fraction; }
  void note_load_factor(double predicted_loads);
  void note_calm();
  [[nodiscard]] FeatureModel explained() const;
  void pull(double room, std::vector<Action>& actions);
  void ask_people(const FeatureModel& model, const LeverPositions& at, std::vector<Action>& actions);
  void advise(LeverSetting to, std::string reason, double predicted, std::vector<Action>& actions);
  void give_back(std::vector<Action>& actions);
  [[nodiscard]] Action action(ActionKind kind, const LeverSetting& from, const LeverSetting& to) const;
  [[nodiscard]] bool is_new_advice(const LeverSetting& to) const;
  void emit_pull(const Pull& pull, double factor, std::vector<Action>& actions);

  MonoTime now_;
  const FeatureExposure& exposure_;
  const SteeredFeature& feature_;
  FeatureMemory& memory_;
  const ControlLimits& limits_;
  const Evidence evidence_;
  const FeatureModel model_;
  double base_loads_ = 0.0, added_ = 0.0;
};

// The model's loads may be too few, by keys that come and go; never taken as too many.
void FeatureTurn::note_load_factor(double predicted_loads) {
  const double measured = exposure_.origin_loads_per_second;
  if (predicted_loads <= 0.0 || measured <= 0.0 || !is_settled()) return;
  const double ratio = std::clamp(measured / predicted_loads, 1.0 / kLoadFactorMost, kLoadFactorMost);
  memory_.load_factor = std::max(1.0, memory_.load_factor + kLoadSmoothing * (ratio - memory_.load_factor));
}

// Inside with a margin, one evaluation after the other; and what was judged meanwhile.
void FeatureTurn::note_calm() {
  const bool is_inside = !evidence_.by.empty() && !evidence_.is_outside && !evidence_.is_burning &&
                         evidence_.measured.stale_fraction <= limits_.undo_measured * allowed();
  if (!is_inside || !is_settled()) {
    memory_.calm_since.reset();
    memory_.calm_reads = memory_.calm_over = 0.0;
    return;
  }
  if (!memory_.calm_since) memory_.calm_since = now_;
  // A report's span overlaps with the one before: each counts for the time since then.
  const double share = std::min(1.0, to_seconds(now_ - memory_.seen) / to_seconds(SpanTally::kSpan));
  memory_.calm_reads += evidence_.measured.reads * share;
  memory_.calm_over += evidence_.measured.reads * share * evidence_.measured.stale_fraction;
}

// The model with as many changes as explain what was measured.
FeatureModel FeatureTurn::explained() const {
  const double factor =
      changes_factor(model_, memory_.positions, evidence_.measured.stale_fraction - evidence_.by_failure,
                     std::max(evidence_.measured.high, evidence_.measured.stale_fraction));
  return with_changes_scaled(model_, factor);
}

Action FeatureTurn::action(ActionKind kind, const LeverSetting& from, const LeverSetting& to) const {
  Action action;
  action.feature = exposure_.feature;
  action.lever = to.lever;
  action.kind = exposure_.may_steer || kind == ActionKind::kAdvise ? kind : ActionKind::kAdvise;
  action.is_auto = exposure_.may_steer && kind != ActionKind::kAdvise;
  action.from = from;
  action.to = to;
  add_measured(action, exposure_, evidence_);
  return action;
}

bool FeatureTurn::is_new_advice(const LeverSetting& to) const {
  const FeatureMemory::Advice& last = memory_.advised[index_of(to.lever)];
  return !last.at || now_ - *last.at >= limits_.advice_period;
}

void FeatureTurn::emit_pull(const Pull& pull, double factor, std::vector<Action>& actions) {
  Action made = action(ActionKind::kPull, pull.from, pull.to);
  const double before = pull.before.exposure.over_limit, after = pull.after.exposure.over_limit;
  const double loads = pull.after.origin_loads_per_second - pull.before.origin_loads_per_second;
  made.reason = fmt::format(
      "{}; {} {} instead of {} takes the prediction from {} to {} for {:+.3g} loads a second, the cheapest "
      "of the levers at hand",
      measured_text(exposure_, evidence_), lever_name(pull.to.lever), setting_text(pull.to),
      setting_text(pull.from), percent(before), percent(after), loads);
  if (!pull.suffices) made.reason += "; it does not suffice alone";
  add(made, "changes_factor", factor);
  add(made, "predicted_before", before);
  add(made, "predicted_after", after);
  add(made, "loads_per_second_before", pull.before.origin_loads_per_second);
  add(made, "loads_per_second_after", pull.after.origin_loads_per_second);
  add(made, "write_wait_seconds", pull.after.write_wait_seconds);
  add(made, "cost", pull.cost);
  if (!made.is_auto && !is_new_advice(pull.to)) return;
  actions.push_back(std::move(made));
}

void FeatureTurn::pull(double room, std::vector<Action>& actions) {
  const double target = (1.0 - limits_.headroom) * allowed();
  // More load would make an outage worse, and no lever reaches what it makes stale.
  if (exposure_.checks_paused || evidence_.measured.stale_fraction - evidence_.by_failure <= allowed())
    return;
  const FeatureModel model = explained();
  const double factor = model_.workload.updates_per_second > 0.0
                            ? model.workload.updates_per_second / model_.workload.updates_per_second
                            : 1.0;
  LeverPositions at = memory_.positions;
  Outcome reached = outcome_of(model, at);
  if (reached.exposure.over_limit <= target)
    return ask_people(model, at, actions);  // the model cannot explain it
  const double loads_most = base_loads_ + (added_ + std::max(0.0, room)) / memory_.load_factor;
  const Weighing weighing(model, feature_, limits_, {target, loads_most, &model_});
  for (int i = 0; i < kPullsAtOnce && reached.exposure.over_limit > target; ++i) {
    if (memory_.actions.size() + static_cast<std::size_t>(i) >= limits_.actions_max) return;
    const auto next = weighing.next(at, [&](Lever lever) { return may_pull(lever); });
    if (!next) break;
    emit_pull(*next, factor, actions);
    at = with_setting(at, next->to);
    reached = next->after;
  }
  if (reached.exposure.over_limit > allowed()) ask_people(model, at, actions);
}

void FeatureTurn::advise(LeverSetting to, std::string reason, double predicted,
                         std::vector<Action>& actions) {
  if (!is_new_advice(to)) return;
  Action made = action(ActionKind::kAdvise, setting_at(memory_.positions, to.lever), to);
  made.reason = std::move(reason);
  add(made, "predicted_after", predicted);
  actions.push_back(std::move(made));
}

// What levers cannot do, and people can: hear of changes, or allow more while a sweep repairs.
void FeatureTurn::ask_people(const FeatureModel& model, const LeverPositions& at,
                             std::vector<Action>& actions) {
  const double target = (1.0 - limits_.headroom) * allowed();
  const LeverSetting watch{.lever = Lever::kWatch, .value = 1.0};
  if (why_not(model, at, Lever::kWatch).empty()) {
    const double predicted = outcome_of(model, with_setting(at, watch)).exposure.over_limit;
    if (predicted <= target)
      return advise(
          watch,
          fmt::format("{}; no lever within the limits suffices, hearing of changes (`watch`) predicts {}",
                      measured_text(exposure_, evidence_), percent(predicted)),
          predicted, actions);
  }
  const double reached = outcome_of(model, at).exposure.over_limit;
  const bool is_explained = reached > target;
  const double wanted = is_explained ? reached / (1.0 - limits_.headroom) : evidence_.measured.high;
  const LeverSetting relax{.lever = Lever::kRelax, .value = std::min(1.0, wanted)};
  advise(
      relax,
      is_explained
          ? fmt::format(
                "{}; the levers at hand and within the limits reach {}: the owner would have to allow {}, "
                "while reconciliation repairs",
                measured_text(exposure_, evidence_), percent(reached), percent(relax.value))
          : fmt::format(
                "{}; the model predicts {} and so does not explain it: look at the causes; what is measured "
                "would need {} to be allowed",
                measured_text(exposure_, evidence_), percent(reached), percent(relax.value)),
      reached, actions);
}

void FeatureTurn::give_back(std::vector<Action>& actions) {
  if (memory_.pulled.empty() || !memory_.calm_since || memory_.actions.size() >= limits_.actions_max) return;
  const Duration calm = now_ - *memory_.calm_since;
  if (calm < calm_needed()) return;
  const double share = memory_.calm_reads > 0.0 ? memory_.calm_over / memory_.calm_reads : 0.0;
  const double high = wilson_interval(share, memory_.calm_reads).high;
  if (memory_.calm_reads <= 0.0 || high > limits_.undo_measured * allowed()) return;
  const Lever lever = memory_.pulled.back();
  if (!may_act(lever)) return;
  const FeatureModel model = explained();
  const double target = limits_.undo_predicted * allowed();
  const Weighing weighing(model, feature_, limits_, {target});
  const auto to = weighing.milder(memory_.positions, lever);
  if (!to) return;
  Action made = action(ActionKind::kUndo, setting_at(memory_.positions, lever), *to);
  const Outcome after = outcome_of(model, with_setting(memory_.positions, *to));
  made.reason = fmt::format(
      "inside for {:.0f} s: {} of {:.0f} reads judged were over the limit, below {} at the interval's high "
      "end, {} are "
      "allowed; with {} {} instead of {} the model predicts {}",
      to_seconds(calm), percent(share), memory_.calm_reads, percent(high), percent(allowed()),
      lever_name(lever), setting_text(*to), setting_text(made.from), percent(after.exposure.over_limit));
  add(made, "calm_seconds", to_seconds(calm));
  add(made, "calm_reads", memory_.calm_reads);
  add(made, "calm_high", high);
  add(made, "predicted_after", after.exposure.over_limit);
  add(made, "loads_per_second_after", after.origin_loads_per_second);
  actions.push_back(std::move(made));
}

void FeatureTurn::give_way(double added_most, double cap, std::vector<Action>& actions) {
  LeverPositions at = memory_.positions;
  const double loads_most = base_loads_ + added_most / memory_.load_factor;
  const Weighing weighing(model_, feature_, limits_, {1.0, loads_most});
  for (std::size_t i = memory_.pulled.size(); i > 0; --i) {
    const double loads = outcome_of(model_, at).origin_loads_per_second;
    if (loads <= loads_most) return;
    const Lever lever = memory_.pulled[i - 1];
    const LeverSetting to = weighing.within_loads(at, lever);
    const LeverPositions without = with_setting(at, to);
    const double after = outcome_of(model_, without).origin_loads_per_second;
    if (after >= loads) continue;  // it is not this one that adds
    Action made = action(ActionKind::kUndo, setting_at(at, lever), to);
    made.reason = fmt::format(
        "levers add {:.3g} loads a second to this feature's {:.3g}, and together they may add {:.3g}; {} {} "
        "instead of "
        "{} leaves {:.3g}",
        added_, base_loads_, cap, lever_name(lever), setting_text(to), setting_text(made.from),
        std::max(0.0, after - base_loads_));
    add(made, "added_load", added_);
    add(made, "added_load_cap", cap);
    add(made, "loads_per_second_after", after);
    actions.push_back(std::move(made));
    at = without;
  }
}

double cap_of(const ControlLimits& limits, double base_loads) {
  return limits.added_load_share > 0.0 ? limits.added_load_share * base_loads : limits.added_load_max;
}

// What the pulls of a feature will add leaves less room for the next one.
double loads_of(const std::vector<Action>& actions, std::size_t from) {
  double sum = 0.0;
  for (std::size_t i = from; i < actions.size(); ++i) {
    double before = 0.0, after = 0.0;
    for (const auto& [name, value] : actions[i].numbers) {
      if (name == "loads_per_second_before") before = value;
      if (name == "loads_per_second_after") after = value;
    }
    if (actions[i].kind == ActionKind::kPull && actions[i].is_auto) sum += std::max(0.0, after - before);
  }
  return sum;
}

}  // namespace

Decision decide(const ExposureReport& report, const std::vector<SteeredFeature>& features,
                const ControlMemory& memory, const ControlLimits& limits) {
  Decision decision{.memory = memory};
  for (const FeatureExposure& exposure : report.features)
    decision.memory.at(exposure.feature);  // no more growth
  std::vector<FeatureTurn> turns;
  double base_loads = 0.0;
  for (const FeatureExposure& exposure : report.features) {
    const auto feature = std::ranges::find(features, exposure.feature, &SteeredFeature::name);
    if (feature == features.end() || !exposure.has_budget) continue;
    FeatureTurn& turn =
        turns.emplace_back(report, exposure, *feature, decision.memory.at(exposure.feature), limits);
    turn.look();
    base_loads += turn.base_loads();
    decision.added_load += turn.added();
  }
  const double cap = decision.added_load_cap = cap_of(limits, base_loads);
  if (decision.added_load > cap) {
    // Each by the same share: nobody's budget goes first.
    const double share = kCapFilled * cap / decision.added_load;
    for (FeatureTurn& turn : turns) turn.give_way(share * turn.added(), cap, decision.actions);
    return decision;
  }
  double room = kCapFilled * cap - decision.added_load;
  for (FeatureTurn& turn : turns) {
    const std::size_t before = decision.actions.size();
    turn.steer(room, decision.actions);
    room -= loads_of(decision.actions, before);
  }
  return decision;
}

void note_done(ControlMemory& memory, const Action& action, bool was_applied, MonoTime now,
               const ControlLimits& limits) {
  FeatureMemory& feature = memory.at(action.feature);
  if (!action.is_auto) {
    feature.advised[index_of(action.lever)] = {now, action.to};
    return;
  }
  feature.acted[index_of(action.lever)] = now;
  feature.acted_last = now;
  // What the cap takes back is not limited, only counted; two windows of it are more than any limit needs.
  if (feature.actions.size() < 2 * static_cast<std::size_t>(limits.actions_max))
    feature.actions.push_back(now);
  feature.calm_since.reset();
  feature.calm_reads = feature.calm_over = 0.0;
  if (!was_applied) {
    if (action.kind == ActionKind::kPull)
      feature.refused_until[index_of(action.lever)] = now + limits.actions_window;
    return;
  }
  feature.positions = with_setting(feature.positions, action.to);
  if (action.kind == ActionKind::kPull) {
    if (feature.undone_last && now - *feature.undone_last < kRegretWithin)
      feature.regrets = std::min(feature.regrets + 1, kRegretsMost);
    feature.undone_last.reset();
    if (!is_pulled(feature, action.lever)) feature.pulled.push_back(action.lever);
    return;
  }
  // Given back for good: the next pull is a new story.
  if (feature.undone_last && now - *feature.undone_last >= kRegretWithin && feature.regrets > 0)
    --feature.regrets;
  feature.undone_last = now;
  if (action.to.value <= 0.0) std::erase(feature.pulled, action.lever);
}

const FeatureMemory* ControlMemory::find(std::string_view feature) const {
  const auto it = std::ranges::find(features, feature, &FeatureMemory::feature);
  return it == features.end() ? nullptr : &*it;
}

FeatureMemory& ControlMemory::at(std::string_view feature) {
  const auto it = std::ranges::find(features, feature, &FeatureMemory::feature);
  if (it != features.end()) return *it;
  features.emplace_back().feature = feature;
  return features.back();
}

LeverSetting setting_at(const LeverPositions& positions, Lever lever) {
  LeverSetting setting{.lever = lever};
  switch (lever) {
    case Lever::kTtl:
      setting.value = positions.ttl_seconds;
      break;
    case Lever::kWatch:
      setting.value = positions.watch ? 1.0 : 0.0;
      break;
    case Lever::kRefreshOnChange:
      setting.value = positions.refresh_on_change ? 1.0 : 0.0;
      break;
    case Lever::kSynchronous:
      setting.value = positions.synchronous ? 1.0 : 0.0;
      break;
    case Lever::kBatchWrites:
      setting.value = positions.batch_seconds;
      break;
    case Lever::kOriginReads:
      setting.value = positions.origin_fraction;
      setting.second = positions.origin_above_seconds;
      break;
    case Lever::kRelax:
      setting.value = positions.relaxed_fraction;
      setting.second = positions.sweep_seconds;
      break;
  }
  return setting;
}

std::string setting_text(const LeverSetting& setting) {
  if (setting.value <= 0.0) return setting.lever == Lever::kTtl ? "as configured" : "off";
  switch (setting.lever) {
    case Lever::kTtl:
    case Lever::kBatchWrites:
      return fmt::format("{:.3g}s", setting.value);
    case Lever::kOriginReads:
      return fmt::format("{:.3g} of reads", setting.value);
    case Lever::kRelax:
      return fmt::format("{:.3g} of reads allowed", setting.value);
    default:
      return "on";
  }
}

}  // namespace candor
