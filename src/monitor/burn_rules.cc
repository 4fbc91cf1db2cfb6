#include "monitor/burn_rules.h"

#include <algorithm>

#include "monitor/budget_windows.h"

namespace candor {
namespace {

constexpr Duration kDay = 24h;
constexpr Duration kTableWindow = 30 * kDay;
constexpr Duration kLongLeast = 1min;
static_assert(kShortestWindow == BudgetWindows::kShortest);
constexpr int kLongToShort = 12;
// What may be gone before a rule fires, where its window is longer than in proportion.
constexpr double kSpentMost = 0.5;
// Rounding of weights.
constexpr double kTiny = 1e-6;

struct Row {
  BudgetState severity;
  Duration long_window;
  double rate;
  double rest_share;  // of 1 - stale_fraction
  Duration hold;  // fast to page, slow to let go: as long as the rule's short window, a ticket half an hour
};
constexpr std::array<Row, kBurnRules> kTable = {Row{BudgetState::kPage, 1h, 14.4, 0.5, 5min},
                                                Row{BudgetState::kPage, 6h, 6.0, 0.25, 5min},
                                                Row{BudgetState::kTicket, 3 * kDay, 1.0, 0.25, 30min}};

Duration scaled(Duration duration, Duration window) {
  if (window >= kTableWindow) return duration;
  const double share = std::chrono::duration<double>(window) / std::chrono::duration<double>(kTableWindow);
  return Duration{static_cast<Duration::rep>(static_cast<double>(duration.count()) * share)};
}

double rate_of(const Row& row, const Budget& budget, Duration long_window) {
  if (budget.stale_fraction >= 1.0) return 0.0;
  const double windows =
      std::chrono::duration<double>(budget.window) / std::chrono::duration<double>(long_window);
  const double by_spending = std::max(1.0, kSpentMost * windows);
  const double f = budget.stale_fraction;
  const double by_fraction = f > 0.0 ? (f + row.rest_share * (1.0 - f)) / f : row.rate;
  return std::min({row.rate, by_spending, by_fraction});
}

}  // namespace

std::array<BurnRule, kBurnRules> burn_rules(const Budget& budget, Duration shortest) {
  std::array<BurnRule, kBurnRules> out;
  for (std::size_t i = 0; i < kBurnRules; ++i) {
    const Row& row = kTable[i];
    BurnRule& rule = out[i];
    rule.severity = row.severity;
    rule.long_window = std::min(budget.window, std::max(kLongLeast, scaled(row.long_window, budget.window)));
    rule.long_window = std::max(rule.long_window, shortest);
    rule.short_window = std::max(shortest, rule.long_window / kLongToShort);
    rule.rate = rate_of(row, budget, rule.long_window);
    rule.hold = std::max(shortest, scaled(row.hold, budget.window));
  }
  return out;
}

std::vector<Duration> burn_windows(const Budget& budget) {
  std::vector<Duration> out = {budget.window};
  for (const BurnRule& rule : burn_rules(budget)) {
    out.push_back(rule.long_window);
    out.push_back(rule.short_window);
  }
  std::ranges::sort(out);
  const auto twice = std::ranges::unique(out);
  out.erase(twice.begin(), twice.end());
  return out;
}

double burn(const Tally& tally, const Budget& budget, Duration window) {
  if (tally.stale <= 0.0) return 0.0;
  if (budget.stale_fraction > 0.0) return std::min(kBurnMost, tally.fraction() / budget.stale_fraction);
  const double share = std::chrono::duration<double>(window) / std::chrono::duration<double>(budget.window);
  return std::min(kBurnMost, tally.effective_stale() / share);
}

double budget_left(const Tally& tally, const Budget& budget) {
  return 1.0 - burn(tally, budget, budget.window);
}

bool tells_enough(const Tally& tally, const Budget& budget) {
  if (budget.stale_fraction <= 0.0) return tally.stale > 0.0;
  return tally.effective() >= kReadsLeast - kTiny && tally.effective_stale() >= kStaleLeast - kTiny;
}

}  // namespace candor
