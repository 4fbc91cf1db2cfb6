#include "controller/actuate.h"

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
  for (Action& action : decision.actions) {
    Result<void> done;
    if (action.is_auto) done = apply(action);
    note_done(memory_, action, done.has_value(), report.at, limits_);
    LeverRecord& record = log_.emplace_back();
    record.at = report.wall;
    record.action = std::move(action);
    if (!done) record.refusal = done.error().message;
    if (tell_) tell_(record);
    if (log_.size() > kRecordsMax) log_.pop_front();
    // Later actions of the feature build on the one that was refused.
    if (!done) break;
  }
}

}  // namespace candor
