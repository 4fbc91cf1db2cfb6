#include "tier/l2/make_l2.h"

#include <gtest/gtest.h>

#include "base/virtual_executor.h"
#include "tier/l2/test_transport.h"

namespace candor::l2 {
namespace {

class MakeL2Test : public ::testing::Test {
 protected:
  Result<std::unique_ptr<L2>> make(std::string_view url, MakeOptions options = {}) {
    return make_l2(url, options, World{&executor, &transport, 1});
  }
  VirtualExecutor executor;
  TestTransport transport;
};

TEST_F(MakeL2Test, MemoryTakesTheByteLimit) {
  MakeOptions options;
  options.memory_bytes = 1234;
  const auto tier = make("memory:", options).value();
  EXPECT_EQ(tier->describe(), "memory");
  EXPECT_EQ(tier->stats().bytes_limit, 1234U);
}

TEST_F(MakeL2Test, RedisConnectsInTheNextTurnAndHidesThePassword) {
  const auto tier = make("rediss://:hunter2@cache.example:7000/4").value();
  EXPECT_EQ(tier->describe(), "rediss cache.example:7000/4");
  EXPECT_TRUE(transport.lines.empty());
  executor.run_ready();
  ASSERT_EQ(transport.lines.size(), 1U);
  EXPECT_TRUE(transport.last().endpoint.tls);
}

TEST_F(MakeL2Test, ATierThatIsGoneBeforeItsFirstTurnDoesNotConnect) {
  make("redis://h").value().reset();
  executor.run_ready();
  EXPECT_TRUE(transport.lines.empty());
}

TEST_F(MakeL2Test, UrlsThatCannotWorkSayWhatToWrite) {
  for (const char* url : {"", "memory", "memcached://h", "redis:h", "redis+cluster://a:1,b:2"}) {
    const auto bad = make(url);
    ASSERT_FALSE(bad.has_value()) << url;
    EXPECT_EQ(bad.error().code, ErrorCode::kConfiguration);
    EXPECT_TRUE(bad.error().message.starts_with("[l2] url: ")) << bad.error().message;
    EXPECT_NE(bad.error().message.find("redis://"), std::string::npos) << bad.error().message;
  }
}

TEST_F(MakeL2Test, APrefixThatWouldMoveTheHashTagIsRefused) {
  MakeOptions options;
  for (const char* prefix : {"", "a{b}", "x}"}) {
    options.prefix = prefix;
    EXPECT_EQ(make("redis://h", options).error().code, ErrorCode::kConfiguration);
  }
}

}  // namespace
}  // namespace candor::l2
