#include "proto/http_request.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace candor {
namespace {

using namespace std::string_view_literals;

using Status = HttpRequestParser::Status;

int status_of(std::string_view bytes) {
  HttpRequestParser parser;
  switch (parser.feed(bytes)) {
    case Status::kRequest:
      return 200;
    case Status::kMore:
      return 0;
    case Status::kBad:
      return parser.problem().status;
  }
  return -1;
}

constexpr std::string_view kPost =
    "POST /api/v1/invalidate?x=1 HTTP/1.1\r\nHost: localhost:8390\r\nContent-Length: 5\r\nX-Name:  two words "
    "\r\n\r\nhello";

TEST(HttpRequestParserTest, ARequestIsReadWhole) {
  HttpRequestParser parser;
  ASSERT_EQ(parser.feed(kPost), Status::kRequest);
  const HttpRequest request = parser.take();
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/api/v1/invalidate");
  EXPECT_EQ(request.query, "x=1");
  EXPECT_EQ(*request.header("host"), "localhost:8390");
  EXPECT_EQ(*request.header("x-name"), "two words");
  EXPECT_EQ(request.body, "hello");
  EXPECT_TRUE(request.keep_alive);
}

TEST(HttpRequestParserTest, EverySplitGivesTheSameRequest) {
  for (std::size_t cut = 0; cut < kPost.size(); ++cut) {
    HttpRequestParser parser;
    ASSERT_EQ(parser.feed(kPost.substr(0, cut)), Status::kMore) << cut;
    ASSERT_EQ(parser.feed(kPost.substr(cut)), Status::kRequest) << cut;
    EXPECT_EQ(parser.take().body, "hello");
  }
}

TEST(HttpRequestParserTest, RequestsThatComeTogetherAreReadOneByOne) {
  HttpRequestParser parser;
  ASSERT_EQ(parser.feed("GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n"),
            Status::kRequest);
  EXPECT_EQ(parser.take().path, "/a");
  ASSERT_EQ(parser.next(), Status::kRequest);
  EXPECT_EQ(parser.take().path, "/b");
  EXPECT_EQ(parser.next(), Status::kMore);
}

TEST(HttpRequestParserTest, WhatIsHeldWhileARequestIsAnsweredIsReadAfterIt) {
  HttpRequestParser parser;
  ASSERT_EQ(parser.feed("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"), Status::kRequest);
  parser.hold("GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(parser.take().path, "/a");
  ASSERT_EQ(parser.next(), Status::kRequest);
  EXPECT_EQ(parser.take().path, "/b");
}

TEST(HttpRequestParserTest, ConnectionCloseIsKept) {
  HttpRequestParser parser;
  ASSERT_EQ(parser.feed("GET / HTTP/1.1\r\nHost: h\r\nConnection: Close\r\n\r\n"), Status::kRequest);
  EXPECT_FALSE(parser.take().keep_alive);
}

TEST(HttpRequestParserTest, MalformedRequestsAreRefused) {
  EXPECT_EQ(status_of("GET /\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET  HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / x HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(status_of("G\x01T / HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: h\r\n\r\n"), 505);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n folded\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\0x\r\n\r\n"sv), 400);
}

TEST(HttpRequestParserTest, AmbiguousLengthsAreRefused) {
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), 501);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n"), 400);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n"), 400);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1x\r\n\r\n"), 400);
}

TEST(HttpRequestParserTest, TwoAuthorizationsOrOriginsAreRefused) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nOrigin: a\r\nOrigin: b\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n"), 400);
}

TEST(HttpRequestParserTest, SizesAreBoundedBeforeTheyArrive) {
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n"), 413);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999999\r\n\r\n"), 413);
  EXPECT_EQ(status_of("GET /" + std::string(9000, 'a')), 431);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(9000, 'a')), 431);
  std::string many = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 64; ++i) many += "A: b\r\n";
  EXPECT_EQ(status_of(many + "\r\n"), 431);
}

TEST(HttpRequestParserTest, WhatIsHeldStaysBelowTheLimit) {
  HttpRequestParser parser;
  for (int i = 0; i < 10'000; ++i) {
    (void)parser.feed("aaaaaaaaaaaaaaaa");
    ASSERT_LE(parser.held_bytes(), HttpLimits{}.header_bytes_max + HttpLimits{}.body_bytes_max);
  }
}

RC_GTEST_PROP(HttpRequestParserTest, RandomBytesNeitherCrashNorGrow,
              (const std::vector<std::string>& chunks)) {
  HttpRequestParser parser;
  for (const std::string& chunk : chunks) {
    (void)parser.feed(chunk);
    RC_ASSERT(parser.held_bytes() <= HttpLimits{}.header_bytes_max + HttpLimits{}.body_bytes_max);
  }
}

}  // namespace
}  // namespace candor
