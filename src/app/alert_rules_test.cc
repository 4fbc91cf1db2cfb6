// What stands in the rules. What Prometheus makes of them: tests/e2e/test_rules.py.
#include "app/alert_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/units.h"
#include "monitor/burn_rules.h"

namespace candor::app {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* kShop = R"([node]
region = "eu"
[origins.shop]
url = "sqlite:shop.db"
)";

std::string feature(const std::string& name, const std::string& budget, const std::string& more = "") {
  return "[features." + name + "]\norigin = \"shop\"\nload = \"select body from item where id = :key\"\n" +
         more + "\n[features." + name + ".budget]\nmax_staleness = \"5s\"\n" + budget + "\n";
}

RuleFile rules_of(const std::string& text, Duration scrape_interval = 15s) {
  const ConfigReading reading = read_config_text(kShop + text, "candor.toml");
  for (const Finding& finding : reading.findings) EXPECT_FALSE(finding.is_error()) << finding.to_string();
  return alert_rules(reading.config, scrape_interval);
}

std::vector<PrometheusRule> named(const RuleFile& file, const std::string& name) {
  std::vector<PrometheusRule> out;
  for (const RuleGroup& group : file.groups)
    for (const PrometheusRule& rule : group.rules)
      if (rule.alert == name || rule.record == name) out.push_back(rule);
  return out;
}

std::set<std::string> recorded(const RuleFile& file) {
  std::set<std::string> out;
  for (const RuleGroup& group : file.groups)
    for (const PrometheusRule& rule : group.rules)
      if (!rule.record.empty()) {
        EXPECT_TRUE(out.insert(rule.record).second) << rule.record;
      }
  return out;
}

TEST(AlertRulesTest, WithoutABudgetThereIsNothing) {
  const RuleFile file =
      rules_of("[features.a]\norigin = \"shop\"\nload = \"select body from item where id = :key\"\n");
  EXPECT_FALSE(file.has_budgets());
}

TEST(AlertRulesTest, TheStandardWindowsAreRecordedOnceForAllBudgets) {
  const RuleFile file = rules_of(feature("a", "") + feature("b", "stale_fraction = 0.01"));
  std::set<std::string> wanted;
  for (const char* window : {"5m", "30m", "1h", "6h", "3d"}) {
    wanted.insert("candor:stale_reads:ratio_rate" + std::string(window));
    wanted.insert("candor:checked_reads:effective" + std::string(window));
  }
  EXPECT_EQ(recorded(file), wanted);
}

TEST(AlertRulesTest, TheAlertsAskWhatTheDaemonAsks) {
  const Budget budget{.max_staleness = 5s, .stale_fraction = 0.001, .window = 30 * 24h};
  const RuleFile file = rules_of(feature("a", ""));
  const auto burns = named(file, "CandorStalenessBudget");
  ASSERT_EQ(burns.size(), 2U);
  for (const BurnRule& rule : burn_rules(budget)) {
    const PrometheusRule& alert = burns[rule.severity == BudgetState::kPage ? 0 : 1];
    for (const Duration window : {rule.long_window, rule.short_window})
      EXPECT_THAT(alert.expr, HasSubstr("candor:stale_reads:ratio_rate" + format_duration(window) +
                                        "{feature=\"a\",region=\"eu\"} / 0.001 >= " +
                                        (rule.rate == 14.4  ? "14.4"
                                         : rule.rate == 6.0 ? "6"
                                                            : "1")));
    EXPECT_GE(alert.keep_firing, rule.hold);
    EXPECT_EQ(alert.pending, Duration::zero());
  }
  EXPECT_THAT(burns[0].expr, HasSubstr("effective1h{feature=\"a\",region=\"eu\"} >= 100"));
}

TEST(AlertRulesTest, AShortBudgetHasShortWindowsThoughNoneBelowFourScrapes) {
  EXPECT_THAT(recorded(rules_of(feature("a", "window = \"7d\""), 15s)),
              testing::Contains("candor:stale_reads:ratio_rate14m"));
  for (const std::string& name : recorded(rules_of(feature("a", "window = \"1h\""), 1min))) {
    const std::string window = name.substr(name.find_last_not_of("0123456789smhd") + 1);
    EXPECT_GE(parse_duration(window).value(), 4min) << name;
  }
}

TEST(AlertRulesTest, WhatAllowsEverythingCannotBurn) {
  const RuleFile file = rules_of(feature("a", "stale_fraction = 1.0"));
  EXPECT_TRUE(named(file, "CandorStalenessBudget").empty());
  EXPECT_EQ(named(file, "CandorBudgetNotMeasured").size(), 1U);
}

TEST(AlertRulesTest, OwnerAndRunbookAreOnlyThereWhenSomebodyNamedThem) {
  const RuleFile bare = rules_of(feature("a", ""));
  EXPECT_THAT(rules_yaml(bare), Not(HasSubstr("owner:")));
  EXPECT_THAT(rules_yaml(bare), Not(HasSubstr("runbook_url:")));
  const RuleFile named_all = rules_of("[alerts]\nrunbook = \"https://wiki/stale\"\n" +
                                      feature("a", "owner = \"growth\"\nimpact = \"old\""));
  EXPECT_THAT(rules_yaml(named_all), HasSubstr("          owner: \"growth\"\n"));
  EXPECT_THAT(rules_yaml(named_all), HasSubstr("          impact: \"old\"\n"));
  EXPECT_THAT(rules_yaml(named_all), HasSubstr("          runbook_url: \"https://wiki/stale\"\n"));
}

TEST(AlertRulesTest, AFeedThatNobodyNeedsIsNotWatched) {
  const std::string watch = "watch = { table = \"item\", key = \"id\" }";
  EXPECT_TRUE(named(rules_of(feature("a", "")), "CandorChangeFeedDead").empty());
  const RuleFile watched = rules_of(feature("a", "", watch) + feature("b", "", watch));
  EXPECT_EQ(named(watched, "CandorChangeFeedDead").size(), 1U);
  ASSERT_EQ(named(watched, "CandorChangesLate").size(), 1U);
  EXPECT_THAT(named(watched, "CandorChangesLate")[0].expr, HasSubstr("> 5"));
}

}  // namespace
}  // namespace candor::app
