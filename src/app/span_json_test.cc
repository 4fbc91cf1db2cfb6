#include "app/span_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

namespace candor::app {
namespace {

using nlohmann::json;

server::RequestSpan request_of(Duration took, Duration in_l2, Duration in_origin) {
  server::RequestSpan one;
  one.parent = *parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  one.name = "GET";
  one.feature = "item";
  one.began = WallTime{1'000'000'000};
  one.took = took;
  one.in_l2 = in_l2;
  one.in_origin = in_origin;
  return one;
}

json spans_of(const std::vector<server::RequestSpan>& requests) {
  const json all = json::parse(spans_json(requests, {"eu-1", "eu", "1"}, 7));
  return all["resourceSpans"][0]["scopeSpans"][0]["spans"];
}

TEST(SpanJsonTest, TiersAreChildrenAtTheEndOfTheirRequest) {
  const json spans = spans_of({request_of(10ms, 2ms, 5ms)});
  ASSERT_EQ(spans.size(), 3U);
  EXPECT_EQ(spans[0]["parentSpanId"], "b7ad6b7169203331");
  EXPECT_EQ(spans[0]["startTimeUnixNano"], "1000000000");
  EXPECT_EQ(spans[0]["endTimeUnixNano"], "1010000000");
  EXPECT_EQ(spans[1]["name"], "l2");
  EXPECT_EQ(spans[1]["startTimeUnixNano"], "1003000000");
  EXPECT_EQ(spans[2]["name"], "origin");
  EXPECT_EQ(spans[2]["endTimeUnixNano"], "1010000000");
  for (const json& one : {spans[1], spans[2]}) EXPECT_EQ(one["parentSpanId"], spans[0]["spanId"]);
}

TEST(SpanJsonTest, EverySpanHasAnIdOfItsOwn) {
  const json spans = spans_of({request_of(10ms, 2ms, 5ms), request_of(10ms, 2ms, 5ms)});
  std::set<std::string> ids;
  for (const json& one : spans) ids.insert(one["spanId"]);
  EXPECT_EQ(ids.size(), 6U);
}

TEST(SpanJsonTest, AnErrorIsAStatusAndAHitIsL1s) {
  server::RequestSpan failed = request_of(1ms, Duration{0}, Duration{0});
  failed.error = "origin \xff down";
  failed.is_hit = true;
  const json spans = spans_of({failed});
  EXPECT_EQ(spans[0]["status"]["code"], 2);
  EXPECT_EQ(spans[1]["name"], "l1");
}

}  // namespace
}  // namespace candor::app
