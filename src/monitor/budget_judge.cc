#include "monitor/budget_judge.h"

#include <algorithm>

namespace candor {

BudgetState BudgetJudge::step(MonoTime now, const std::function<Tally(Duration window)>& sum) {
  BudgetState worst = BudgetState::kOk;
  bool is_measured = false;
  for (std::size_t i = 0; i < kBurnRules; ++i) {
    const BurnRule& rule = rules_[i];
    const Tally over_long = sum(rule.long_window);
    if (i == 0) is_measured = over_long.reads > 0.0;
    step_rule(rule, holds_[i], now, over_long, sum(rule.short_window));
    if (holds_[i].holds) worst = std::max(worst, rule.severity);
  }
  state_ = worst == BudgetState::kOk && !is_measured ? BudgetState::kUnknown : worst;
  return state_;
}

void BudgetJudge::step_rule(const BurnRule& rule, Hold& hold, MonoTime now, const Tally& over_long,
                            const Tally& over_short) {
  if (rule.rate <= 0.0) return;
  const double rate =
      std::min(burn(over_long, budget_, rule.long_window), burn(over_short, budget_, rule.short_window));
  if (rate >= rule.rate && tells_enough(over_long, budget_)) {
    hold = {true, std::nullopt};
    return;
  }
  if (!hold.holds) return;
  if (rate >= rule.rate * kLetGo) {
    hold.below_since.reset();
    return;
  }
  if (!hold.below_since) hold.below_since = now;
  if (now - *hold.below_since >= rule.hold) hold = {};
}

void BudgetJudge::save(BlobWriter& out) const {
  for (const Hold& hold : holds_) out.put(static_cast<std::uint8_t>(hold.holds ? 1 : 0));
}

// Since when a rule is below is not kept: after a restart it has to be below for all of its hold once more.
void BudgetJudge::restore(BlobReader& in) {
  for (Hold& hold : holds_) {
    const auto holds = in.take<std::uint8_t>();
    if (holds > 1) return in.fail();
    hold = {holds == 1, std::nullopt};
  }
}

}  // namespace candor
