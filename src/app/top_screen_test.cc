#include "app/top_screen.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace candor::app {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

json status_at(double reads) {
  return {{"node", "eu-1"},
          {"region", "eu"},
          {"version", "0.1.0"},
          {"uptime_seconds", 65.0},
          {"ready", true},
          {"degraded", json::array()},
          {"connections", {{"open", 3}, {"commands", reads}}},
          {"tiers", {{{"tier", "l1"}, {"bytes", 1 << 20}, {"limit_bytes", 1 << 22}}}},
          {"features",
           {{{"name", "item"},
             {"reads", reads},
             {"reads_by_tier", {{"l1", reads * 0.9}, {"l2", 0}, {"origin", reads * 0.1}}},
             {"loads", {{"ok", reads * 0.1}}},
             {"entries", 5}}}}};
}

TopFacts facts_of(const json& now, const json& before) {
  TopFacts facts;
  facts.status = &now;
  facts.before = &before;
  facts.seconds = 2.0;
  return facts;
}

TEST(TopScreenTest, RatesAreOfWhatCameBetween) {
  const json now = status_at(3000), before = status_at(1000);
  const auto lines = top_screen(facts_of(now, before), 0, 200);
  EXPECT_THAT(lines, Contains(HasSubstr("item                      1000   90.0%")));
  EXPECT_THAT(lines, Contains(HasSubstr("l1      1 MiB of 4 MiB (25%)")));
}

TEST(TopScreenTest, ADaemonThatStartedAnewHasNoRate) {
  const json now = status_at(10), before = status_at(1000);
  EXPECT_THAT(top_screen(facts_of(now, before), 0, 200),
              Contains(HasSubstr("item                         -")));
}

TEST(TopScreenTest, FitsTheWindow) {
  json now = status_at(3000);
  for (int i = 0; i < 100; ++i) now["features"].push_back({{"name", "f" + std::to_string(i)}});
  const json before = status_at(1000);
  for (const std::size_t columns : {10UL, 40UL, 80UL}) {
    const auto lines = top_screen(facts_of(now, before), 24, columns);
    EXPECT_EQ(lines.size(), 24U);
    for (const std::string& line : lines)
      EXPECT_LE(std::ranges::count_if(line, [](char c) { return (c & 0xC0) != 0x80; }),
                static_cast<std::ptrdiff_t>(columns));
  }
}

TEST(TopScreenTest, WhateverAnswersTheScreenStands) {
  for (const json& odd : {json(nullptr), json::array(), json{{"tiers", 7}, {"features", {1, "x", nullptr}}},
                          json{{"node", {{"a", 1}}}, {"degraded", "yes"}, {"river", {{"origins", {3}}}}}}) {
    TopFacts facts = facts_of(odd, odd);
    facts.budgets = facts.levers = facts.warm = facts.hot_keys = &odd;
    EXPECT_FALSE(top_screen(facts, 24, 80).empty());
  }
}

TEST(TopScreenTest, NothingFromOutsideDrivesTheTerminal) {
  json now = status_at(1);
  now["node"] = "\x1b]0;title\x07";
  now["degraded"] = {"\x1b[31m"};
  const json hot = {
      {"keys", {{{"feature", "item"}, {"key", "\x1b[2J\u202e"}, {"reads", {{"per_second", 1}}}}}}};
  TopFacts facts = facts_of(now, now);
  facts.hot_keys = &hot;
  for (const std::string& line : top_screen(facts, 0, 200)) EXPECT_THAT(line, Not(HasSubstr("\x1b"))) << line;
}

}  // namespace
}  // namespace candor::app
