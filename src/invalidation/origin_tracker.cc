#include "invalidation/origin_tracker.h"

#include "version/mutant.h"

namespace candor {

OriginTracker::Outcome OriginTracker::on_applied(Incarnation incarnation, Position up_to, MonoTime now) {
  Outcome outcome;
  if (incarnation != incarnation_ && !(mutant(Mutant::kIncarnationIgnored) && incarnation_.value != 0)) {
    outcome.other_history = incarnation_.value != 0;
    on_loss();
    incarnation_ = incarnation;
    applied_ = Position{};
  }
  if (!whole_since_) whole_since_ = now;
  applied_ = std::max(applied_, up_to);
  look_for_proof(outcome);
  return outcome;
}

OriginTracker::Outcome OriginTracker::on_probe(MonoTime asked, MonoTime answered, const OriginProbe& probe) {
  Outcome outcome;
  // Another history than the stream's: the feed will say so; until then this is no evidence of anything.
  if (incarnation_.value == 0) return outcome;
  if (probe.incarnation != incarnation_ && !mutant(Mutant::kIncarnationIgnored)) return outcome;
  if (!whole_since_ || asked < *whole_since_) return outcome;
  outcome.visible = mutant(Mutant::kRetireByPosition) ? probe.next : probe.all_up_to;
  outcome.visible_since = mutant(Mutant::kRetireAtAsked) ? asked : answered;
  const Asked one{asked, probe};
  if (!settled_) look_for_settlement(probe, mutant(Mutant::kFloorTimeAsked) ? asked : answered, outcome);
  if (!settled_) return outcome;
  if (waiting_.size() >= kProbesMax) waiting_.erase(waiting_.begin() + kProbesMax / 2);
  waiting_.push_back(one);
  look_for_proof(outcome);
  return outcome;
}

void OriginTracker::on_loss() {
  whole_since_.reset();
  bar_.reset();
  settled_ = false;
  waiting_.clear();
  fresh_as_of_ = MonoTime{0};
}

void OriginTracker::look_for_settlement(const OriginProbe& probe, MonoTime answered, Outcome& outcome) {
  if (!bar_) bar_ = probe.next;
  if (probe.all_up_to.value + 1 < bar_->value && !mutant(Mutant::kFloorSettledEarly)) return;
  settled_ = true;
  outcome.settle_floor = answered;
}

void OriginTracker::look_for_proof(Outcome& outcome) {
  while (!waiting_.empty() && waiting_.front().probe.position <= applied_) {
    if (waiting_.front().at > fresh_as_of_) {
      fresh_as_of_ = waiting_.front().at;
      outcome.fresh_as_of = fresh_as_of_;
      outcome.applied_up_to = waiting_.front().probe.all_up_to;
    }
    waiting_.pop_front();
  }
}

}  // namespace candor
