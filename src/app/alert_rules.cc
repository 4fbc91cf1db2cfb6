#include "app/alert_rules.h"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "app/prometheus_text.h"
#include "base/units.h"
#include "monitor/alert.h"
#include "monitor/burn_rules.h"

namespace candor::app {
namespace {

// A rate over days reads many samples and changes slowly. Below Prometheus' five minutes of lookback, so that
// what was recorded is still there when somebody asks.
constexpr Duration kLongWindow = 6h;
constexpr Duration kLongInterval = 2min;
// How long silence, a dead feed or a degraded node may be a hiccup. A restart takes less.
constexpr Duration kSilencePending = 15min;
constexpr Duration kFeedPending = 2min;
constexpr Duration kTroublePending = 5min;
// Proofs are renewed several times a second; below this a limit would fire on the proofs' own rhythm.
constexpr Duration kLateLeast = 1s;

using Texts = PrometheusRule::Texts;

// Prometheus writes durations as we do, from milliseconds up; whole seconds are fine enough for a window.
Duration whole_seconds(Duration window) { return std::chrono::ceil<std::chrono::seconds>(window); }
std::string window_text(Duration window) { return format_duration(whole_seconds(window)); }

std::string selector(const Texts& labels) {
  std::string out;
  for (const auto& [name, value] : labels)
    out += fmt::format("{}{}={}", out.empty() ? "{" : ",", name, promql_string(value));
  return out + "}";
}

std::string percent(double fraction) { return fmt::format("{:.3g} %", fraction * 100.0); }

class RuleWriter {
 public:
  RuleWriter(const Config& config, Duration shortest) : config_(config), shortest_(shortest) {}

  [[nodiscard]] RuleFile write() {
    RuleFile out{config_.node.region, {}};
    RuleGroup budgets{"candor-budgets", {}, {}};
    for (const FeatureConfig& feature : config_.features)
      if (feature.budget && !feature.is_plain()) add_feature(feature, budgets.rules);
    if (budgets.rules.empty()) return out;
    add_ratios(out);
    out.groups.push_back(std::move(budgets));
    out.groups.push_back(health());
    return out;
  }

 private:
  // ---- what is recorded: for all features of the region that are measured ----

  void add_ratios(RuleFile& out) const {
    RuleGroup quick{"candor-ratios", {}, {}}, slow{"candor-ratios-long", kLongInterval, {}};
    for (const Duration window : windows_) {
      auto& rules = (window >= kLongWindow ? slow : quick).rules;
      rules.push_back(ratio(window_text(window)));
      rules.push_back(effective(window_text(window)));
    }
    for (RuleGroup* group : {&quick, &slow})
      if (!group->rules.empty()) out.groups.push_back(std::move(*group));
  }
  [[nodiscard]] std::string sum_of(std::string_view how, std::string_view metric,
                                   std::string_view window) const {
    return fmt::format("sum by (feature, region, by) ({}({}{}[{}]))", how, metric,
                       selector({{"region", config_.node.region}}), window);
  }
  // Nothing where nothing was judged: 0 / 0 would be a number that is not one.
  [[nodiscard]] PrometheusRule ratio(const std::string& window) const {
    PrometheusRule rule;
    rule.record = ratio_name(window);
    rule.expr = fmt::format("{}\n/ ({} > 0)", sum_of("rate", "candor_stale_reads_total", window),
                            sum_of("rate", "candor_checked_reads_total", window));
    return rule;
  }
  // How many reads of weight 1 would tell as much (monitor/tally.h).
  [[nodiscard]] PrometheusRule effective(const std::string& window) const {
    PrometheusRule rule;
    rule.record = effective_name(window);
    rule.expr = fmt::format("{} ^ 2\n/ ({} > 0)", sum_of("increase", "candor_checked_reads_total", window),
                            sum_of("increase", "candor_checked_reads_squares_total", window));
    return rule;
  }
  static std::string ratio_name(std::string_view window) {
    return fmt::format("candor:stale_reads:ratio_rate{}", window);
  }
  static std::string effective_name(std::string_view window) {
    return fmt::format("candor:checked_reads:effective{}", window);
  }

  // ---- alerts of one budget ----

  void add_feature(const FeatureConfig& feature, std::vector<PrometheusRule>& out) {
    const Budget budget = budget_of(*feature.budget);
    const auto rules = burn_rules(budget, shortest_);
    for (const BudgetState severity : {BudgetState::kPage, BudgetState::kTicket})
      add_burn(feature, budget, rules, severity, out);
    out.push_back(not_measured(feature, rules.front().long_window));
    out.push_back(lost(feature));
  }

  void add_burn(const FeatureConfig& feature, const Budget& budget,
                const std::array<BurnRule, kBurnRules>& rules, BudgetState severity,
                std::vector<PrometheusRule>& out) {
    std::string any, words;
    Duration hold{0};
    for (const BurnRule& rule : rules) {
      if (rule.severity != severity || rule.rate <= 0.0) continue;
      windows_.insert({whole_seconds(rule.long_window), whole_seconds(rule.short_window)});
      any += fmt::format("{}  (\n{}  )\n", any.empty() ? "" : "  or\n", burns(feature, budget, rule));
      words += fmt::format("{}{:.3g} over {} and {}", words.empty() ? "" : ", or ", rule.rate,
                           window_text(rule.long_window), window_text(rule.short_window));
      hold = std::max(hold, whole_seconds(rule.hold));
    }
    if (any.empty()) return;  // the budget allows everything
    PrometheusRule rule = alert(feature, "CandorStalenessBudget", budget_state_name(severity));
    rule.expr = fmt::format("max without (by) (\n{})", any);
    rule.keep_firing = hold;
    describe(rule,
             subject(feature) +
                 ": stale reads burn the budget {{ printf \"%.3g\" $value }} times as fast as it allows",
             fmt::format("Reads may be staler than {} for {} of reads over {}. The burn rate is at least {}, "
                         "seen from the change stream or checked against the origin.",
                         format_duration(budget.max_staleness), percent(budget.stale_fraction),
                         format_duration(budget.window), words),
             feature.budget->impact);
    out.push_back(std::move(rule));
  }

  // Both windows burn, in one way of judging, and enough was judged to say so (tells_enough()).
  [[nodiscard]] std::string burns(const FeatureConfig& feature, const Budget& budget,
                                  const BurnRule& rule) const {
    const std::string of = selector(identity(feature));
    const std::string over_long = window_text(rule.long_window);
    std::string out = fmt::format("    {} >= {}\n    and {} >= {}\n", burn(of, budget, rule.long_window),
                                  rule.rate, burn(of, budget, rule.short_window), rule.rate);
    if (budget.stale_fraction > 0.0)
      out += fmt::format("    and {0}{1} >= {2}\n    and {3}{1} * {0}{1} >= {4}\n", effective_name(over_long),
                         of, kReadsLeast, ratio_name(over_long), kStaleLeast);
    return out;
  }
  // As burn() of monitor/burn_rules.h: a budget that allows none counts stale reads instead of their share.
  [[nodiscard]] static std::string burn(const std::string& of, const Budget& budget, Duration window) {
    const std::string over = window_text(window);
    if (budget.stale_fraction > 0.0)
      return fmt::format("{}{} / {}", ratio_name(over), of, budget.stale_fraction);
    const double share =
        std::chrono::duration<double>(whole_seconds(window)) / std::chrono::duration<double>(budget.window);
    return fmt::format("{0}{1} * {2}{1} / {3:.6g}", ratio_name(over), of, effective_name(over), share);
  }

  // Somebody reads it and nothing is judged, or no node says anything of the budget at all.
  [[nodiscard]] PrometheusRule not_measured(const FeatureConfig& feature, Duration window) const {
    const std::string of = selector(identity(feature));
    const std::string over = window_text(window);
    PrometheusRule rule = alert(feature, "CandorBudgetNotMeasured", "ticket");
    rule.expr = fmt::format(
        "(\n  sum by (feature, region) (increase(candor_reads_total{0}[{1}])) >= {2}\n"
        "  unless sum by (feature, region) (increase(candor_checked_reads_total{0}[{1}])) > 0\n)\n"
        "or absent(candor_budget_state{0})",
        of, over, kReadsLeast);
    rule.pending = kSilencePending;
    describe(rule, subject(feature) + ": the budget is not measured",
             fmt::format("It is read, and no read was judged within {}; or no node that Prometheus reaches "
                         "says anything of it. Silence is not freshness.",
                         over),
             feature.budget->impact);
    return rule;
  }

  [[nodiscard]] PrometheusRule lost(const FeatureConfig& feature) const {
    PrometheusRule rule = alert(feature, "CandorLostInvalidations", "ticket");
    auto of_sweep = identity(feature);
    of_sweep.emplace_back("outcome", "lost");
    rule.expr = fmt::format(
        "max by (feature, region) (max_over_time(candor_lost_fraction{0}[{2}])) > 0\n"
        "or sum by (feature, region) (increase(candor_reconciled_entries_total{1}[{2}])) > 0",
        selector(identity(feature)), selector(of_sweep), window_text(AlertBook::kLostQuiet));
    describe(rule, subject(feature) + ": invalidations are lost",
             "Reads that were checked against the origin, or entries that the sweep looked at, were stale by "
             "changes that the stream never told of.",
             feature.budget->impact);
    return rule;
  }

  // ---- alerts of what the budgets stand on ----

  [[nodiscard]] RuleGroup health() const {
    RuleGroup out{"candor-health", {}, {}};
    const std::string region = template_text(config_.node.region);
    PrometheusRule degraded = alert("CandorDegraded", "ticket", {{"region", config_.node.region}});
    degraded.expr = fmt::format("max by (region, reason) (candor_degraded{}) > 0",
                                selector({{"region", config_.node.region}}));
    degraded.pending = kTroublePending;
    describe(degraded, region + ": degraded: {{ $labels.reason }}",
             "Something behind a node fails; docs/operations/README.md says what each reason means.", "");
    out.rules.push_back(std::move(degraded));
    for (const OriginConfig& origin : config_.origins) add_origin(origin, out.rules);
    return out;
  }

  void add_origin(const OriginConfig& origin, std::vector<PrometheusRule>& out) const {
    bool is_watched = false;
    Duration limit = Duration::max();
    for (const FeatureConfig& feature : config_.features) {
      if (feature.origin != origin.name || !feature.watch) continue;
      is_watched = true;
      if (feature.budget) limit = std::min(limit, feature.budget->max_staleness);
    }
    if (!is_watched) return;
    const std::string who =
        fmt::format("origin {} in {}", template_text(origin.name), template_text(config_.node.region));
    const Texts of = {{"origin", origin.name}, {"region", config_.node.region}};
    PrometheusRule dead = alert("CandorChangeFeedDead", "ticket", of);
    dead.expr = fmt::format("absent(candor_feed_state{})", selector({of[0], of[1], {"state", "leading"}}));
    dead.pending = kFeedPending;
    describe(
        dead, who + ": nobody reads its changes",
        "No node leads the change feed: what other programs write is not heard of, and values live until "
        "their ttl ends.",
        "");
    out.push_back(std::move(dead));
    if (limit == Duration::max()) return;
    limit = std::max(limit, kLateLeast);
    PrometheusRule late = alert("CandorChangesLate", "ticket", of);
    late.expr = fmt::format("max by (origin, region) (candor_fresh_within_seconds{}) > {}", selector(of),
                            to_seconds(limit));
    late.pending = kTroublePending;
    describe(
        late, who + ": changes arrive {{ $value | humanizeDuration }} late",
        fmt::format("A node cannot prove that all changes older than {} are applied there, which is what "
                    "the strictest budget of this origin allows.",
                    format_duration(limit)),
        "");
    out.push_back(std::move(late));
  }

  // ---- parts ----

  [[nodiscard]] Texts identity(const FeatureConfig& feature) const {
    return {{"feature", feature.name}, {"region", config_.node.region}};
  }
  [[nodiscard]] std::string subject(const FeatureConfig& feature) const {
    return fmt::format("{} in {}", template_text(feature.name), template_text(config_.node.region));
  }
  // What an alert is about stands in its labels as well as in its series: alerts of one name are then told
  // apart by whoever reads the file alone.
  [[nodiscard]] static PrometheusRule alert(std::string name, std::string_view severity, const Texts& about) {
    PrometheusRule rule;
    rule.alert = std::move(name);
    rule.labels.emplace_back("severity", severity);
    for (const auto& [label, text] : about) rule.labels.emplace_back(label, template_text(text));
    return rule;
  }
  [[nodiscard]] PrometheusRule alert(const FeatureConfig& feature, std::string name,
                                     std::string_view severity) const {
    PrometheusRule rule = alert(std::move(name), severity, identity(feature));
    if (!feature.budget->owner.empty())
      rule.labels.emplace_back("owner", template_text(feature.budget->owner));
    return rule;
  }
  // `summary` and `description` are templates, `impact` is not.
  void describe(PrometheusRule& rule, std::string summary, std::string description,
                const std::string& impact) const {
    if (!impact.empty()) rule.annotations.emplace_back("impact", template_text(impact));
    rule.annotations.emplace_back("summary", std::move(summary));
    rule.annotations.emplace_back("description", std::move(description));
    std::string anchor = rule.alert;
    std::ranges::transform(anchor, anchor.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? c | 0x20 : c; });
    rule.annotations.emplace_back("runbook", "docs/alerting.md#" + anchor);
    if (!config_.alerts.runbook.empty())
      rule.annotations.emplace_back("runbook_url", template_text(config_.alerts.runbook));
  }

  const Config& config_;
  Duration shortest_;
  std::set<Duration> windows_;
};

}  // namespace

RuleFile alert_rules(const Config& config, Duration scrape_interval) {
  return RuleWriter(config, std::max(kShortestWindow, kScrapesLeast * scrape_interval)).write();
}

}  // namespace candor::app
