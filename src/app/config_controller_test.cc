// The section [controller], as read and checked, and what an owner must write before writes are gathered.
#include <gtest/gtest.h>

#include "app/config.h"
#include "controller/decide.h"

namespace candor::app {
namespace {

using Lines = std::vector<std::string>;

Lines controller_findings(const std::string& text) {
  Lines out;
  for (const Finding& finding : read_config_text(text, "candor.toml").findings)
    out.push_back(finding.to_string());
  return out;
}

// The same limits stand in the code, for the tests of the controller: they must not drift apart.
TEST(ConfigControllerTest, DefaultsAreTheControllersOwn) {
  const ControllerConfig config = read_config_text("", "candor.toml").config.controller;
  const ControlLimits limits;
  EXPECT_EQ(config.added_loads_max, limits.added_load_max);
  EXPECT_EQ(config.added_loads_share, limits.added_load_share);
  EXPECT_EQ(config.ttl_min, 1s);
  EXPECT_EQ(limits.ttl_seconds_min, 1.0);
  EXPECT_EQ(config.write_wait_max, 100ms);
  EXPECT_EQ(limits.write_wait_seconds_max, 0.1);
  EXPECT_EQ(config.batch_max, 5s);
  EXPECT_EQ(limits.batch_seconds_max, 5.0);
  EXPECT_EQ(config.origin_reads_max, limits.origin_fraction_max);
  EXPECT_EQ(config.outside_for, limits.outside_for);
  EXPECT_EQ(config.cooldown, limits.cooldown);
  EXPECT_EQ(config.calm, limits.calm);
  EXPECT_EQ(config.actions_max, limits.actions_max);
  EXPECT_EQ(config.actions_window, limits.actions_window);
  EXPECT_EQ(config.headroom, limits.headroom);
  EXPECT_EQ(config.undo_predicted, limits.undo_predicted);
  EXPECT_EQ(config.undo_measured, limits.undo_measured);
  EXPECT_EQ(config.advice_period, limits.advice_period);
}

TEST(ConfigControllerTest, IsRead) {
  const std::string text = "[controller]\nadded_loads_max = 2.5\nadded_loads_share = 0.5\ncalm = \"1m\"\n";
  EXPECT_EQ(controller_findings(text), Lines{});
  const ControllerConfig config = read_config_text(text, "candor.toml").config.controller;
  EXPECT_EQ(config.added_loads_max, 2.5);
  EXPECT_EQ(config.added_loads_share, 0.5);
  EXPECT_EQ(config.calm, 1min);
}

TEST(ConfigControllerTest, WhatCannotBeHasItsLine) {
  EXPECT_EQ(
      controller_findings(R"([controller]
added_loads_max = 1e9
added_loads_share = 2
ttl_min = "0s"
calm = "10ms"
actions_max = 0
undo_measured = 0
undo_predicted = 0.6
actions_window = "1s"
cap = 3
)"),
      (Lines{
          "candor.toml:2: controller.added_loads_max: 1000000000 is outside the limits; use 0 to 1000000",
          "candor.toml:3: controller.added_loads_share: 2 is outside the limits; use 0 to 1",
          "candor.toml:4: controller.ttl_min: 0s: a ttl that short is no cache; use 1ms or more",
          "candor.toml:5: controller.calm: 10ms: what is pulled would be given back at once; use 1s or "
          "more",
          "candor.toml:6: controller.actions_max: 0 is outside the limits; use 1 to 1000",
          "candor.toml:7: controller.undo_measured: 0 is never measured: nothing would be given back; use "
          "more than 0",
          "candor.toml:8: controller.undo_predicted: 0.6 is not below 1 - headroom = 0.55: what was just "
          "pulled could be given back, and be pulled again; use less",
          "candor.toml:9: controller.actions_window: 1s: it would limit nothing; use 1m or more",
          "candor.toml:10: controller.cap: unknown key; did you mean \"calm\"?",
      }));
}

TEST(ConfigControllerTest, AReloadAppliesAtOnce) {
  const Config before = read_config_text("", "f").config;
  const Config after = read_config_text("[controller]\nadded_loads_max = 7\n", "f").config;
  const auto changes = compare_configs(before, after);
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].to_string(), "controller.added_loads_max is now \"7\" (was \"100\")");
}

TEST(ConfigWarmTest, PeersNeedTheirTokenAndAnAddress) {
  EXPECT_TRUE(read_config_text("[warm]\npeers = [\"127.0.0.1:8390\"]\n", "f").has_errors());
  EXPECT_FALSE(
      read_config_text("[warm]\npeers = [\"127.0.0.1:8390\"]\npeer_token_file = \"t\"\n", "f").has_errors());
  EXPECT_TRUE(
      read_config_text("[warm]\npeers = [\"http://a\"]\npeer_token_file = \"t\"\n", "f").has_errors());
  EXPECT_TRUE(read_config_text("[warm]\norigin_share = 0.0\n", "f").has_errors());
}

TEST(ConfigReconcileTest, PassesDoNotFollowEachOtherWithoutAPause) {
  EXPECT_TRUE(read_config_text("[reconcile]\nperiod = \"0s\"\n", "f").has_errors());
  EXPECT_FALSE(read_config_text("[reconcile]\nperiod = \"1s\"\n", "f").has_errors());
}

// The log is opened at the start, so that leave which is given anew has to wait for one.
TEST(ConfigControllerTest, LeaveToGatherIsTakenBackAtOnceAndGivenByARestart) {
  FeatureConfig with, without;
  with.write_behind = BatchingConfig{};
  with.write_behind->window = 2s;
  FeatureConfig held = with;
  adopt_reloadable(held, without);
  EXPECT_FALSE(held.write_behind);
  adopt_reloadable(held, with);
  EXPECT_FALSE(held.write_behind);
  held = with;
  FeatureConfig longer = with;
  longer.write_behind->window = 3s;
  adopt_reloadable(held, longer);
  ASSERT_TRUE(held.write_behind);
  EXPECT_EQ(held.write_behind->window, 3s);
}

std::string why_refused(const std::string& url, const std::string& feature,
                        const std::string& control = "auto") {
  const Config config =
      read_config_text("[origins.shop]\nurl = \"" + url +
                           "\"\n[features.item]\norigin = \"shop\"\nload = \"select 1 where :key\"\n" +
                           feature + "\n[features.item.budget]\nmax_staleness = \"5s\"\ncontrol = \"" +
                           control + "\"\n",
                       "f")
          .config;
  return why_not_gathered(*config.find_feature("item"), config.find_origin("shop"));
}

TEST(ConfigControllerTest, WritesAreGatheredOnlyWhereTheOwnerAllowsAndNothingForbids) {
  const std::string store = "store = \"insert into t values (:key, :value)\"\n";
  const std::string allows = store + "write_behind = { window = \"1s\" }\n";
  EXPECT_EQ(why_refused("sqlite:shop.db", allows), "");
  EXPECT_EQ(why_refused("postgresql://app@db/shop", allows), "");
  EXPECT_NE(why_refused("sqlite:shop.db", store), "");
  EXPECT_NE(why_refused("sqlite:shop.db", allows, "advise"), "");
  EXPECT_NE(why_refused("sqlite:shop.db", "write_behind = { window = \"1s\" }\n"), "");
  EXPECT_NE(why_refused("sqlite:shop.db", allows + "write = \"behind\"\n"), "");
  EXPECT_NE(why_refused("sqlite:shop.db", allows + "consistency = \"origin\"\n"), "");
  EXPECT_NE(why_refused("sqlite:shop.db", allows + "consistency = \"bounded\"\n"), "") << "without watch";
  EXPECT_NE(why_refused("redis://127.0.0.1:6379/0", allows), "");
}

}  // namespace
}  // namespace candor::app
