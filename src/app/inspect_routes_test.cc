#include "app/inspect_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "app/explain_json.h"
#include "app/http_answers.h"
#include "base/random.h"

namespace candor::app {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST(TraceFilterTest, TakesWhatAPersonAsksFor) {
  const auto filter = parse_trace_filter(
      "key=a%2A&tier=l2&kind=read&outcome=value&slower_ms=1.5&staler_ms=0&sample=0.25&rate=7");
  ASSERT_TRUE(filter.has_value());
  EXPECT_EQ(filter->key_glob, "a*");
  EXPECT_EQ(filter->tier, Tier::kL2);
  EXPECT_EQ(filter->kinds.size(), 2U);
  EXPECT_EQ(filter->slower, 1500us);
  EXPECT_EQ(filter->staler, Duration{0});
  EXPECT_EQ(filter->sample, 0.25);
  EXPECT_EQ(filter->rate, 7U);
  const auto open = parse_trace_filter("");
  EXPECT_LT(open->staler, Duration{0});
  EXPECT_FALSE(open->sample.has_value());
}

TEST(TraceFilterTest, RefusesWhatItCannotMean) {
  for (const char* query : {"tier=l9", "kind=heat", "slower_ms=soon", "slower_ms=-1", "sample=2",
                            "sample=nan", "rate=0", "rate=1e9", "staler_ms="})
    EXPECT_FALSE(parse_trace_filter(query).has_value()) << query;
}

TEST(QueryValueTest, FindsAParameterByItsWholeName) {
  EXPECT_EQ(query_value("a=1&by=2", "by"), "2");
  EXPECT_EQ(query_value("nearby=1", "by"), std::nullopt);
  EXPECT_EQ(query_value("by", "by"), std::nullopt);
  EXPECT_EQ(query_value("by=%zz", "by"), std::nullopt);
  EXPECT_EQ(query_value("by=a%26b&c", "by"), "a&b");
}

TEST(BinaryKeyTest, KeysThatAreNoTextComeAsHexBesideThem) {
  json value = {{"keys", {{{"key", "plain ü"}}, {{"key", std::string("\0\xff", 2)}}}}, {"value", "\xff"}};
  mark_binary_keys(value);
  EXPECT_FALSE(value["keys"][0].contains("key_hex"));
  EXPECT_EQ(value["keys"][1]["key_hex"], "00ff");
  EXPECT_FALSE(value.contains("key_hex"));
}

TEST(Utf8Test, IsWhatTheStandardSays) {
  for (const char* good : {"", "a", "ü", "€", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(is_utf8(good)) << good;
  for (const char* bad : {"\xff", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xf8\x88\x80\x80\x80", "a\x80"})
    EXPECT_FALSE(is_utf8(bad)) << bad;
}

TEST(Utf8Test, AnyBytesAreReadWithinTheirEnd) {
  Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random.below(6), '\0');
    for (char& c : bytes) c = static_cast<char>(random.below(256));
    (void)is_utf8(bytes);
  }
}

TEST(ExplainJsonTest, SaysWhatIsNotKnownAsNull) {
  KeyReport report;
  report.feature = "item";
  report.key = "1";
  report.tiers.l1.exists = true;
  report.tiers.l1.why = "not held";
  const json told = explain_json(report);
  EXPECT_EQ(told["next_read"], "origin");
  EXPECT_TRUE(told["tiers"]["l2"].is_null());
  EXPECT_FALSE(told["tiers"]["l1"].contains("age_ms"));
  EXPECT_TRUE(told["proof"]["fresh_as_of_ms_ago"].is_null());
  EXPECT_THAT(told["proof"]["rests_on"].get<std::string>(), HasSubstr("no watch"));
  EXPECT_TRUE(told["history_reaches_ms"].is_null());
}

TEST(ExplainJsonTest, AChangeComesWithItsWay) {
  KeyReport report;
  report.now = MonoTime{10'000'000'000};
  report.wall = WallTime{1'000'000'000'000};
  report.keeps_history = true;
  KeyEvent event;
  event.kind = KeyEvent::Kind::kChange;
  event.at = MonoTime{9'000'000'000};
  event.committed = WallTime{998'990'000'000};
  event.id = ChangeId{7};
  event.position = Position{8};
  report.events = {event};
  River::Stages stages;
  stages.heard = WallTime{998'992'000'000};
  report.stages = {stages};
  const json told = explain_json(report)["history"][0];
  EXPECT_EQ(told["event"], "change");
  EXPECT_EQ(told["ago_ms"], 1000.0);
  EXPECT_EQ(told["at_ms"], 999'000);
  EXPECT_EQ(told["after_commit_ms"]["heard"], 2.0);
  EXPECT_TRUE(told["after_commit_ms"]["l2_told"].is_null());
  EXPECT_EQ(told["after_commit_ms"]["applied"], 10.0);
}

}  // namespace
}  // namespace candor::app
