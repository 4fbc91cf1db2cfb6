#include "tier/l2/redis_url.h"

#include <gtest/gtest.h>

namespace candor::redis {
namespace {

TEST(RedisUrlTest, HostAloneGetsTheDefaults) {
  const auto a = parse_url("redis://db.example").value();
  EXPECT_EQ(a.endpoint.host, "db.example");
  EXPECT_EQ(a.endpoint.port, 6379);
  EXPECT_FALSE(a.endpoint.tls);
  EXPECT_EQ(a.database, 0U);
  EXPECT_EQ(a.describe(), "redis db.example:6379/0");
}

TEST(RedisUrlTest, EverythingAtOnce) {
  const auto a = parse_url("rediss://app:p%40ss:w@10.0.0.1:7000/3").value();
  EXPECT_TRUE(a.endpoint.tls);
  EXPECT_EQ(a.user, "app");
  EXPECT_EQ(a.password, "p@ss:w");
  EXPECT_EQ(a.endpoint.port, 7000);
  EXPECT_EQ(a.database, 3U);
}

TEST(RedisUrlTest, PasswordAloneAndIpv6) {
  const auto a = parse_url("redis://:secret@[::1]:6380").value();
  EXPECT_EQ(a.user, "");
  EXPECT_EQ(a.password, "secret");
  EXPECT_EQ(a.endpoint.host, "::1");
  EXPECT_EQ(a.endpoint.port, 6380);
}

TEST(RedisUrlTest, WrongOnesSayWhatAndNeverThePassword) {
  for (const char* url :
       {"http://:hunter2@h", "redis://", "redis://:hunter2@", "redis://:hunter2@h:0",
        "redis://:hunter2@h:99999", "redis://:hunter2@h:", "redis://:hunter2@h/x",
        "redis://:hunter2@h/1?tls=1", "redis://hunter2@h", "redis://:hunter2%zz@h", "redis://:hunter2@[::1",
        "redis://:hunter2@[::1]x", "redis://:hunter2@[::1]:", "redis+cluster://:hunter2@a:1,b:2"}) {
    const auto a = parse_url(url);
    ASSERT_FALSE(a.has_value()) << url;
    EXPECT_EQ(a.error().code, ErrorCode::kConfiguration) << url;
    EXPECT_EQ(a.error().message.find("hunter2"), std::string::npos) << a.error().message;
  }
}

TEST(RedisUrlTest, DescribeHidesThePassword) {
  EXPECT_EQ(parse_url("redis://u:hunter2@h:1/2")->describe(), "redis h:1/2");
}

}  // namespace
}  // namespace candor::redis
