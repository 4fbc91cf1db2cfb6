// When does a burn rate deserve a person? Several windows, several rates (Google's SRE Workbook, chapter 5,
// "Alerting on SLOs"): a rule fires while both its long window, which says that it matters, and its short
// window, which says that it still goes on, burn at its rate.
//
//   severity  long  short   rate   spends of a 30-day budget
//   page      1 h   5 min   14.4    2 % in an hour
//   page      6 h   30 min   6      5 % in six hours
//   ticket    3 d   6 h      1     10 % in three days
//
// Pure. burn_rules() and burn() are also what `candor rules` writes for Prometheus.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "budget/workload.h"
#include "monitor/exposure_report.h"
#include "monitor/tally.h"

namespace candor {

struct BurnRule {
  BudgetState severity = BudgetState::kTicket;
  Duration long_window{0}, short_window{0};
  double rate = 0.0;  // fires at this rate; 0: never
  Duration hold{0};   // and is over when it was clearly below for this long
};
inline constexpr std::size_t kBurnRules = 3;

// The table above for this budget:
//   - window shorter than 30 days: each of the table's windows in the same proportion, so that the same share
//     of the budget is spent; the long ones at least 1 min, the short ones at least 10 s (reads are judged
//     some seconds late). Where that stretches a window, the rate is lowered so far that a rule does not wait
//     until more than half of the budget is gone, though never below 1.
//   - longer: the table as it is. How long a person may take does not grow with the window.
//   - stale_fraction of some percent: a rate cannot exceed 1 / stale_fraction. A page needs at most the
//     fraction and a half (the slower one: a quarter) of what is left to 1, so 0.6 where 0.2 is allowed.
//   - stale_fraction = 1 allows everything: no rule fires.
// `shortest`: no window is shorter. Who sees the counters once a minute cannot judge ten seconds; rates are
// lowered as above where that stretches a window.
inline constexpr Duration kShortestWindow = 10s;
[[nodiscard]] std::array<BurnRule, kBurnRules> burn_rules(const Budget& budget,
                                                          Duration shortest = kShortestWindow);

// The rules' windows and the budget's own, ascending, each once. The last is the budget's.
[[nodiscard]] std::vector<Duration> burn_windows(const Budget& budget);

// How many times as fast as the budget allows: 1 spends it in exactly its window. A budget that allows none
// is taken as one that a single stale read in its window spends: then the rate is stale reads over
// window / budget.window. At most kBurnMost, for the sake of whoever draws it.
[[nodiscard]] double burn(const Tally& tally, const Budget& budget, Duration window);
inline constexpr double kBurnMost = 1e6;

// What is left of the budget after `tally`, which is the whole window's: 1 untouched, 0 spent, below 0
// overspent.
[[nodiscard]] double budget_left(const Tally& tally, const Budget& budget);

// Fewer than these say nothing: one read that is stale by chance must wake nobody. A service that is
// exactly inside its budget shows ten stale reads at six times its rate once in 100,000 windows (Poisson of
// mean 10 / 6), and more rarely at 14.4. Where the budget allows none, one stale read is enough.
inline constexpr double kReadsLeast = 100;
inline constexpr double kStaleLeast = 10;
[[nodiscard]] bool tells_enough(const Tally& tally, const Budget& budget);

}  // namespace candor
