#include "tier/l2/redis_client.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/virtual_executor.h"
#include "tier/l2/test_transport.h"

namespace candor::redis {
namespace {

constexpr std::string_view kHelloOk = "%1\r\n$5\r\nproto\r\n:3\r\n";
constexpr std::string_view kPing = "*1\r\n$4\r\nPING\r\n";
constexpr std::string_view kScript = "return 1";

ClientOptions options() {
  ClientOptions o;
  o.endpoint = {"127.0.0.1", 6379, false};
  o.command_timeout = 500ms;
  o.outstanding_max = 100;
  o.unsent_bytes_max = 1 << 20;
  o.breaker.outcomes_min = 5;
  o.breaker.jitter = 0;
  o.breaker.cool_down = 1s;
  o.breaker.probes = 1;
  return o;
}

class RedisClientTest : public ::testing::Test {
 protected:
  using Seen = std::shared_ptr<std::optional<Result<resp::RespValue>>>;

  static Task<void> await_into(Answer answer, Seen seen) {
    Result<resp::RespValue> reply = co_await answer;
    seen->emplace(std::move(reply));
  }
  static Task<void> await_into(Task<Result<resp::RespValue>> task, Seen seen) {
    Result<resp::RespValue> reply = co_await std::move(task);
    seen->emplace(std::move(reply));
  }
  Seen send(std::vector<std::string_view> words, Duration timeout = 0s) {
    auto seen = std::make_shared<std::optional<Result<resp::RespValue>>>();
    spawn(await_into(client->send(words, timeout), seen));
    return seen;
  }
  Seen run_script() {
    auto seen = std::make_shared<std::optional<Result<resp::RespValue>>>();
    spawn(await_into(client->run(0, 1, {"k"}), seen));
    return seen;
  }
  // Brings a connection to service; scripts get the hash "abc".
  void greet() {
    client->connect();
    line().accept();
    line().reply(kHelloOk);
    line().reply("+OK\r\n");
    for (std::size_t i = 0; i < scripts; ++i) line().reply("$3\r\nabc\r\n");
    (void)line().take();
    line().writes = 0;
  }
  void start(ClientOptions o) {
    scripts = o.hello.scripts.size();
    client = std::make_unique<Client>(&executor, &transport, std::move(o), 1);
  }
  TestTransport::Line& line() { return transport.last(); }
  static ErrorCode code(const Seen& seen) {
    CANDOR_ASSERT(seen->has_value() && !seen->value().has_value());
    return seen->value().error().code;
  }
  static std::string text(const Seen& seen) {
    CANDOR_ASSERT(seen->has_value() && seen->value().has_value());
    return seen->value()->text;
  }
  void SetUp() override { start(options()); }

  VirtualExecutor executor;
  TestTransport transport;
  std::size_t scripts = 0;
  std::unique_ptr<Client> client;
};

TEST_F(RedisClientTest, CommandsOfOneTurnLeaveInOneWrite) {
  greet();
  std::vector<Seen> seen;
  for (int i = 0; i < 10; ++i) seen.push_back(send({"PING"}));
  EXPECT_EQ(line().writes, 0);
  executor.run_ready();
  EXPECT_EQ(line().writes, 1);
  std::string expected;
  for (int i = 0; i < 10; ++i) expected += "*1\r\n$4\r\nPING\r\n";
  EXPECT_EQ(line().take(), expected);
  for (int i = 0; i < 10; ++i) line().reply("+" + std::to_string(i) + "\r\n");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(text(seen[static_cast<std::size_t>(i)]), std::to_string(i));
  EXPECT_EQ(client->outstanding(), 0U);
}

TEST_F(RedisClientTest, FirstCommandConnectsAndWaitsForTheGreeting) {
  const Seen seen = send({"GET", "a"});
  EXPECT_EQ(line().take(), "");
  line().accept();
  EXPECT_EQ(line().take(), "*4\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$7\r\nSETNAME\r\n$6\r\ncandor\r\n");
  line().reply(kHelloOk);
  EXPECT_EQ(line().take(), "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n");
  line().reply("+OK\r\n");
  EXPECT_EQ(line().take(), "*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
  line().reply("$1\r\nv\r\n");
  EXPECT_EQ(text(seen), "v");
}

TEST_F(RedisClientTest, AServerWithoutHelloIsSpokenToInResp2) {
  ClientOptions o = options();
  o.hello.user = "app";
  o.hello.password = "secret";
  o.hello.database = 2;
  start(o);
  client->connect();
  line().accept();
  (void)line().take();
  line().reply("-ERR unknown command `HELLO`\r\n");
  EXPECT_EQ(line().take(), "*3\r\n$4\r\nAUTH\r\n$3\r\napp\r\n$6\r\nsecret\r\n");
  line().reply("+OK\r\n");
  EXPECT_EQ(line().take(), "*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n");
  line().reply("+OK\r\n");
  EXPECT_TRUE(client->stats().connected);
}

TEST_F(RedisClientTest, AWrongPasswordIsToldWithoutThePassword) {
  ClientOptions o = options();
  o.hello.password = "hunter2";
  start(o);
  const Seen seen = send({"PING"});
  line().accept();
  EXPECT_NE(line().take().find("hunter2"), std::string::npos);
  line().reply("-WRONGPASS invalid username-password pair or user is disabled.\r\n");
  ASSERT_EQ(code(seen), ErrorCode::kUnavailable);
  EXPECT_NE(seen->value().error().message.find("check both in the URL"), std::string::npos)
      << seen->value().error().message;
  EXPECT_EQ(seen->value().error().message.find("hunter2"), std::string::npos);
}

TEST_F(RedisClientTest, RepliesCutAnywhereMakeNoDifference) {
  greet();
  const std::string replies = "$5\r\nhello\r\n*2\r\n:1\r\n$1\r\nx\r\n";
  const Seen a = send({"GET", "a"}), b = send({"EXEC"});
  executor.run_ready();
  for (const char c : replies) line().reply({&c, 1});
  EXPECT_EQ(text(a), "hello");
  EXPECT_EQ(b->value()->items.size(), 2U);
}

TEST_F(RedisClientTest, CutMidReplyFailsAllThatWasUnderWayAndReconnects) {
  greet();
  const Seen a = send({"GET", "a"}), b = send({"GET", "b"});
  executor.run_ready();
  line().reply("$100\r\nhalf");
  line().close("connection reset");
  EXPECT_EQ(code(a), ErrorCode::kTimeout);  // whether it was carried out nobody knows
  EXPECT_NE(a->value().error().message.find("connection reset"), std::string::npos);
  EXPECT_EQ(code(b), ErrorCode::kTimeout);
  EXPECT_EQ(code(send({"GET", "c"})), ErrorCode::kUnavailable);  // at once, no waiting
  executor.advance(50ms);
  ASSERT_EQ(transport.lines.size(), 2U);
  greet();
  const Seen d = send({"GET", "d"});
  executor.run_ready();
  line().reply("$1\r\nv\r\n");
  EXPECT_EQ(text(d), "v");
  EXPECT_EQ(client->stats().connects, 2U);
}

TEST_F(RedisClientTest, SilenceEndsInATimeoutThenTheLateReplyIsDropped) {
  greet();
  const Seen a = send({"GET", "a"});
  executor.advance(499ms);
  EXPECT_FALSE(a->has_value());
  executor.advance(1ms + Client::kTickMax);
  EXPECT_EQ(code(a), ErrorCode::kTimeout);
  const Seen b = send({"GET", "b"});
  executor.run_ready();
  line().reply("$1\r\na\r\n$1\r\nb\r\n");
  EXPECT_EQ(text(b), "b");
  EXPECT_EQ(client->stats().late_replies, 1U);
}

TEST_F(RedisClientTest, LastingSilenceEndsTheConnection) {
  greet();
  const Seen a = send({"GET", "a"});
  executor.advance(2500ms);
  EXPECT_EQ(code(a), ErrorCode::kTimeout);
  EXPECT_GE(transport.lines.size(), 2U);
}

TEST_F(RedisClientTest, OwnDeadlineIsKeptWithinATick) {
  greet();
  const Seen a = send({"GET", "a"}, 100ms);
  executor.advance(100ms + Client::kTickMax);
  EXPECT_EQ(code(a), ErrorCode::kTimeout);
}

TEST_F(RedisClientTest, ALargeReplyThatMovesIsWaitedForButNotForEver) {
  greet();
  const Seen a = send({"GET", "big"});
  const Seen hasty = send({"GET", "small"}, 300ms);
  executor.run_ready();
  line().reply("$10000000\r\n");
  const std::string chunk(300'000, 'x');
  for (int i = 0; i < 20; ++i) {
    line().reply(chunk);
    executor.advance(100ms);
  }
  EXPECT_FALSE(a->has_value());
  EXPECT_EQ(code(hasty), ErrorCode::kTimeout);  // its own deadline is not ours to extend
  for (int i = 0; i < 100; ++i) {
    line().reply("x");
    executor.advance(100ms);
  }
  EXPECT_EQ(code(a), ErrorCode::kTimeout);
}

TEST_F(RedisClientTest, ALargeReplyThatStopsMovingTimesOut) {
  greet();
  const Seen a = send({"GET", "big"});
  executor.run_ready();
  line().reply("$10000000\r\n" + std::string(300'000, 'x'));
  executor.advance(600ms);
  EXPECT_EQ(code(a), ErrorCode::kTimeout);
}

TEST_F(RedisClientTest, ALargeCommandHasTimeToTravelAndToBeWorkedOn) {
  ClientOptions o = options();
  o.unsent_bytes_max = 100 << 20;
  start(o);
  greet();
  const std::string value(32 << 20, 'x');
  const Seen a = send({"SET", "big", value});
  executor.run_ready();
  EXPECT_EQ(line().take().size(), value.size() + 35);
  executor.advance(1400ms);  // half a second, and one for 32 MiB
  EXPECT_FALSE(a->has_value());
  executor.advance(200ms);
  EXPECT_EQ(code(a), ErrorCode::kTimeout);
}

TEST_F(RedisClientTest, TooManyOutstandingIsOverloadedAtOnce) {
  greet();
  for (int i = 0; i < 100; ++i) send({"PING"});
  EXPECT_EQ(code(send({"PING"})), ErrorCode::kOverloaded);
  EXPECT_EQ(client->stats().overloaded, 1U);
}

TEST_F(RedisClientTest, TooManyBytesUnsentIsOverloaded) {
  greet();
  line().unsent = 1 << 20;
  EXPECT_EQ(code(send({"SET", "a", "b"})), ErrorCode::kOverloaded);
}

TEST_F(RedisClientTest, WhatTimedOutBeforeTheConnectionIsNeverSent) {
  const Seen a = send({"SET", "a", "old"}, 100ms);
  const Seen b = send({"SET", "a", "new"});
  executor.advance(200ms);
  EXPECT_EQ(code(a), ErrorCode::kTimeout);
  line().accept();
  line().reply(kHelloOk);
  (void)line().take();
  line().reply("+OK\r\n");
  EXPECT_EQ(line().take(), "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\nnew\r\n");
  line().reply("+OK\r\n");
  EXPECT_EQ(text(b), "OK");
}

TEST_F(RedisClientTest, AGreetingThatNeverComesIsGivenUp) {
  const Seen a = send({"PING"});
  line().accept();
  executor.advance(3s);
  EXPECT_TRUE(a->has_value());
  EXPECT_GE(transport.lines.size(), 2U);
}

TEST_F(RedisClientTest, FailuresOpenTheBreakerAndReconnectingClosesIt) {
  greet();
  for (int i = 0; i < 5; ++i) send({"PING"});
  executor.run_ready();
  for (int i = 0; i < 5; ++i) line().reply("-LOADING Redis is loading the dataset in memory\r\n");
  EXPECT_TRUE(client->stats().breaker_open);
  executor.run_ready();
  (void)line().take();
  EXPECT_EQ(code(send({"PING"})), ErrorCode::kUnavailable);
  executor.run_ready();
  EXPECT_EQ(line().take(), "");  // nothing was sent
  executor.advance(1s);
  EXPECT_EQ(line().take(), kPing);                               // the client's own question
  EXPECT_EQ(code(send({"GET", "a"})), ErrorCode::kUnavailable);  // nobody waits for its answer
  line().reply("-LOADING Redis is loading the dataset in memory\r\n");
  executor.advance(1999ms);
  EXPECT_EQ(line().take(), "");
  executor.advance(1ms);
  EXPECT_EQ(line().take(), kPing);
  line().reply("+PONG\r\n");
  EXPECT_FALSE(client->stats().breaker_open);
  EXPECT_EQ(client->stats().breaker_opened, 2U);
  const Seen a = send({"GET", "a"});
  executor.run_ready();
  line().reply("$1\r\nv\r\n");
  EXPECT_EQ(text(a), "v");
}

TEST_F(RedisClientTest, OneCommandInVainOpensTheBreakerWhenNothingArrivedSince) {
  greet();
  executor.advance(1ms);
  const Seen a = send({"GET", "a"});
  executor.advance(500ms + Client::kTickMax);
  EXPECT_EQ(code(a), ErrorCode::kTimeout);
  EXPECT_TRUE(client->stats().breaker_open);
  const Seen b = send({"GET", "b"});
  EXPECT_EQ(code(b), ErrorCode::kUnavailable);
  EXPECT_NE(b->value().error().message.find("silent"), std::string::npos) << b->value().error().message;
}

TEST_F(RedisClientTest, OneSlowCommandAmongAnswersIsNoSilence) {
  greet();
  executor.advance(1ms);
  const Seen fast = send({"GET", "a"});
  const Seen slow = send({"KEYS", "*"});
  executor.run_ready();
  executor.advance(10ms);
  line().reply("$1\r\nv\r\n");
  executor.advance(600ms);
  EXPECT_EQ(code(slow), ErrorCode::kTimeout);
  EXPECT_FALSE(client->stats().breaker_open);
}

TEST_F(RedisClientTest, ACallersShortDeadlineProvesNoSilence) {
  greet();
  executor.advance(1ms);
  const Seen a = send({"GET", "a"}, 50ms);
  executor.advance(100ms);
  EXPECT_EQ(code(a), ErrorCode::kTimeout);
  EXPECT_FALSE(client->stats().breaker_open);
}

TEST_F(RedisClientTest, AnythingThatArrivesEndsTheSilenceByAPing) {
  greet();
  executor.advance(1ms);
  send({"GET", "a"});
  executor.advance(600ms);
  ASSERT_TRUE(client->stats().breaker_open);
  (void)line().take();
  line().reply("$1\r\nv\r\n");  // late, and a sign of life
  executor.run_ready();
  EXPECT_EQ(line().take(), kPing);
  line().reply("+PONG\r\n");
  EXPECT_FALSE(client->stats().breaker_open);
}

TEST_F(RedisClientTest, AServerThatStaysSilentIsAskedEverMoreRarelyAndThenLeft) {
  greet();
  executor.advance(1ms);
  send({"GET", "a"});
  executor.advance(2100ms);
  EXPECT_EQ(client->stats().breaker_opened, 2U);  // the ping of a second later was in vain as well
  EXPECT_FALSE(client->stats().connected);
  // The next connection comes to be and says nothing: nobody waits for it.
  executor.advance(60ms);
  ASSERT_EQ(transport.lines.size(), 2U);
  line().accept();
  EXPECT_EQ(code(send({"GET", "b"})), ErrorCode::kUnavailable);
}

TEST_F(RedisClientTest, AServerThatBecameAReplicaIsLeftUntilThereIsAPrimary) {
  ClientOptions o = options();
  o.leaves_replicas = true;
  start(o);
  greet();
  const Seen a = send({"SET", "a", "v"});
  executor.run_ready();
  line().reply("-READONLY You can't write against a read only replica.\r\n");
  EXPECT_EQ(code(a), ErrorCode::kUnavailable);
  EXPECT_FALSE(client->stats().connected);
  EXPECT_EQ(client->stats().demotions, 1U);
  executor.advance(50ms);
  ASSERT_EQ(transport.lines.size(), 2U);
  line().accept();
  line().reply("%1\r\n$4\r\nrole\r\n$7\r\nreplica\r\n");
  line().reply("+OK\r\n");
  EXPECT_FALSE(client->stats().connected);
  executor.advance(100ms);
  ASSERT_EQ(transport.lines.size(), 3U);
  line().accept();
  line().reply("%1\r\n$4\r\nrole\r\n$6\r\nmaster\r\n");
  line().reply("+OK\r\n");
  EXPECT_TRUE(client->stats().connected);
  EXPECT_EQ(client->stats().demotions, 1U);
}

TEST_F(RedisClientTest, AReaderStaysWithItsReplica) {
  greet();
  const Seen a = send({"SET", "a", "v"});
  executor.run_ready();
  line().reply("-READONLY You can't write against a read only replica.\r\n");
  EXPECT_EQ(code(a), ErrorCode::kUnavailable);
  EXPECT_TRUE(client->stats().connected);
}

TEST_F(RedisClientTest, AnErrorOfTheCommandIsAValueAndNoFailure) {
  greet();
  std::vector<Seen> seen;
  for (int i = 0; i < 10; ++i) seen.push_back(send({"GET", "list"}));
  executor.run_ready();
  for (int i = 0; i < 10; ++i) line().reply("-WRONGTYPE Operation against a key\r\n");
  EXPECT_TRUE(seen.back()->value()->is_error());
  EXPECT_FALSE(client->stats().breaker_open);
}

TEST_F(RedisClientTest, ReconnectingBacksOffWithJitter) {
  client->connect();
  for (int i = 0; i < 40; ++i) {
    line().close("connection refused");
    const std::size_t before = transport.lines.size();
    executor.advance(2s);
    ASSERT_EQ(transport.lines.size(), before + 1);
  }
}

TEST_F(RedisClientTest, BytesThatAreNotRespEndTheConnection) {
  greet();
  const Seen a = send({"PING"});
  executor.run_ready();
  line().reply("HTTP/1.1 400 Bad Request\r\n");
  EXPECT_EQ(code(a), ErrorCode::kTimeout);
  EXPECT_FALSE(client->stats().connected);
}

TEST_F(RedisClientTest, AReplyThatNobodyAskedForEndsTheConnection) {
  greet();
  line().reply("+OK\r\n");
  EXPECT_FALSE(client->stats().connected);
}

TEST_F(RedisClientTest, PushesAreNotTakenForReplies) {
  greet();
  const Seen a = send({"PING"});
  executor.run_ready();
  line().reply(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n+PONG\r\n");
  EXPECT_EQ(text(a), "PONG");
}

TEST_F(RedisClientTest, ALoadedScriptIsCalledByItsHashAndSentAgainWhenTheServerForgotIt) {
  ClientOptions o = options();
  o.hello.scripts = {kScript};
  start(o);
  greet();
  const Seen a = run_script();
  executor.run_ready();
  EXPECT_EQ(line().take(), "*4\r\n$7\r\nEVALSHA\r\n$3\r\nabc\r\n$1\r\n1\r\n$1\r\nk\r\n");
  line().reply("-NOSCRIPT No matching script.\r\n");
  executor.run_ready();
  EXPECT_EQ(line().take(), "*4\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n1\r\n$1\r\nk\r\n");
  line().reply(":1\r\n");
  EXPECT_EQ(a->value()->integer, 1);
  EXPECT_EQ(client->stats().scripts_resent, 1U);
}

TEST_F(RedisClientTest, AScriptThatDidNotLoadIsSentInFullAndItsHashLearnt) {
  ClientOptions o = options();
  o.hello.scripts = {kScript};
  start(o);
  client->connect();
  line().accept();
  line().reply(kHelloOk);
  line().reply("+OK\r\n-LOADING later\r\n");
  (void)line().take();
  const Seen a = run_script();
  executor.run_ready();
  EXPECT_TRUE(line().take().starts_with("*4\r\n$4\r\nEVAL\r\n"));
  line().reply(":1\r\n");
  executor.run_ready();
  EXPECT_EQ(line().take(), "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$8\r\nreturn 1\r\n");
  line().reply("$3\r\nabc\r\n");
  run_script();
  executor.run_ready();
  EXPECT_TRUE(line().take().starts_with("*4\r\n$7\r\nEVALSHA\r\n"));
}

TEST_F(RedisClientTest, EndingTheClientAnswersWhatIsOutstanding) {
  greet();
  const Seen a = send({"PING"});
  executor.run_ready();
  client.reset();
  EXPECT_EQ(code(a), ErrorCode::kUnavailable);
  executor.advance(10s);  // no timer of it is left
  EXPECT_EQ(executor.timers(), 0U);
}

}  // namespace
}  // namespace candor::redis
