#include <gtest/gtest.h>

#include "app/config.h"

namespace candor::app {
namespace {

constexpr const char* kReloadedShop = R"(
[origins.shop]
url = "sqlite:shop.db"
[features.profile]
origin = "shop"
load = "select body from profile where id = :key"
ttl = "60s"
)";

Config read(std::string text) {
  ConfigReading reading = read_config_text(text, "f");
  for (const Finding& finding : reading.findings) EXPECT_FALSE(finding.is_error()) << finding.to_string();
  return std::move(reading.config);
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  return text.replace(text.find(what), what.size(), with);
}

TEST(ReloadChangesTest, ARenamedFeatureIsTwoLinesNotOneForEachKey) {
  const auto changes = compare_configs(read(kReloadedShop),
                                       read(replaced(kReloadedShop, "features.profile", "features.person")));
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].to_string(),
            "features.profile is no longer in the file, which needs a restart; until then it stays as it is");
  EXPECT_EQ(changes[1].to_string(), "features.person is new and needs a restart");
}

TEST(ReloadChangesTest, ARenamedOriginIsReportedWholeAndTheFeatureThatNamesItByItsKey) {
  std::string text = replaced(kReloadedShop, "origins.shop", "origins.store");
  text = replaced(text, "origin = \"shop\"", "origin = \"store\"");
  const auto changes = compare_configs(read(kReloadedShop), read(text));
  ASSERT_EQ(changes.size(), 3U);
  EXPECT_EQ(changes[0].key, "origins.shop");
  EXPECT_EQ(changes[1].key, "origins.store");
  EXPECT_EQ(changes[2].to_string(),
            "features.profile.origin = \"store\" needs a restart; \"shop\" stays in force");
}

TEST(ReloadChangesTest, AFeatureWhoseNameBeginsWithAnothersIsItsOwn) {
  const std::string two = std::string(kReloadedShop) + "[features.profile2]\norigin = \"none\"\n";
  const std::string changed = replaced(two, "60s", "5s");
  const auto changes = compare_configs(read(kReloadedShop), read(changed));
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].to_string(), "features.profile2 is new and needs a restart");
  EXPECT_EQ(changes[1].to_string(), "features.profile.ttl is now \"5s\" (was \"60s\")");
}

TEST(ReloadChangesTest, WhatProtectsAnOriginAndWhoGoesFirstApplyAtOnce) {
  const std::string text = std::string(kReloadedShop) + "priority = \"low\"\n";
  const std::string changed =
      replaced(replaced(text, "\"low\"", "\"critical\""), "[features.profile]",
               "breaker = false\nadaptive_concurrency = false\nmax_concurrency = 8\n[features.profile]");
  const Config after = read(changed);
  std::string lines;
  for (const ConfigChange& change : compare_configs(read(text), after)) lines += change.to_string() + "\n";
  EXPECT_EQ(lines,
            "features.profile.priority is now \"critical\" (was \"low\")\n"
            "origins.shop.adaptive_concurrency is now \"false\" (was \"true\")\n"
            "origins.shop.breaker is now \"false\" (was \"true\")\n"
            "origins.shop.max_concurrency = \"8\" needs a restart; \"32\" stays in force\n");
  FeatureConfig held = read(text).features[0];
  adopt_reloadable(held, after.features[0]);
  EXPECT_EQ(feature_policy(held).priority, Priority::kCritical);
}

// Its ttl does not change either, though ttl alone could: the feature keeps its whole policy until then.
TEST(ReloadChangesTest, AFeatureThatLosesItsOriginIsOneLineAndNothingOfItApplies) {
  const std::string plain =
      "[origins.shop]\nurl = \"sqlite:shop.db\"\n[features.profile]\norigin = \"none\"\nttl = \"5s\"\n";
  const auto changes = compare_configs(read(kReloadedShop), read(plain));
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_FALSE(changes[0].applies_now);
  EXPECT_EQ(changes[0].to_string(),
            "features.profile.origin = \"none\" needs a restart; until then \"shop\" stays in force, and "
            "nothing of this feature changes");
}

TEST(ReloadChangesTest, AFeatureThatGetsAnOriginIsOneLine) {
  const std::string plain =
      "[origins.shop]\nurl = \"sqlite:shop.db\"\n[features.profile]\norigin = \"none\"\n";
  const auto changes = compare_configs(read(plain), read(kReloadedShop));
  ASSERT_EQ(changes.size(), 1U);
  EXPECT_EQ(changes[0].key, "features.profile.origin");
}

}  // namespace
}  // namespace candor::app
