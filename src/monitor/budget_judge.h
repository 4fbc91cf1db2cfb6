// The state of one budget: unknown, ok, ticket or page. Pure: no clock; callers pass `now`.
//
// A rule (burn_rules.h) takes hold at once when both of its windows burn at its rate and enough was judged.
// It lets go when one of them has been below kLetGo of the rate for the rule's `hold` without a break: a
// rate that wavers about its threshold is one alert, and not twenty. The state is the most severe one of the
// rules that hold.
// "unknown" is the answer while no rule holds and nothing was judged within the first rule's long window (an
// hour of a 30-day budget): silence is not freshness.
// Thread safety: none; one owner.
#pragma once

#include <functional>
#include <optional>

#include "base/blob.h"
#include "base/time.h"
#include "monitor/burn_rules.h"

namespace candor {

class BudgetJudge {
 public:
  explicit BudgetJudge(const Budget& budget) : budget_(budget), rules_(burn_rules(budget)) {}

  // Of a rule's rate: below it, it is over. A quarter is more than the noise of kStaleLeast reads that come
  // in by and by, and less than what a person would call the same.
  static constexpr double kLetGo = 0.75;

  // `sum(window)`: what was judged within it.
  BudgetState step(MonoTime now, const std::function<Tally(Duration window)>& sum);
  [[nodiscard]] BudgetState state() const { return state_; }
  [[nodiscard]] const std::array<BurnRule, kBurnRules>& rules() const { return rules_; }

  void save(BlobWriter& out) const;
  void restore(BlobReader& in);

 private:
  struct Hold {
    bool holds = false;
    std::optional<MonoTime> below_since;
  };
  void step_rule(const BurnRule& rule, Hold& hold, MonoTime now, const Tally& over_long,
                 const Tally& over_short);

  Budget budget_;
  std::array<BurnRule, kBurnRules> rules_;
  std::array<Hold, kBurnRules> holds_;
  BudgetState state_ = BudgetState::kUnknown;
};

}  // namespace candor
