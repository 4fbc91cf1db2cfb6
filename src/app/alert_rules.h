// What Prometheus has to record and to alert on, so that it judges the budgets of a configuration as a node
// does (monitor/burn_rules.h), over all nodes of the region. Pure, and the same for the same configuration.
//
// A way of judging (by="stream", by="origin") is never added to the other: reads judged in both would count
// twice. Each has ratios of its own, and the worse one decides, as in monitor/budget_book.h.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "app/config.h"

namespace candor::app {

struct PrometheusRule {
  std::string record, alert;  // one of the two
  std::string expr;           // lines without outside text that YAML could read as anything else
  Duration pending{0};        // `for`
  Duration keep_firing{0};    // `keep_firing_for`
  using Texts = std::vector<std::pair<std::string, std::string>>;
  Texts labels, annotations;  // Go templates
};

struct RuleGroup {
  std::string name;
  Duration interval{0};  // zero: the server's
  std::vector<PrometheusRule> rules;
};

struct RuleFile {
  std::string region;
  std::vector<RuleGroup> groups;
  [[nodiscard]] bool has_budgets() const { return !groups.empty(); }
};

// A rate needs a few samples: windows are at least this many scrapes long.
inline constexpr int kScrapesLeast = 4;

// No groups without a budget.
[[nodiscard]] RuleFile alert_rules(const Config& config, Duration scrape_interval);

[[nodiscard]] std::string rules_yaml(const RuleFile& file);
// The same structure; Prometheus reads it as well.
[[nodiscard]] std::string rules_json(const RuleFile& file);

}  // namespace candor::app
