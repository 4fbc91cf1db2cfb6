#include "proto/http_status_line.h"

#include <gtest/gtest.h>

namespace candor {
namespace {

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

TEST(HttpStatusLineTest, WhereTheBytesAreCutMakesNoDifference) {
  for (std::size_t cut = 0; cut <= kOk.size(); ++cut) {
    HttpStatusLine line;
    (void)line.feed(kOk.substr(0, cut));
    EXPECT_TRUE(line.feed(kOk.substr(cut)) || line.status() != 0) << cut;
    EXPECT_EQ(line.status(), 200);
  }
}

TEST(HttpStatusLineTest, InterimAnswersArePassedOver) {
  HttpStatusLine line;
  EXPECT_FALSE(line.feed("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"));
  EXPECT_TRUE(line.feed("HTTP/1.1 503\r\n"));
  EXPECT_EQ(line.status(), 503);
}

TEST(HttpStatusLineTest, WhatIsNoAnswerIsRefused) {
  for (const std::string_view bytes :
       {"SSH-2.0-OpenSSH_9.2\r\n", "HTTP/2 200\r\n", "HTTP/1.1 20x OK\r\n", "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 099 low\r\n", "HTTP/1.1 600 high\r\n", "\r\n", "HTTP/1.1\r\n",
        "-ERR unknown command\r\n"}) {
    HttpStatusLine line;
    EXPECT_FALSE(line.feed(bytes)) << bytes;
    EXPECT_TRUE(line.is_bad()) << bytes;
    EXPECT_FALSE(line.feed(kOk)) << "bad for ever after: " << bytes;
  }
}

TEST(HttpStatusLineTest, ALineWithoutEndIsRefused) {
  HttpStatusLine line;
  for (int i = 0; i < 100 && !line.is_bad(); ++i) EXPECT_FALSE(line.feed(std::string(100, 'a')));
  EXPECT_TRUE(line.is_bad());
}

}  // namespace
}  // namespace candor
