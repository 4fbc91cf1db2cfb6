#include "app/http_guard.h"

#include <gtest/gtest.h>

namespace candor::app {
namespace {

const GuardRules kRules = {{"cache.example"}, "0123456789abcdef"};

HttpRequest post() {
  HttpRequest request;
  request.method = "POST";
  request.path = "/api/v1/flush";
  request.headers = {{"host", "localhost:8390"},
                     {"origin", "http://localhost:8390"},
                     {"authorization", "Bearer 0123456789abcdef"}};
  return request;
}

void set(HttpRequest& request, std::string name, std::string value) {
  for (auto& header : request.headers)
    if (header.first == name) header.second = std::move(value);
}

int refused(const HttpRequest& request, Guard guard = Guard::kToken, const GuardRules& rules = kRules) {
  const auto refusal = check_guard(guard, request, rules);
  return refusal ? refusal->status : 0;
}

TEST(HttpGuardTest, AChangeWithEverythingRightIsAllowed) { EXPECT_EQ(refused(post()), 0); }

TEST(HttpGuardTest, WhatShowsKeysMayBeGotWithTheToken) {
  HttpRequest request = post();
  request.method = "GET";
  EXPECT_EQ(refused(request, Guard::kKeys), 0);
  EXPECT_EQ(refused(request, Guard::kToken), 405);
  EXPECT_EQ(refused(post(), Guard::kKeys), 0);
  request.method = "PUT";
  EXPECT_EQ(refused(request, Guard::kKeys), 405);
  request.method = "GET";
  std::erase_if(request.headers, [](const auto& one) { return one.first == "authorization"; });
  EXPECT_EQ(refused(request, Guard::kKeys), 401);
}

TEST(HttpGuardTest, ProgramsSendNoOriginAndAreAllowed) {
  HttpRequest request = post();
  std::erase_if(request.headers, [](const auto& header) { return header.first == "origin"; });
  EXPECT_EQ(refused(request), 0);
}

TEST(HttpGuardTest, AnotherPagesOriginIsRefused) {
  for (const char* origin : {"http://evil.example", "null", "http://localhost:8391", "http://localhost",
                             "http://localhost:8390.evil.example", ""}) {
    HttpRequest request = post();
    set(request, "origin", origin);
    EXPECT_EQ(refused(request), 403) << origin;
  }
}

TEST(HttpGuardTest, AHostThatIsNotOursIsRefused) {
  for (const char* host : {"evil.example:8390", "localhost.evil.example", "", "127.0.0.2", "[::1"}) {
    HttpRequest request = post();
    set(request, "host", host);
    set(request, "origin", std::string("http://") + host);
    EXPECT_EQ(refused(request), 403) << host;
    EXPECT_EQ(refused(request, Guard::kPage), 403) << host;
  }
}

TEST(HttpGuardTest, LoopbackAndConfiguredHostsAreAllowed) {
  for (const char* host :
       {"localhost", "LOCALHOST:1", "127.0.0.1:8390", "[::1]:8390", "cache.example", "Cache.Example:80"}) {
    HttpRequest request = post();
    set(request, "host", host);
    set(request, "origin", std::string("http://") + host);
    EXPECT_EQ(refused(request), 0) << host;
  }
}

TEST(HttpGuardTest, ARequestWithoutHostIsRefused) {
  HttpRequest request = post();
  std::erase_if(request.headers, [](const auto& header) { return header.first == "host"; });
  EXPECT_EQ(refused(request), 403);
}

TEST(HttpGuardTest, AMissingOrWrongTokenIsRefused) {
  for (const char* token :
       {"", "Bearer ", "Bearer 0123456789abcdeX", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0",
        "Basic 0123456789abcdef", "bearer 0123456789abcdef", "0123456789abcdef"}) {
    HttpRequest request = post();
    set(request, "authorization", token);
    EXPECT_EQ(refused(request), 401) << token;
  }
}

TEST(HttpGuardTest, WithoutATokenNothingGuardedIsPossible) {
  HttpRequest request = post();
  set(request, "authorization", "Bearer ");
  EXPECT_EQ(refused(request, Guard::kToken, {{}, ""}), 401);
}

TEST(HttpGuardTest, AChangeByGetIsRefusedEvenWithTheToken) {
  HttpRequest request = post();
  request.method = "GET";
  EXPECT_EQ(refused(request), 405);
}

TEST(HttpGuardTest, HealthIsOpenUnderAnyName) {
  HttpRequest request = post();
  set(request, "host", "10.0.0.7:8390");
  EXPECT_EQ(refused(request, Guard::kOpen), 0);
}

}  // namespace
}  // namespace candor::app
