#include "controller/actuate.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace candor {
namespace {

Duration duration_of(double seconds) {
  return std::chrono::milliseconds(std::llround(seconds * 1000.0));  // what ttls are kept in
}

}  // namespace

Controller::Controller(std::vector<SteeredFeature> features, ControlLimits limits, LeverTarget* target,
                       Tell tell)
    : features_(std::move(features)), limits_(limits), target_(target), tell_(std::move(tell)) {}

Result<void> Controller::apply(const Action& action) {
  const bool is_on = action.to.value > 0.0;
  switch (action.lever) {
    case Lever::kTtl:
      return target_->set_ttl(action.feature,
                              is_on ? std::optional(duration_of(action.to.value)) : std::nullopt);
    case Lever::kRefreshOnChange:
      return target_->set_refresh_on_change(action.feature, is_on);
    case Lever::kSynchronous:
      return target_->set_synchronous(action.feature, is_on);
    case Lever::kBatchWrites:
      return target_->set_batch_window(action.feature, duration_of(action.to.value));
    case Lever::kOriginReads:
      return target_->set_origin_reads(action.feature, action.to.value);
    case Lever::kWatch:
    case Lever::kRelax:
      break;
  }
  return fail(ErrorCode::kInvalidArgument, "this lever is pulled by people");
}

void Controller::on_report(const ExposureReport& report) {
  Decision decision = decide(report, features_, memory_, limits_);
  memory_ = std::move(decision.memory);
  added_load_ = decision.added_load;
  added_load_cap_ = decision.added_load_cap;
  std::vector<std::string> refused;
  for (Action& action : decision.actions) {
    // Later actions of a feature build on the one that was refused.
    if (std::ranges::find(refused, action.feature) != refused.end()) continue;
    Result<void> done;
    if (action.is_auto) done = apply(action);
    note_done(memory_, action, done.has_value(), report.at, limits_);
    if (!done) refused.push_back(action.feature);
    write_down(report.wall, std::move(action), done ? std::string() : done.error().message);
  }
}

void Controller::write_down(WallTime at, Action action, std::string refusal) {
  log_.push_back({at, std::move(action), std::move(refusal)});
  if (tell_) tell_(log_.back());
  if (log_.size() > kRecordsMax) log_.pop_front();
}

void Controller::note_put_back(std::string_view feature, Lever lever, std::string reason, MonoTime now,
                               WallTime wall) {
  Action action;
  action.feature = feature;
  action.lever = lever;
  action.kind = ActionKind::kUndo;
  action.is_auto = true;
  action.from = setting_at(memory_.at(feature).positions, lever);
  action.to = {.lever = lever};
  action.reason = std::move(reason);
  note_done(memory_, action, true, now, limits_);
  write_down(wall, std::move(action), {});
}

LeverSnapshot Controller::snapshot() const {
  return {{log_.begin(), log_.end()}, memory_.features, added_load_, added_load_cap_};
}

}  // namespace candor
