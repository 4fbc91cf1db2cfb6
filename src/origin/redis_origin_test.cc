#include "origin/redis_origin.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/virtual_executor.h"
#include "origin/key_pattern.h"
#include "tier/l2/test_transport.h"

namespace candor {
namespace {

std::string name_of(std::string_view pattern, std::string_view key) {
  return KeyPattern::parse("f", "load", pattern).value().name_of("f", key).value();
}

TEST(KeyPatternTest, PutsTheKeyWhereThePatternSays) {
  EXPECT_EQ(name_of("{key}", "a:b"), "a:b");
  EXPECT_EQ(name_of("user:{key}:body", "7"), "user:7:body");
  EXPECT_EQ(name_of("{key2}/{key1}", "a:b:c"), "b:c/a");
  EXPECT_EQ(name_of("{key}{key}", "x"), "xx");
}

TEST(KeyPatternTest, WhatIsWrongIsSaidWithFeatureAndRole) {
  for (const char* text : {"user", "user:{id}", "{key", "key}", "{key}}", "{key}{key1}", "{key2}", "{key0}",
                           "{key99}", "GET {ke}"}) {
    const auto bad = KeyPattern::parse("profile", "load", text);
    ASSERT_FALSE(bad.has_value()) << text;
    EXPECT_EQ(bad.error().code, ErrorCode::kConfiguration);
    EXPECT_TRUE(bad.error().message.starts_with("feature profile: load: ")) << bad.error().message;
  }
}

TEST(KeyPatternTest, AKeyWithTooFewPartsIsRefused) {
  const auto name = KeyPattern::parse("f", "load", "{key1}/{key2}").value().name_of("f", "a");
  ASSERT_FALSE(name.has_value());
  EXPECT_EQ(name.error().code, ErrorCode::kInvalidArgument);
}

class RedisOriginTest : public ::testing::Test {
 protected:
  template <class T>
  using Seen = std::shared_ptr<std::optional<Result<T>>>;

  void SetUp() override { start(2, 1000); }
  void start(std::uint32_t places, std::uint32_t waiting) {
    RedisOrigin::Options options;
    options.name = "near";
    options.max_concurrency = places;
    options.waiting_max = waiting;
    origin =
        make_redis_origin("redis://:hunter2@127.0.0.1:6379/1", options, &executor, &transport, 1).value();
    OriginStatements statements;
    statements.feature = "user";
    statements.load = statements.store = statements.erase = "u:{key}";
    feature = origin->bind(statements).value();
  }
  void greet() {
    spawn(origin->prepare(), [](Result<void>) {});
    executor.run_ready();
    line().accept();
    line().reply("%0\r\n");
    line().reply("+OK\r\n");
    line().reply("+PONG\r\n");
    executor.run_ready();
    (void)line().take();
    line().writes = 0;
  }
  template <class T>
  Seen<T> start_task(Task<Result<T>> task) {
    auto seen = std::make_shared<std::optional<Result<T>>>();
    spawn(std::move(task), [seen](Result<T> r) { seen->emplace(std::move(r)); });
    return seen;
  }
  Seen<OriginRow> load(const std::string& key, Duration patience = 3s) {
    return start_task(feature->load(key, executor.now() + patience));
  }
  template <class T>
  static ErrorCode code(const Seen<T>& seen) {
    CANDOR_ASSERT(seen->has_value() && !seen->value().has_value());
    return seen->value().error().code;
  }
  TestTransport::Line& line() { return transport.last(); }

  VirtualExecutor executor;
  TestTransport transport;
  std::unique_ptr<RedisOrigin> origin;
  std::unique_ptr<OriginFeature> feature;
};

TEST_F(RedisOriginTest, LoadsOfOneTurnAreOneStatementInOneWrite) {
  greet();
  const OriginStats before = origin->stats();
  std::vector<Seen<OriginRow>> seen;
  for (int i = 0; i < 5; ++i) seen.push_back(load(std::to_string(i)));
  executor.run_ready();
  EXPECT_EQ(line().writes, 1);
  EXPECT_TRUE(line().take().starts_with("*2\r\n$3\r\nGET\r\n$3\r\nu:0\r\n*2\r\n"));
  EXPECT_EQ(origin->stats().statements - before.statements, 1U);
  EXPECT_EQ(origin->stats().loads, 5U);
  EXPECT_EQ(origin->stats().in_flight, 1U);
  line().reply("$1\r\na\r\n_\r\n$0\r\n\r\n$1\r\nd\r\n$1\r\ne\r\n");
  EXPECT_EQ(seen[0]->value()->value, "a");
  EXPECT_EQ(seen[1]->value()->value, std::nullopt);
  EXPECT_EQ(seen[2]->value()->value, "");
  EXPECT_FALSE(seen[0]->value()->stamp.is_known());
  EXPECT_EQ(origin->stats().in_flight, 0U);
}

TEST_F(RedisOriginTest, StatementsInFlightNeverPassTheLimit) {
  greet();
  std::vector<Seen<OriginWrite>> seen;
  for (int i = 0; i < 5; ++i) seen.push_back(start_task(feature->store("k", "v", executor.now() + 3s)));
  executor.run_ready();
  EXPECT_EQ(origin->stats().in_flight, 2U);
  EXPECT_EQ(origin->stats().waiting, 3U);
  for (int i = 0; i < 5; ++i) {
    line().reply("+OK\r\n");
    executor.run_ready();
  }
  for (const auto& s : seen) EXPECT_EQ(s->value()->rows, 1U);
  EXPECT_EQ(origin->stats().in_flight_max, 2U);
}

TEST_F(RedisOriginTest, RequestsLeaveInTheOrderTheyCame) {
  greet();
  auto a = load("1");
  auto b = start_task(feature->store("1", "v", executor.now() + 3s));
  auto c = load("1");
  executor.run_ready();
  line().reply("$3\r\nold\r\n");
  executor.run_ready();
  line().reply("+OK\r\n$3\r\nnew\r\n");
  EXPECT_EQ(a->value()->value, "old");
  EXPECT_EQ(c->value()->value, "new");
}

TEST_F(RedisOriginTest, WrongTypeIsRejectedNotAbsent) {
  greet();
  auto a = load("list");
  executor.run_ready();
  line().reply("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
  EXPECT_EQ(code(a), ErrorCode::kRejected);
}

TEST_F(RedisOriginTest, LostConnectionIsDownForALoadAndUnknownForAWrite) {
  greet();
  auto a = load("1");
  auto b = start_task(feature->erase("1", executor.now() + 3s));
  executor.run_ready();
  line().close("reset");
  EXPECT_EQ(code(a), ErrorCode::kOriginDown);
  EXPECT_EQ(code(b), ErrorCode::kTimeout);
  auto c = start_task(feature->erase("1", executor.now() + 3s));
  executor.run_ready();
  EXPECT_EQ(code(c), ErrorCode::kOriginDown);  // never sent
}

TEST_F(RedisOriginTest, SilenceEndsAtTheDeadlineAlsoForThoseWhoWaitForAPlace) {
  start(1, 1000);
  greet();
  auto a = start_task(feature->store("1", "v", executor.now() + 1s));
  auto b = start_task(feature->store("2", "v", executor.now() + 200ms));
  executor.advance(230ms);
  EXPECT_EQ(code(b), ErrorCode::kOriginDown);
  EXPECT_NE(b->value().error().message.find("nothing was sent"), std::string::npos);
  executor.advance(800ms);
  EXPECT_EQ(code(a), ErrorCode::kTimeout);
  EXPECT_EQ(origin->stats().in_flight, 0U);
}

TEST_F(RedisOriginTest, TooManyWaitingIsOverloaded) {
  start(1, 3);
  greet();
  auto first = start_task(feature->store("k", "v", executor.now() + 3s));
  executor.run_ready();
  for (int i = 0; i < 3; ++i) (void)start_task(feature->store("k", "v", executor.now() + 3s));
  EXPECT_EQ(code(load("x")), ErrorCode::kOverloaded);
}

TEST_F(RedisOriginTest, ACallerThatRetriesAtOnceDoesNotHang) {
  greet();
  line().close("reset");
  int tries = 0;
  std::move_only_function<void()> again;
  again = [&] {
    if (++tries >= 50) return;
    spawn(feature->load("k", executor.now() + 3s), [&](Result<OriginRow> r) {
      ASSERT_FALSE(r.has_value());
      again();
    });
  };
  again();
  executor.run_ready();
  EXPECT_EQ(tries, 50);
}

TEST_F(RedisOriginTest, EraseSaysHowManyRows) {
  greet();
  auto a = start_task(feature->erase("1", executor.now() + 3s));
  executor.run_ready();
  EXPECT_EQ(line().take(), "*2\r\n$3\r\nDEL\r\n$3\r\nu:1\r\n");
  line().reply(":1\r\n");
  EXPECT_EQ(a->value()->rows, 1U);
}

TEST_F(RedisOriginTest, WithoutStoreAndEraseTheFeatureIsReadOnly) {
  OriginStatements statements;
  statements.feature = "ro";
  auto read_only = origin->bind(statements).value();
  EXPECT_FALSE(read_only->can_store());
  EXPECT_FALSE(read_only->can_erase());
  EXPECT_EQ(code(start_task(read_only->store("1", "v", executor.now() + 1s))), ErrorCode::kReadOnly);
}

TEST_F(RedisOriginTest, LoadManyIsRefusedWithTheReason) {
  OriginStatements statements;
  statements.feature = "f";
  statements.load_many = "MGET";
  EXPECT_EQ(origin->bind(statements).error().code, ErrorCode::kConfiguration);
}

TEST_F(RedisOriginTest, EndingTheOriginAnswersEveryone) {
  greet();
  std::vector<Seen<OriginWrite>> seen;
  for (int i = 0; i < 5; ++i) seen.push_back(start_task(feature->store("k", "v", executor.now() + 3s)));
  executor.run_ready();
  origin.reset();
  for (const auto& s : seen) EXPECT_EQ(code(s), ErrorCode::kOriginDown);
  executor.advance(10s);
  EXPECT_EQ(executor.timers(), 0U);
}

TEST_F(RedisOriginTest, DescribeHidesThePassword) { EXPECT_EQ(origin->describe(), "redis 127.0.0.1:6379/1"); }

}  // namespace
}  // namespace candor
