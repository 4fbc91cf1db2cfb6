#include "proto/traceparent.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

constexpr std::string_view kGood = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceParentTest, IsReadAndWrittenBack) {
  const auto parent = parse_traceparent(kGood);
  ASSERT_TRUE(parent.has_value());
  EXPECT_TRUE(parent->is_sampled);
  EXPECT_EQ(trace_id_text(parent->trace), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(span_id_text(parent->span), "b7ad6b7169203331");
  EXPECT_FALSE(parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")->is_sampled);
}

TEST(TraceParentTest, WhatIsNotOneIsRefused) {
  for (const std::string_view text : {
           std::string_view(""),
           std::string_view("00"),
           std::string_view("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
           std::string_view("00-00000000000000000000000000000000-b7ad6b7169203331-01"),
           std::string_view("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"),
           std::string_view("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"),
           std::string_view("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g"),
           std::string_view("00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01"),
           std::string_view("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"),
           std::string_view("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more"),
       })
    EXPECT_FALSE(parse_traceparent(text).has_value()) << text;
}

TEST(TraceParentTest, ALaterVersionIsReadAsFarAsItIsKnown) {
  EXPECT_TRUE(parse_traceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more").has_value());
}

TEST(TraceParentTest, AShareIsOfTheId) {
  TraceId id;
  int inside = 0;
  for (unsigned i = 0; i < 256; ++i) {
    id.bytes[9] = static_cast<unsigned char>(i);
    inside += is_in_share(id, 0.25) ? 1 : 0;
  }
  EXPECT_EQ(inside, 64);
  id.bytes.fill(0xFF);
  EXPECT_TRUE(is_in_share(id, 1.0));
  EXPECT_FALSE(is_in_share(TraceId{}, 0.0));
}

}  // namespace
}  // namespace candor
