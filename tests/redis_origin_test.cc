// Redis as an origin, against a real redis-server.
#include "origin/redis_origin.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "io/clock.h"
#include "io/loop.h"
#include "tests/support/process.h"

namespace candor {
namespace {

using testing::RedisServer;

class RedisOriginServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::is_installed()) GTEST_SKIP() << "redis-server is not installed";
    ASSERT_TRUE(server.start());
    RedisOrigin::Options options;
    options.name = "near";
    options.client.reconnect.limit = 100ms;
    options.client.breaker.cool_down = 100ms;
    origin = make_redis_origin(server.url(2), options, &loop, &loop, 1).value();
    OriginStatements statements;
    statements.feature = "user";
    statements.load = statements.store = statements.erase = "user:{key}";
    feature = origin->bind(statements).value();
    ASSERT_TRUE(wait(origin->prepare()).has_value());
  }
  void TearDown() override {
    feature.reset();
    origin.reset();
    loop.turn(0s);
  }
  bool turn_until(const std::function<bool()>& done) {
    const SystemClock clock;
    const MonoTime deadline = clock.now() + 20s;
    while (!done()) {
      if (clock.now() >= deadline) return false;
      loop.turn(5ms);
    }
    return true;
  }
  template <class T>
  T wait(Task<T> task) {
    std::optional<T> result;
    spawn(std::move(task), [&result](T value) { result.emplace(std::move(value)); });
    CANDOR_ASSERT(turn_until([&result] { return result.has_value(); }));
    return std::move(*result);
  }
  [[nodiscard]] MonoTime soon() const { return loop.now() + 3s; }

  RedisServer server;
  Loop loop;
  std::unique_ptr<RedisOrigin> origin;
  std::unique_ptr<OriginFeature> feature;
};

TEST_F(RedisOriginServerTest, StoresLoadsAndErases) {
  const std::string value("a\0b\r\n", 5);
  EXPECT_EQ(wait(feature->load("1", soon()))->value, std::nullopt);
  EXPECT_EQ(wait(feature->store("1", value, soon()))->rows, 1U);
  EXPECT_EQ(wait(feature->load("1", soon()))->value, value);
  EXPECT_EQ(wait(feature->erase("1", soon()))->rows, 1U);
  EXPECT_EQ(wait(feature->erase("1", soon()))->rows, 0U);
  EXPECT_EQ(wait(feature->load("1", soon()))->value, std::nullopt);
}

TEST_F(RedisOriginServerTest, LoadsThatMissTogetherGoOutTogether) {
  const OriginStats before = origin->stats();
  int answered = 0;
  for (int i = 0; i < 1000; ++i) {
    spawn(feature->load(std::to_string(i), soon()),
          [&answered](Result<OriginRow> r) { answered += r ? 1 : 0; });
  }
  ASSERT_TRUE(turn_until([&answered] { return answered == 1000; }));
  EXPECT_EQ(origin->stats().loads - before.loads, 1000U);
  EXPECT_EQ(origin->stats().batches - before.batches, 8U);  // 1000 / 128, rounded up
}

TEST_F(RedisOriginServerTest, GoneAndBack) {
  server.crash();
  const auto down = wait(feature->load("1", soon()));
  ASSERT_FALSE(down.has_value());
  EXPECT_EQ(down.error().code, ErrorCode::kOriginDown) << down.error().message;
  ASSERT_TRUE(server.start());
  EXPECT_TRUE(turn_until([this] { return wait(feature->load("1", soon())).has_value(); }));
}

}  // namespace
}  // namespace candor
