#include "server/session.h"

#include "proto/command_writer.h"
#include "server/password.h"
#include "server/testing_server.h"

namespace candor::server::testing {
namespace {

using SessionTest = ServerTest;

TEST_F(SessionTest, PingIsAnsweredInBothForms) {
  EXPECT_EQ(exchange("PING\r\n*2\r\n$4\r\nPING\r\n$2\r\nhi\r\n"), "+PONG\r\n$2\r\nhi\r\n");
}

TEST_F(SessionTest, GetReadsThroughAndThenHits) {
  rows["1"] = "ada";
  EXPECT_EQ(exchange("GET row:1\r\n"), "$3\r\nada\r\n");
  EXPECT_EQ(exchange("GET row:1\r\n"), "$3\r\nada\r\n");
  EXPECT_EQ(calls, std::vector<std::string>{"load 1"});
}

TEST_F(SessionTest, AbsentRowIsNullInBothProtocols) {
  EXPECT_EQ(exchange("GET row:9\r\n"), "$-1\r\n");
  Client& client = connect();
  client.send("HELLO 3\r\n");
  EXPECT_EQ(client.send("GET row:9\r\n"), "_\r\n");
  EXPECT_EQ(calls.size(), 1U);
}

TEST_F(SessionTest, PipelinedRepliesKeepTheirOrderWhenMissesComeBackInAnother) {
  hold_answers();
  rows = {{"1", "a"}, {"2", "b"}, {"3", "c"}};
  Client& client = connect();
  EXPECT_EQ(client.send("GET row:1\r\nPING\r\nGET row:2\r\nGET nothing\r\nGET row:3\r\n"), "");
  let_go(2);
  let_go(1);
  EXPECT_EQ(client.take(), "");
  let_go(0);
  EXPECT_EQ(client.take(),
            "$1\r\na\r\n+PONG\r\n$1\r\nb\r\n-NOFEATURE the key names no feature; keys are feature:key, see "
            "[features.*] in the configuration, or set resp.plain_feature\r\n$1\r\nc\r\n");
}

TEST_F(SessionTest, ReadWaitsForTheWriteOfItsKeyBeforeIt) {
  hold_answers();
  rows["1"] = "old";
  Client& client = connect();
  client.send("SET row:1 new\r\nGET row:1\r\n");
  EXPECT_EQ(calls, std::vector<std::string>{"store 1"});
  let_go(0);
  EXPECT_EQ(client.take(), "+OK\r\n");
  let_go(1);
  EXPECT_EQ(client.take(), "$3\r\nnew\r\n");
}

TEST_F(SessionTest, WriteWaitsForTheReadOfItsKeyBeforeIt) {
  hold_answers();
  rows["1"] = "old";
  Client& client = connect();
  client.send("GET row:1\r\nSET row:1 new\r\n");
  EXPECT_EQ(calls, std::vector<std::string>{"load 1"});
  let_go(0);
  EXPECT_EQ(client.take(), "$3\r\nold\r\n");
  let_go(1);
  EXPECT_EQ(client.take(), "+OK\r\n");
}

TEST_F(SessionTest, WritesOfDifferentKeysOverlap) {
  hold_answers();
  Client& client = connect();
  client.send("SET row:1 a\r\nSET row:2 b\r\n");
  EXPECT_EQ(calls.size(), 2U);
  let_go(1);
  let_go(0);
  EXPECT_EQ(client.take(), "+OK\r\n+OK\r\n");
}

TEST_F(SessionTest, BarrierWaitsForEverything) {
  hold_answers();
  Client& client = connect();
  client.send("GET row:1\r\nHELLO 3\r\nGET row:2\r\n");
  EXPECT_EQ(calls.size(), 1U);
  let_go(0);
  EXPECT_TRUE(client.take().starts_with("$-1\r\n%7\r\n"));
  EXPECT_EQ(calls.size(), 2U);
  let_go(1);
  EXPECT_EQ(client.take(), "_\r\n");
}

TEST_F(SessionTest, BytesThatArriveWhileStalledAreKept) {
  hold_answers();
  Client& client = connect();
  client.send("SET row:1 a\r\nGET row:1\r\nPI");
  EXPECT_TRUE(client.peer.paused_);
  client.send("NG\r\nECHO x\r\n");
  let_go(0);
  let_go(1);
  EXPECT_EQ(client.take(), "+OK\r\n$1\r\na\r\n+PONG\r\n$1\r\nx\r\n");
  EXPECT_FALSE(client.peer.paused_);
}

TEST_F(SessionTest, PendingRequestsAreBoundedByPausing) {
  context.options.pending_max = 3;
  hold_answers();
  Client& client = connect();
  std::string bytes;
  for (int i = 0; i < 5; ++i) bytes += "EXISTS row:" + std::to_string(i) + "\r\n";
  client.send(bytes);
  EXPECT_EQ(calls.size(), 3U);
  EXPECT_TRUE(client.peer.paused_);
  for (std::size_t i = 0; i < 5; ++i) let_go(i);
  EXPECT_EQ(client.take(), ":0\r\n:0\r\n:0\r\n:0\r\n:0\r\n");
  EXPECT_FALSE(client.peer.paused_);
}

TEST_F(SessionTest, ConnectionThatIsGoneGetsNothing) {
  hold_answers();
  Client& client = connect();
  client.send("GET row:1\r\nSET row:2 x\r\n");
  client.hang_up();
  let_go(0);
  let_go(1);
  EXPECT_EQ(rows["2"], "x");
  EXPECT_EQ(server().connections(), 0U);
}

TEST_F(SessionTest, ConnectionThatWasKilledRunsNothingMore) {
  hold_answers();
  Client& client = connect();
  client.send("SET row:1 a\r\nSET row:1 b\r\nSET row:2 c\r\n");
  const std::string id = std::to_string(client.peer.id());
  EXPECT_EQ(connect().send("CLIENT KILL ID " + id + "\r\n"), ":1\r\n");
  let_go(0);  // what waited behind it would run now
  client.send("SET row:3 d\r\n");
  EXPECT_EQ(calls, std::vector<std::string>{"store 1"});
}

TEST_F(SessionTest, ConnectionCutByItsOwnMessagesRunsNothingMore) {
  context.options.output_bytes_max = 5000;
  Client& client = connect();
  client.send("HELLO 3\r\nSUBSCRIBE a\r\n");
  client.peer.reads_ = false;
  std::string bytes;
  for (int i = 0; i < 10; ++i) bytes += "PUBLISH a " + std::string(1000, 'm') + "\r\n";
  client.send(bytes + "SET cache:k v\r\n");
  EXPECT_NE(client.peer.aborted_, "");
  EXPECT_EQ(exchange("GET cache:k\r\n"), "$-1\r\n");
}

TEST_F(SessionTest, OriginsErrorsAreNamedByTheirFirstWord) {
  origin_down = true;
  EXPECT_TRUE(exchange("GET row:1\r\n").starts_with("-ORIGINDOWN "));
  EXPECT_TRUE(exchange("SET row:1 x\r\n").starts_with("-ORIGINDOWN "));
  EXPECT_TRUE(exchange("SET view:1 x\r\n").starts_with("-READONLY "));
  EXPECT_TRUE(exchange("DEL view:1\r\n").starts_with("-READONLY "));
  EXPECT_TRUE(exchange("MGET row:1 row:2\r\n").starts_with("-ORIGINDOWN "));
}

TEST_F(SessionTest, AFailedWriteSaysWhetherItMayHaveHappened) {
  origin_down = true;
  EXPECT_TRUE(exchange("SET row:1 x\r\n").starts_with("-ORIGINDOWN not written: "));
  EXPECT_TRUE(exchange("DEL row:1\r\n").starts_with("-ORIGINDOWN not written: "));
  EXPECT_TRUE(exchange("MSET row:1 x row:2 y\r\n").starts_with("-ORIGINDOWN not written: "));
  EXPECT_TRUE(exchange("MSET row:1 x cache:k y\r\n").starts_with("-ORIGINDOWN partly written: 1 of 2 keys"));
  EXPECT_TRUE(exchange("GET row:1\r\n").starts_with("-ORIGINDOWN the "));
  EXPECT_EQ(reply_text(Error{ErrorCode::kUnknownOutcome, "no reply"}),
            "ORIGINDOWN unknown outcome: no reply");
}

TEST_F(SessionTest, ReadThatDoesNotFinishInTimeSaysSo) {
  hold_answers();
  Client& client = connect();
  client.send("GET row:1\r\n");
  executor.advance(6s);
  const std::string reply = client.take();
  EXPECT_TRUE(reply.starts_with("-ORIGINDOWN ")) << reply;
  EXPECT_NE(reply.find("deadline"), std::string::npos) << reply;
  let_go(0);
  EXPECT_EQ(reply_text(Error{ErrorCode::kTimeout, "no reply from redis"}),
            "ORIGINDOWN the deadline passed: no reply from redis");
}

TEST_F(SessionTest, UnknownCommandIsAnsweredInRedisWords) {
  EXPECT_EQ(exchange("EVAL \"return 1\" 0\r\n"),
            "-ERR unknown command 'EVAL', with args beginning with: 'return 1' '0' \r\n");
  EXPECT_EQ(exchange("foo\r\n"), "-ERR unknown command 'foo', with args beginning with: \r\n");
}

TEST_F(SessionTest, WrongNumberOfArgumentsIsAnsweredInRedisWords) {
  EXPECT_EQ(exchange("GET\r\n"), "-ERR wrong number of arguments for 'get' command\r\n");
}

TEST_F(SessionTest, KeyOverTheLimitIsRefused) {
  EXPECT_TRUE(exchange("GET row:" + std::string(4097, 'k') + "\r\n").starts_with("-LIMIT "));
  EXPECT_EQ(exchange("GET row:" + std::string(4096, 'k') + "\r\n"), "$-1\r\n");
}

TEST_F(SessionTest, ProtocolErrorIsToldAndEndsTheConnection) {
  Client& client = connect();
  EXPECT_EQ(client.send("PING\r\n*1\r\n:1\r\nPING\r\n"),
            "+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n");
  EXPECT_TRUE(client.peer.closed_);
}

TEST_F(SessionTest, ProtocolErrorWaitsForTheRepliesBeforeIt) {
  hold_answers();
  Client& client = connect();
  EXPECT_EQ(client.send("GET row:1\r\n*x\r\n"), "");
  EXPECT_FALSE(client.peer.closed_);
  let_go(0);
  EXPECT_EQ(client.take(), "$-1\r\n-ERR Protocol error: invalid multibulk length\r\n");
  EXPECT_TRUE(client.peer.closed_);
}

TEST_F(SessionTest, HttpIsRefusedAndNothingAfterItRuns) {
  for (const char* request :
       {"GET / HTTP/1.1\r\nHost: x\r\n\r\nSET row:1 evil\r\n", "POST / HTTP/1.1\r\n\r\nSET row:1 evil\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nSET row:1 evil\r\n", "host: x\r\nSET row:1 evil\r\n"}) {
    Client& client = connect();
    EXPECT_EQ(client.send(request), "-ERR this port speaks the Redis protocol, not HTTP\r\n") << request;
    EXPECT_TRUE(client.peer.closed_);
  }
  EXPECT_TRUE(calls.empty());
  EXPECT_EQ(server().counters().foreign_protocols.value(), 4U);
}

TEST_F(SessionTest, TlsHelloOnThePlainPortIsRefused) {
  Client& client = connect();
  EXPECT_TRUE(client.send("\x16\x03\x01\x02").starts_with("-ERR this is the plain port"));
  EXPECT_TRUE(client.peer.closed_);
}

TEST_F(SessionTest, QuitClosesAfterTheRepliesBeforeIt) {
  hold_answers();
  Client& client = connect();
  EXPECT_EQ(client.send("GET row:1\r\nQUIT\r\nPING\r\n"), "");
  let_go(0);
  EXPECT_EQ(client.take(), "$-1\r\n+OK\r\n");
  EXPECT_TRUE(client.peer.closed_);
}

TEST_F(SessionTest, DrainFinishesWhatIsUnderWay) {
  hold_answers();
  Client& busy = connect();
  Client& idle = connect();
  busy.send("GET row:1\r\n");
  busy.drain();
  idle.drain();
  EXPECT_TRUE(idle.peer.closed_);
  EXPECT_FALSE(busy.peer.closed_);
  let_go(0);
  EXPECT_EQ(busy.take(), "$-1\r\n");
  EXPECT_TRUE(busy.peer.closed_);
}

// ---- bounds ----

TEST_F(SessionTest, ClientThatDoesNotReadStopsBeingServed) {
  context.options.output_pause_bytes = 1000;
  Client& client = connect();
  client.send("SET cache:k " + std::string(400, 'v') + "\r\n");
  client.peer.reads_ = false;
  std::string bytes;
  for (int i = 0; i < 100; ++i) bytes += "GET cache:k\r\n";
  client.send(bytes);
  EXPECT_LT(client.peer.output_.size(), 2000U);
  EXPECT_TRUE(client.peer.paused_);
  std::size_t replies = 0;
  for (int turn = 0; turn < 100; ++turn) {
    client.read_everything();
    for (const char c : client.take()) replies += c == '$';
  }
  EXPECT_EQ(replies, 100U);
  EXPECT_FALSE(client.peer.paused_);
}

TEST_F(SessionTest, ClientThatReadsSlowlyNeverHasMuchWaiting) {
  context.options.output_pause_bytes = 1000;
  Client& client = connect();
  client.send("SET cache:k " + std::string(400, 'v') + "\r\n");
  client.peer.reads_ = false;
  const std::string value = "$400\r\n" + std::string(400, 'v') + "\r\n";
  std::string bytes;
  std::string wanted;
  for (int i = 0; i < 20; ++i) {
    for (int k = 0; k < 10; ++k) {
      bytes += "GET cache:k\r\n";
      wanted += value;
    }
    bytes += "ECHO " + std::to_string(100 + i) + "\r\n";
    wanted += "$3\r\n" + std::to_string(100 + i) + "\r\n";
  }
  client.send(bytes);
  std::string received;
  for (int turn = 0; turn < 200; ++turn) {
    ASSERT_LT(client.peer.output_.size(), 2000U);
    received += client.read_once();
  }
  EXPECT_EQ(received, wanted);
}

TEST_F(SessionTest, RepliesBehindASlowOneCountAsOutput) {
  context.options.output_pause_bytes = 1000;
  context.options.output_bytes_max = 5000;
  hold_answers();
  for (int i = 0; i < 10; ++i) rows[std::to_string(i)] = std::string(1000, 'v');
  Client& patient = connect();
  std::string bytes = "GET row:none\r\n";
  for (int i = 0; i < 100; ++i) bytes += "ECHO " + std::string(400, 'e') + "\r\n";
  patient.send(bytes);
  EXPECT_TRUE(patient.peer.paused_);
  EXPECT_EQ(patient.peer.aborted_, "");  // the rest of its requests waits
  Client& greedy = connect();
  bytes.clear();
  for (int i = 0; i < 10; ++i) bytes += "GET row:" + std::to_string(i) + "\r\n";
  greedy.send(bytes);
  for (std::size_t gate = 2; gate <= 10; ++gate) let_go(gate);  // all but its first
  EXPECT_EQ(greedy.peer.aborted_, "output limit: the client does not read its replies");
  let_go(0);
  std::size_t replies = 0;
  for (int turn = 0; turn < 100; ++turn) {
    for (const char c : patient.take()) replies += c == '$';
    patient.read_everything();
  }
  EXPECT_EQ(replies, 101U);
  let_go(1);
}

TEST_F(SessionTest, RequestsBehindAMissAndManyHitsGoOnAsSoonAsTheRepliesHaveLeft) {
  context.options.output_pause_bytes = 1000;
  rows["1"] = "a";
  Client& client = connect();
  client.send("SET cache:k " + std::string(400, 'v') + "\r\n");
  hold_answers();
  std::string bytes = "GET row:1\r\n";
  for (int i = 0; i < 100; ++i) bytes += "GET cache:k\r\n";
  EXPECT_EQ(client.send(bytes), "");
  EXPECT_TRUE(client.peer.paused_);
  let_go(0);
  std::size_t replies = 0;
  for (const char c : client.take()) replies += c == '$';  // without a tick, and on_drained() is not called
  EXPECT_EQ(replies, 101U);
  EXPECT_FALSE(client.peer.paused_);
}

TEST_F(SessionTest, ClientThatDoesNotReadDoesNotKeepTheLoopAwake) {
  context.options.output_pause_bytes = 1000;
  rows["1"] = "a";
  Client& client = connect();
  client.send("SET cache:k " + std::string(400, 'v') + "\r\n");
  hold_answers();
  std::string bytes = "GET row:1\r\n";
  for (int i = 0; i < 100; ++i) bytes += "GET cache:k\r\n";
  client.send(bytes);
  client.peer.reads_ = false;
  let_go(0);  // returns: nothing is posted for ever
  EXPECT_TRUE(client.peer.paused_);
  EXPECT_LT(client.peer.output_.size(), 2000U);
}

TEST_F(SessionTest, PendingReadsOfOneChunkAreBounded) {
  context.options.pending_max = 3;
  hold_answers();
  Client& client = connect();
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes += "GET row:" + std::to_string(i) + "\r\n";
  client.send(bytes);
  EXPECT_LE(calls.size(), context.options.pending_max + kReadBatchMax);
  EXPECT_TRUE(client.peer.paused_);
  for (std::size_t i = 0; i < 300; ++i) let_go(i);
  EXPECT_EQ(calls.size(), 300U);
}

TEST_F(SessionTest, AStallInTheMiddleOfARequestIsGotOver) {
  context.options.pending_max = 3;
  hold_answers();
  Client& client = connect();
  std::string bytes;
  for (int i = 0; i < 50; ++i) {
    const std::string key = "row:" + std::to_string(100 + i);
    bytes += "*2\r\n$3\r\nGET\r\n$7\r\n" + key + "\r\n";
  }
  client.send(bytes.substr(0, bytes.size() - 9));  // the last one's key is missing
  EXPECT_TRUE(client.peer.paused_);
  client.send(bytes.substr(bytes.size() - 9, 3));
  for (std::size_t i = 0; i < 49; ++i) let_go(i);
  EXPECT_FALSE(client.peer.paused_);
  std::string answered = client.send(bytes.substr(bytes.size() - 6));
  let_go(49);
  answered += client.take();
  std::string expected;
  for (int i = 0; i < 50; ++i) expected += "$-1\r\n";
  EXPECT_EQ(answered, expected);
}

TEST_F(SessionTest, ClientThatNeverReadsIsCutOff) {
  Client& client = connect();
  client.peer.reads_ = false;
  client.send("PING\r\n");
  for (int second = 0; second < 59; ++second) {
    executor.advance(1s);
    client.tick();
  }
  EXPECT_EQ(client.peer.aborted_, "");
  executor.advance(5s);
  client.tick();
  EXPECT_EQ(client.peer.aborted_, "the client does not read its replies");
  EXPECT_EQ(server().counters().slow_readers_cut.value(), 1U);
}

TEST_F(SessionTest, SubscriberThatDoesNotReadIsCutAtTheOutputLimit) {
  context.options.output_bytes_max = 5000;
  Client& client = connect();
  client.send("SUBSCRIBE news\r\n");
  client.peer.reads_ = false;
  for (int i = 0; i < 10; ++i) exchange("PUBLISH news " + std::string(1000, 'm') + "\r\n");
  EXPECT_NE(client.peer.aborted_, "");
  EXPECT_LT(client.peer.output_.size(), 8000U);
}

TEST_F(SessionTest, ConnectionsOverTheLimitAreRefused) {
  context.options.connections_max = 2;
  Client& first = connect();
  EXPECT_TRUE(connect().accepted());
  EXPECT_FALSE(connect().accepted());
  first.hang_up();
  EXPECT_TRUE(connect().accepted());
  EXPECT_EQ(server().counters().connections_refused.value(), 1U);
}

TEST_F(SessionTest, CommandThatNeverEndsIsCutOff) {
  Client& client = connect();
  client.send("PING\r\n*2\r\n$3\r\nGE");
  executor.advance(119s);
  client.tick();
  EXPECT_EQ(client.peer.aborted_, "");
  client.send("T");  // progress does not extend it
  executor.advance(2s);
  client.tick();
  EXPECT_EQ(client.peer.aborted_, "a command did not arrive whole in time");
}

TEST_F(SessionTest, ConnectionWithoutACommandIsCutOff) {
  Client& silent = connect();
  Client& polite = connect();
  polite.send("PING\r\n");
  executor.advance(61s);
  silent.tick();
  polite.tick();
  EXPECT_EQ(silent.peer.aborted_, "no command in time");
  EXPECT_EQ(polite.peer.aborted_, "");
}

TEST_F(SessionTest, IdleConnectionIsCutOffOnlyWhereConfigured) {
  context.options.idle_deadline = 5min;
  Client& client = connect();
  Client& subscriber = connect();
  client.send("PING\r\n");
  subscriber.send("SUBSCRIBE x\r\n");
  executor.advance(301s);
  client.tick();
  subscriber.tick();
  EXPECT_EQ(client.peer.aborted_, "idle");
  EXPECT_EQ(subscriber.peer.aborted_, "");
}

// ---- users ----

class UsersTest : public ServerTest {
 protected:
  UsersTest() {
    const std::string salt(kSaltBytes, 's');
    // A small N: the cost of the real one is not what these tests are about.
    context.users = {UserSpec{"default", *hash_password("open sesame", salt, 16), {"read"}, {}},
                     UserSpec{"writer", *hash_password("w", salt, 16), {"read", "write"}, {"row"}},
                     UserSpec{"admin", *hash_password("a", salt, 16), {"read", "write", "admin"}, {}}};
  }
  // On a connection of its own.
  std::string run_as(const std::string& login, const std::string& lines) {
    Client& client = connect();
    EXPECT_EQ(client.send("AUTH " + login + "\r\n"), "+OK\r\n");
    return client.send(lines + "\r\n");
  }
};

TEST_F(UsersTest, NothingRunsBeforeAuth) {
  EXPECT_EQ(exchange("GET row:1\r\n"), "-NOAUTH Authentication required.\r\n");
  EXPECT_EQ(exchange("PING\r\n"), "-NOAUTH Authentication required.\r\n");
  EXPECT_TRUE(exchange("HELLO 3\r\n").starts_with("-NOAUTH HELLO must be called"));
  EXPECT_TRUE(calls.empty());
}

TEST_F(UsersTest, AuthIsCheckedInItsPlaceInThePipeline) {
  EXPECT_EQ(exchange("GET row:1\r\nAUTH \"open sesame\"\r\nGET row:1\r\n"),
            "-NOAUTH Authentication required.\r\n+OK\r\n$-1\r\n");
}

// Runs what it got when the test says so.
struct HeldPool final : BlockingPool {
  void run(std::move_only_function<void()> work) override { held.push_back(std::move(work)); }
  std::vector<std::move_only_function<void()>> held;
};

TEST_F(UsersTest, PasswordChecksAtOneTimeAreBounded) {
  HeldPool pool;
  context.pool = &pool;
  Client& first = connect();
  Client& second = connect();
  EXPECT_EQ(first.send("AUTH admin a\r\n"), "");
  EXPECT_EQ(second.send("AUTH admin a\r\n"), "");
  EXPECT_TRUE(connect().send("AUTH admin a\r\n").starts_with("-OVERLOADED "));
  second.hang_up();
  for (auto& check : pool.held) check();
  EXPECT_EQ(first.take(), "+OK\r\n");
  pool.held.clear();
  EXPECT_EQ(connect().send("AUTH admin a\r\n"), "");
  ASSERT_EQ(pool.held.size(), 1U);
  pool.held[0]();
}

TEST_F(UsersTest, SlowLogNeverHoldsAPassword) {
  HeldPool pool;
  context.pool = &pool;
  Client& client = connect();
  client.send("AUTH admin a-password\r\n");
  executor.advance(20ms);
  pool.held[0]();
  client.take();
  client.send("HELLO 3 AUTH admin a\r\n");
  executor.advance(20ms);
  pool.held[1]();
  client.take();
  client.send("HELLO 2\r\n");
  const std::string log = client.send("SLOWLOG GET\r\n");
  EXPECT_TRUE(log.starts_with("*2\r\n")) << log;
  EXPECT_NE(log.find("*1\r\n$4\r\nAUTH\r\n"), std::string::npos) << log;
  EXPECT_NE(log.find("*1\r\n$5\r\nHELLO\r\n"), std::string::npos) << log;
}

TEST_F(UsersTest, HelloAuthenticatesAndChoosesTheProtocol) {
  EXPECT_TRUE(exchange("HELLO 3 AUTH writer w SETNAME app\r\n").starts_with("%7\r\n$6\r\nserver\r\n"));
}

TEST_F(UsersTest, WrongPasswordsAreRefusedCountedAndEndTheConnection) {
  Client& client = connect();
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(client.peer.closed_);
    const char* attempt = i % 2 == 0 ? "AUTH writer wrong\r\n" : "AUTH nobody w\r\n";
    EXPECT_EQ(client.send(attempt), "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
  }
  EXPECT_TRUE(client.peer.closed_);
  EXPECT_EQ(server().counters().wrong_passwords.value(), 5U);
}

TEST_F(UsersTest, RightsAndFeaturesBoundWhatAUserMayDo) {
  Client& reader = connect();
  reader.send("AUTH \"open sesame\"\r\n");
  EXPECT_TRUE(reader.send("SET row:1 x\r\n").starts_with("-NOPERM "));
  EXPECT_TRUE(reader.send("FLUSHALL\r\n").starts_with("-NOPERM "));
  Client& writer = connect();
  writer.send("AUTH writer w\r\n");
  EXPECT_EQ(writer.send("SET row:1 x\r\n"), "+OK\r\n");
  EXPECT_TRUE(writer.send("GET view:1\r\n").starts_with("-NOPERM "));
  EXPECT_TRUE(writer.send("MGET row:1 view:1\r\n").starts_with("-NOPERM "));
  EXPECT_TRUE(writer.send("CANDOR.INVALIDATE FEATURE row\r\n").starts_with("-NOPERM "));
  Client& admin = connect();
  EXPECT_EQ(admin.send("AUTH admin a\r\nFLUSHALL\r\n"), "+OK\r\n+OK\r\n");
}

TEST_F(UsersTest, OnlyAnAdminOfEverythingMayDropEverything) {
  context.users.push_back(UserSpec{
      "keeper", *hash_password("k", std::string(kSaltBytes, 's'), 16), {"read", "write", "admin"}, {"row"}});
  run_as("admin a", "SET cache:k v");
  for (const char* line : {"FLUSHALL", "FLUSHDB"}) {
    EXPECT_TRUE(run_as("writer w", line).starts_with("-NOPERM user 'writer' lacks the right 'admin'"))
        << line;
    EXPECT_TRUE(run_as("keeper k", line).starts_with("-NOPERM user 'keeper' may not touch every")) << line;
  }
  EXPECT_TRUE(run_as("keeper k", "CANDOR.INVALIDATE FEATURE cache").starts_with("-NOPERM "));
  EXPECT_EQ(run_as("keeper k", "CANDOR.INVALIDATE FEATURE row"), ":1\r\n");
  EXPECT_EQ(run_as("admin a", "GET cache:k"), "$1\r\nv\r\n");
}

TEST_F(UsersTest, WhatConcernsOtherConnectionsNeedsAnAdmin) {
  for (const char* line : {"CLIENT LIST", "CLIENT KILL ID 1", "SLOWLOG GET", "SLOWLOG RESET"}) {
    EXPECT_TRUE(run_as("writer w", line).starts_with("-NOPERM ")) << line;
  }
}

TEST_F(UsersTest, EveryKeyOfAPipelineOfReadsIsChecked) {
  run_as("admin a", "MSET cache:k secret row:1 x");
  EXPECT_EQ(run_as("writer w", "GET row:1\r\nGET cache:k\r\nGET row:1"),
            "$1\r\nx\r\n-NOPERM user 'writer' may not read feature 'cache'\r\n$1\r\nx\r\n");
  for (const char* line :
       {"MGET cache:k", "EXISTS cache:k", "TTL cache:k", "STRLEN cache:k", "GETRANGE cache:k 0 -1",
        "CANDOR.GET cache:k", "DEL cache:k", "SET cache:k v", "APPEND cache:k v", "RENAME cache:k cache:x",
        "CANDOR.INVALIDATE cache:k", "EXPIRE cache:k 1"}) {
    EXPECT_TRUE(run_as("writer w", line).starts_with("-NOPERM ")) << line;
  }
  EXPECT_EQ(run_as("writer w", "KEYS *"), "*0\r\n");
  EXPECT_EQ(run_as("admin a", "GET cache:k"), "$6\r\nsecret\r\n");
}

TEST_F(UsersTest, RightToWriteIsNoRightToRead) {
  context.users.push_back(
      UserSpec{"filler", *hash_password("f", std::string(kSaltBytes, 's'), 16), {"write"}, {}});
  rows["1"] = "secret";
  EXPECT_TRUE(run_as("filler f", "GET row:1").starts_with("-NOPERM "));
  EXPECT_TRUE(run_as("filler f", "MGET row:1").starts_with("-NOPERM "));
  EXPECT_EQ(run_as("filler f", "SET row:2 x"), "+OK\r\n");
}

TEST_F(UsersTest, LimitsAreSmallerBeforeAuth) {
  EXPECT_EQ(exchange("*2\r\n$3\r\nGET\r\n$20000\r\n"),
            "-ERR Protocol error: unauthenticated bulk length\r\n");
}

TEST_F(UsersTest, LimitsAreSmallerAgainAfterReset) {
  const std::string large = "*2\r\n$4\r\nECHO\r\n$20000\r\n" + std::string(20'000, 'x') + "\r\n";
  Client& client = connect();
  client.send("AUTH admin a\r\n");
  EXPECT_TRUE(client.send(large).starts_with("$20000\r\n"));
  client.send("RESET\r\n");
  EXPECT_EQ(client.send(large), "-ERR Protocol error: unauthenticated bulk length\r\n");
}

TEST_F(UsersTest, NoAuthInTimeEndsTheConnection) {
  Client& client = connect();
  client.send("PING\r\n");
  executor.advance(11s);
  client.tick();
  EXPECT_EQ(client.peer.aborted_, "no AUTH in time");
}

TEST_F(UsersTest, ResetLeavesTimeToAuthenticateAgain) {
  Client& client = connect();
  client.send("AUTH admin a\r\n");
  executor.advance(1h);
  client.send("RESET\r\n");
  executor.advance(9s);
  client.tick();
  EXPECT_EQ(client.peer.aborted_, "");
  executor.advance(2s);
  client.tick();
  EXPECT_EQ(client.peer.aborted_, "no AUTH in time");
}

TEST_F(UsersTest, ResetLogsOut) {
  Client& client = connect();
  client.send("AUTH admin a\r\n");
  EXPECT_EQ(client.send("RESET\r\nGET row:1\r\n"), "+RESET\r\n-NOAUTH Authentication required.\r\n");
}

TEST_F(UsersTest, ConfiguredHashThatCannotBeReadIsAnErrorWithoutTheHash) {
  context.users[0].password_hash = "scrypt:3:zz:secret";
  const auto made = RespServer::make(context);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("user 'default'"), std::string::npos);
  EXPECT_EQ(made.error().message.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace candor::server::testing
