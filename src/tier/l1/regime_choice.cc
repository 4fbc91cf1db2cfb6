#include "tier/l1/regime_choice.h"

#include <cmath>

namespace candor::l1 {

bool RegimeChoice::record(Rehearsal::Misses misses) {
  const bool current_missed = ((misses >> current_) & 1) != 0;
  for (unsigned which = 0; which < Rehearsal::kCaches; ++which) {
    const bool missed = ((misses >> which) & 1) != 0;
    misses_[which] = misses_[which] * keep_ + (missed ? 1.0 : 0.0);
    disagreements_[which] = disagreements_[which] * keep_ + (missed != current_missed ? 1.0 : 0.0);
  }
  // Only a miss that another regime would have avoided can make one pull ahead.
  constexpr Rehearsal::Misses kAll = (Rehearsal::Misses{1} << Rehearsal::kCaches) - 1;
  if (!current_missed || misses == kAll) return false;
  const unsigned next = challenger();
  if (next == current_) return false;
  current_ = next;
  // Disagreements with the new regime were not counted; there were at least as many as the difference.
  for (unsigned which = 0; which < Rehearsal::kCaches; ++which) {
    disagreements_[which] = std::abs(misses_[which] - misses_[current_]);
  }
  return true;
}

// The regime that is furthest ahead beyond doubt, or the present one.
unsigned RegimeChoice::challenger() const {
  unsigned best = current_;
  double best_lead = 0;
  for (unsigned which = 0; which < Rehearsal::kCaches; ++which) {
    const double doubt = std::sqrt(disagreements_[which] + 1);
    const double lead = misses_[current_] - misses_[which] - doubt;
    if (lead > best_lead) {
      best = which;
      best_lead = lead;
    }
  }
  return best;
}

}  // namespace candor::l1
