#include "app/prometheus_text.h"

#include <gtest/gtest.h>

namespace candor::app {
namespace {

using namespace std::string_view_literals;

TEST(PrometheusTextTest, PlainWordsStayAsTheyAre) {
  EXPECT_EQ(promql_string("profile-2.a"), "\"profile-2.a\"");
  EXPECT_EQ(yaml_string("Zürich, 東京 \U0001F600"), "\"Zürich, 東京 \U0001F600\"");
  EXPECT_EQ(template_text("an old nickname"), "an old nickname");
}

TEST(PrometheusTextTest, NothingEndsTheString) {
  EXPECT_EQ(promql_string("a\"} or b"), "\"a\\\"} or b\"");
  EXPECT_EQ(promql_string("\\\""), "\"\\\\\\\"\"");
  EXPECT_EQ(yaml_string("a\n- alert: x"), "\"a\\n- alert: x\"");
}

TEST(PrometheusTextTest, ControlsAndOddLineEndsAreWrittenAsNumbers) {
  EXPECT_EQ(yaml_string(std::string("\0\t\r\x7F"sv)), "\"\\x00\\x09\\x0d\\x7f\"");
  EXPECT_EQ(yaml_string("\u0085\u2028\u2029\uFEFF"), "\"\\u0085\\u2028\\u2029\\ufeff\"");
  // PromQL takes this one for a sign of broken UTF-8.
  EXPECT_EQ(promql_string("\uFFFD"), "\"\\ufffd\"");
  EXPECT_EQ(yaml_string("\U0001FFFF"), "\"\\U0001ffff\"");
}

TEST(PrometheusTextTest, WhatIsNoUtf8IsReplacedByteByByte) {
  EXPECT_EQ(yaml_string("a\xFF"
                        "b"),
            "\"a\\ufffdb\"");
  EXPECT_EQ(yaml_string("\xE2\x82"), "\"\\ufffd\\ufffd\"");             // cut short
  EXPECT_EQ(yaml_string("\xC0\xAF"), "\"\\ufffd\\ufffd\"");             // overlong
  EXPECT_EQ(yaml_string("\xED\xA0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");  // a surrogate
  EXPECT_EQ(yaml_string("\xF4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

TEST(PrometheusTextTest, JsonIsReadAsYamlToo) {
  EXPECT_EQ(yaml_safe_json("{\n  \"a\": \"\u2028\x7F\uFEFF \U0001F600 é\"\n}\n"),
            "{\n  \"a\": \"\\u2028\\u007f\\ufeff \U0001F600 é\"\n}\n");
}

TEST(PrometheusTextTest, NoBraceOpensAnAction) {
  EXPECT_EQ(template_text("{{ $labels }}"), "{{\"{\"}}{{\"{\"}} $labels }}");
  // Also not together with an action that is written behind it.
  EXPECT_EQ(template_text("x{") + "{{ $value }}", "x{{\"{\"}}{{ $value }}");
}

}  // namespace
}  // namespace candor::app
