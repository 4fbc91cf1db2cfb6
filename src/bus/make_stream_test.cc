#include "bus/make_stream.h"

#include <gtest/gtest.h>

#include "base/virtual_executor.h"
#include "bus/nats_url.h"
#include "tier/l2/test_transport.h"

namespace candor {
namespace {

TEST(MakeStreamTest, UrlsThatWork) {
  for (const char* url : {"memory:", "redis://h:1/2", "rediss://u:p@h", "nats://h", "nats://u:p@a:1,b:2",
                          "nats://token@h", "tls://h:4222", "nats://[::1]:4222/"}) {
    EXPECT_TRUE(check_stream_url(url).has_value()) << url;
  }
}

TEST(MakeStreamTest, UrlsThatDoNotSayWhyWithoutThePassword) {
  for (const char* url : {"", "memory", "kafka://h", "redis://", "nats://", "nats://u:secret@", "nats://h:0",
                          "nats://u:secret@h:port", "nats://:secret@h", "nats://u:secret%zz@h", "nats://h,",
                          "nats://h?x=secret", "nats://h 1"}) {
    const auto checked = check_stream_url(url);
    ASSERT_FALSE(checked.has_value()) << url;
    EXPECT_EQ(checked.error().code, ErrorCode::kConfiguration);
    EXPECT_EQ(checked.error().message.find("secret"), std::string::npos);
  }
}

TEST(MakeStreamTest, NatsLoginAndHosts) {
  const auto address = nats::parse_url("nats://ann:p%40ss@a,b:99").value();
  EXPECT_EQ(address.hosts, (std::vector<std::string>{"a:4222", "b:99"}));
  EXPECT_EQ(address.user, "ann");
  EXPECT_EQ(address.password, "p@ss");
  EXPECT_EQ(address.describe(), "nats a:4222,b:99");
  EXPECT_EQ(nats::parse_url("tls://tok@h").value().token, "tok");
  EXPECT_TRUE(nats::parse_url("tls://tok@h").value().tls);
}

TEST(MakeStreamTest, RegionBecomesPartOfNamesAndIsChecked) {
  for (const char* good : {"local", "eu-1", "EU_2"}) EXPECT_TRUE(check_region_name(good).has_value());
  for (const std::string& bad : {std::string(), std::string("a.b"), std::string("a}b"), std::string("a b"),
                                 std::string("*"), std::string(65, 'a')}) {
    EXPECT_FALSE(check_region_name(bad).has_value()) << bad;
  }
  VirtualExecutor executor;
  EXPECT_FALSE(make_stream("memory:", {.region = "a.b"}, {&executor}).has_value());
}

TEST(MakeStreamTest, MakesMemoryAndRedis) {
  VirtualExecutor executor;
  TestTransport transport;
  EXPECT_EQ(make_stream("memory:", {}, {&executor}).value()->describe(), "memory");
  EXPECT_EQ(
      make_stream("redis://u:secret@h:7/3", {.region = "eu"}, {&executor, &transport}).value()->describe(),
      "redis h:7/3 stream candor:eu");
  executor.run_ready();
}

}  // namespace
}  // namespace candor
