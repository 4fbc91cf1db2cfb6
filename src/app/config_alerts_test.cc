// The section [alerts], as read and checked.
#include <gtest/gtest.h>

#include "app/config.h"

namespace candor::app {
namespace {

std::vector<std::string> findings(const std::string& text) {
  std::vector<std::string> out;
  for (const Finding& finding : read_config_text(text, "candor.toml").findings)
    out.push_back(finding.to_string());
  return out;
}
using Lines = std::vector<std::string>;

TEST(ConfigAlertsTest, WithoutTheSectionNobodyIsTold) {
  const Config config = read_config_text("", "candor.toml").config;
  EXPECT_TRUE(config.alerts.webhook.empty());
  EXPECT_EQ(config.alerts.repeat, 4h);
  EXPECT_EQ(config.alerts.refresh, 1min);
}

TEST(ConfigAlertsTest, IsRead) {
  const std::string text = R"([alerts]
webhook = ["http://a:9093", "https://user@b"]
repeat = "1h"
refresh = "30s"
runbook = "https://wiki/stale"
)";
  EXPECT_EQ(findings(text), Lines{});
  const Config config = read_config_text(text, "candor.toml").config;
  EXPECT_EQ(config.alerts.webhook, (Lines{"http://a:9093", "https://user@b"}));
  EXPECT_EQ(config.alerts.repeat, 1h);
  EXPECT_EQ(config.alerts.refresh, 30s);
  EXPECT_EQ(config.alerts.runbook, "https://wiki/stale");
}

TEST(ConfigAlertsTest, EveryMistakeHasItsLineAndNoSecret) {
  EXPECT_EQ(findings(R"([alerts]
webhook = ["alertmanager:9093", "http://u:s3cret@host:x/T0KEN"]
repeat = "1s"
refresh = "2d"
runbook = "wiki"
)"),
            (Lines{"candor.toml:2: alerts.webhook: \"alertmanager\" is no address of a web server; write "
                   "http://HOST:PORT or https://HOST of an Alertmanager",
                   "candor.toml:2: alerts.webhook: \"http://host:x\" has no HOST or HOST:PORT; write "
                   "http://HOST:PORT or https://HOST of an Alertmanager",
                   "candor.toml:3: alerts.repeat: 1s would fill the log; use 1m or more",
                   "candor.toml:4: alerts.refresh: 2d is outside the limits; use 1s to 1d",
                   "candor.toml:5: alerts.runbook: must be an address that a person can open, https://…"}));
}

TEST(ConfigAlertsTest, APasswordWithoutAUserHasNoEffect) {
  EXPECT_EQ(
      findings("[alerts]\nwebhook = [\"http://a\"]\npassword_file = \"secret\"\n"),
      Lines{"candor.toml:3: warning: alerts.password_file: has no effect: no address names a user, such as "
            "http://USER@HOST:PORT"});
}

TEST(ConfigAlertsTest, AReloadShowsNoAddress) {
  const Config before = read_config_text("", "candor.toml").config;
  const Config after =
      read_config_text("[alerts]\nwebhook = [\"http://u:s3cret@a/T0KEN\"]\n", "candor.toml").config;
  const auto changes = compare_configs(before, after);
  ASSERT_EQ(changes.size(), 1u);
  EXPECT_EQ(changes[0].key, "alerts.webhook");
  EXPECT_FALSE(changes[0].applies_now);
  EXPECT_EQ(changes[0].to_string().find("s3cret"), std::string::npos);
  EXPECT_EQ(changes[0].to_string().find("T0KEN"), std::string::npos);
}

}  // namespace
}  // namespace candor::app
