// Transcripts of the command families: what is sent, what comes back.
#include "proto/command_writer.h"
#include "server/testing_server.h"

namespace candor::server::testing {
namespace {

class CommandsTest : public ServerTest {
 protected:
  CommandsTest() { context.options.plain_feature = "cache"; }
  // Inline commands, one a line; replies as they come.
  std::string run(const std::string& lines) {
    if (client_ == nullptr) client_ = &connect();
    return client_->send(lines + "\r\n");
  }
  Client* client_ = nullptr;
};

// ---- strings on a plain feature ----

TEST_F(CommandsTest, SetAndItsOptions) {
  EXPECT_EQ(run("SET k v1"), "+OK\r\n");
  EXPECT_EQ(run("SET k v2 NX"), "$-1\r\n");
  EXPECT_EQ(run("SET k v2 XX GET"), "$2\r\nv1\r\n");
  EXPECT_EQ(run("SET new x XX"), "$-1\r\n");
  EXPECT_EQ(run("SET k v3 PX 5000"), "+OK\r\n");
  EXPECT_EQ(run("SET k v4 KEEPTTL"), "+OK\r\n");
  EXPECT_EQ(run("PTTL k"), ":5000\r\n");
  EXPECT_EQ(run("SET k v5"), "+OK\r\n");
  EXPECT_EQ(run("TTL k"), ":-1\r\n");
  EXPECT_EQ(run("SET k v EX 10 PX 10"), "-ERR syntax error\r\n");
  EXPECT_EQ(run("SET k v NX XX"), "-ERR syntax error\r\n");
  EXPECT_EQ(run("SET k v EX"), "-ERR syntax error\r\n");
  EXPECT_EQ(run("SET k v EX 0"), "-ERR invalid expire time in 'set' command\r\n");
  EXPECT_EQ(run("SET k v EX 9223372036854775807"), "-ERR invalid expire time in 'set' command\r\n");
  EXPECT_EQ(run("SET k v EX x"), "-ERR value is not an integer or out of range\r\n");
}

TEST_F(CommandsTest, ExpiredKeysAreGone) {
  run("SET k v EX 10");
  executor.advance(9s);
  EXPECT_EQ(run("GET k"), "$1\r\nv\r\n");
  executor.advance(2s);
  EXPECT_EQ(run("GET k"), "$-1\r\n");
  EXPECT_EQ(run("TTL k"), ":-2\r\n");
}

TEST_F(CommandsTest, RelativesOfSet) {
  EXPECT_EQ(run("SETNX k a"), ":1\r\n");
  EXPECT_EQ(run("SETNX k b"), ":0\r\n");
  EXPECT_EQ(run("GETSET k c"), "$1\r\na\r\n");
  EXPECT_EQ(run("GETDEL k"), "$1\r\nc\r\n");
  EXPECT_EQ(run("GETDEL k"), "$-1\r\n");
  EXPECT_EQ(run("SETEX k 10 v"), "+OK\r\n");
  EXPECT_EQ(run("TTL k"), ":10\r\n");
  EXPECT_EQ(run("PSETEX k 1500 v"), "+OK\r\n");
  EXPECT_EQ(run("PTTL k"), ":1500\r\n");
  EXPECT_EQ(run("GETEX k PERSIST"), "$1\r\nv\r\n");
  EXPECT_EQ(run("TTL k"), ":-1\r\n");
  EXPECT_EQ(run("GETEX k EX 7"), "$1\r\nv\r\n");
  EXPECT_EQ(run("TTL k"), ":7\r\n");
  EXPECT_EQ(run("SETEX k 0 v"), "-ERR invalid expire time in 'setex' command\r\n");
}

TEST_F(CommandsTest, SeveralAtOnce) {
  EXPECT_EQ(run("MSET a 1 b 2 a 3"), "+OK\r\n");
  EXPECT_EQ(run("MGET a b c"), "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n");
  EXPECT_EQ(run("MSET a"), "-ERR wrong number of arguments for 'mset' command\r\n");
  EXPECT_EQ(run("MSET a 1 b"), "-ERR wrong number of arguments for 'mset' command\r\n");
}

TEST_F(CommandsTest, PartsOfValues) {
  EXPECT_EQ(run("APPEND k hello"), ":5\r\n");
  EXPECT_EQ(run("APPEND k \" world\""), ":11\r\n");
  EXPECT_EQ(run("GETRANGE k 0 4"), "$5\r\nhello\r\n");
  EXPECT_EQ(run("GETRANGE k -5 -1"), "$5\r\nworld\r\n");
  EXPECT_EQ(run("GETRANGE k 5 2"), "$0\r\n\r\n");
  EXPECT_EQ(run("GETRANGE k -9223372036854775808 9223372036854775807"), "$11\r\nhello world\r\n");
  EXPECT_EQ(run("SETRANGE k 6 There"), ":11\r\n");
  EXPECT_EQ(run("GET k"), "$11\r\nhello There\r\n");
  EXPECT_EQ(run("SETRANGE pad 2 x"), ":3\r\n");
  EXPECT_EQ(run("GET pad"), std::string("$3\r\n\0\0x\r\n", 9));
  EXPECT_EQ(run("SETRANGE k 67108864 x"),
            "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
  EXPECT_EQ(run("SETRANGE k -1 x"), "-ERR offset is out of range\r\n");
  EXPECT_EQ(run("STRLEN k"), ":11\r\n");
  EXPECT_EQ(run("STRLEN none"), ":0\r\n");
}

TEST_F(CommandsTest, Counters) {
  EXPECT_EQ(run("INCR n"), ":1\r\n");
  EXPECT_EQ(run("INCRBY n 41"), ":42\r\n");
  EXPECT_EQ(run("DECR n"), ":41\r\n");
  EXPECT_EQ(run("DECRBY n 50"), ":-9\r\n");
  EXPECT_EQ(run("INCRBYFLOAT n 0.5"), "$4\r\n-8.5\r\n");
  EXPECT_EQ(run("INCR n"), "-ERR value is not an integer or out of range\r\n");
  EXPECT_EQ(run("INCRBYFLOAT n abc"), "-ERR value is not a valid float\r\n");
  run("SET big 9223372036854775807");
  EXPECT_EQ(run("INCR big"), "-ERR increment or decrement would overflow\r\n");
  EXPECT_EQ(run("DECRBY n -9223372036854775808"), "-ERR decrement would overflow\r\n");
}

TEST_F(CommandsTest, CountersKeepTheirExpiry) {
  run("SET n 1 EX 100");
  run("INCR n");
  run("APPEND n 0");
  EXPECT_EQ(run("TTL n"), ":100\r\n");
}

TEST_F(CommandsTest, AConfiguredTtlEndsWhatIsStoredWithoutAnExpiry) {
  FeaturePolicy policy = cache.find_feature("cache")->policy();
  policy.ttl = 30s;
  ASSERT_TRUE(cache.update_policy(cache.find_feature("cache")->id(), policy));
  run("SET a v\r\nMSET b v\r\nINCR c\r\nSETNX d v\r\nGETSET e v\r\nAPPEND f v\r\nSET g v KEEPTTL");
  for (const char* key : {"a", "b", "c", "d", "e", "f", "g"})
    EXPECT_EQ(run(std::string("PTTL ") + key), ":30000\r\n") << key;
  executor.advance(10s);
  run("INCR c\r\nAPPEND f w\r\nSET g w KEEPTTL");
  for (const char* key : {"c", "f", "g"}) EXPECT_EQ(run(std::string("PTTL ") + key), ":20000\r\n") << key;
  run("SET a v EX 100\r\nPERSIST b\r\nEXPIRE d 90");
  EXPECT_EQ(run("TTL a"), ":100\r\n");
  EXPECT_EQ(run("TTL b"), ":-1\r\n");
  EXPECT_EQ(run("TTL d"), ":90\r\n");
  executor.advance(20s);
  EXPECT_EQ(run("EXISTS c e f g"), ":0\r\n");
}

// ---- keys on a plain feature ----

TEST_F(CommandsTest, DelExistsType) {
  run("MSET a 1 b 2");
  EXPECT_EQ(run("EXISTS a b c a"), ":3\r\n");
  EXPECT_EQ(run("TYPE a"), "+string\r\n");
  EXPECT_EQ(run("TYPE c"), "+none\r\n");
  EXPECT_EQ(run("TOUCH a c"), ":1\r\n");
  EXPECT_EQ(run("DEL a a c"), ":1\r\n");
  EXPECT_EQ(run("UNLINK b"), ":1\r\n");
  EXPECT_EQ(run("EXISTS a b"), ":0\r\n");
}

TEST_F(CommandsTest, ExpiryAndItsConditions) {
  run("SET k v");
  EXPECT_EQ(run("EXPIRE k 100 XX"), ":0\r\n");
  EXPECT_EQ(run("EXPIRE k 100 GT"), ":0\r\n");
  EXPECT_EQ(run("EXPIRE k 100 NX"), ":1\r\n");
  EXPECT_EQ(run("PEXPIRE k 50000 GT"), ":0\r\n");
  EXPECT_EQ(run("PEXPIRE k 50000 LT"), ":1\r\n");
  EXPECT_EQ(run("TTL k"), ":50\r\n");
  EXPECT_EQ(run("PERSIST k"), ":1\r\n");
  EXPECT_EQ(run("PERSIST k"), ":0\r\n");
  EXPECT_EQ(run("EXPIRE none 10"), ":0\r\n");
  EXPECT_EQ(run("EXPIRE k 10 NX GT"),
            "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n");
  EXPECT_EQ(run("EXPIRE k -1"), ":1\r\n");
  EXPECT_EQ(run("EXISTS k"), ":0\r\n");
}

TEST_F(CommandsTest, ExpiryAtAUnixTime) {
  run("SET k v");
  const std::int64_t now = executor.wall().ms();
  EXPECT_EQ(run("PEXPIREAT k " + std::to_string(now + 5000)), ":1\r\n");
  EXPECT_EQ(run("PTTL k"), ":5000\r\n");
  EXPECT_EQ(run("PEXPIRETIME k"), ":" + std::to_string(now + 5000) + "\r\n");
  EXPECT_EQ(run("EXPIRETIME k"), ":" + std::to_string((now + 5000) / 1000) + "\r\n");
  EXPECT_EQ(run("SET k v PXAT 1"), "+OK\r\n");
  EXPECT_EQ(run("GET k"), "$-1\r\n");
}

TEST_F(CommandsTest, KeysAndScanListPlainKeysUnderTheNamesClientsUse) {
  rows["1"] = "x";
  run("GET row:1");
  run("MSET user:1 a user:2 b other c");
  const std::string all = run("KEYS *");
  EXPECT_TRUE(all.starts_with("*3\r\n"));
  EXPECT_NE(all.find("\r\nuser:1\r\n"), std::string::npos);
  EXPECT_TRUE(run("KEYS user:?").starts_with("*2\r\n"));
  EXPECT_EQ(run("DBSIZE"), ":3\r\n");
  EXPECT_NE(run("RANDOMKEY"), "$-1\r\n");
  EXPECT_EQ(run("SCAN x"), "-ERR invalid cursor\r\n");
  EXPECT_EQ(run("SCAN 0 COUNT 0"), "-ERR syntax error\r\n");
}

TEST_F(CommandsTest, ScanVisitsEveryKey) {
  for (int i = 0; i < 500; ++i) run("SET key" + std::to_string(i) + " v");
  std::size_t seen = 0;
  std::string cursor = "0";
  int calls_made = 0;
  do {
    const std::string reply = run("SCAN " + cursor + " COUNT 50 MATCH key*");
    const auto begin = reply.find("\r\n", 4) + 2;
    cursor = reply.substr(begin, reply.find("\r\n", begin) - begin);
    for (std::size_t at = reply.find("\r\nkey"); at != std::string::npos; at = reply.find("\r\nkey", at + 1))
      ++seen;
  } while (cursor != "0" && ++calls_made < 10'000);
  EXPECT_EQ(cursor, "0");
  EXPECT_EQ(seen, 500U);
}

TEST_F(CommandsTest, RenameMovesValueAndExpiry) {
  run("SET a v EX 100");
  EXPECT_EQ(run("RENAME a b"), "+OK\r\n");
  EXPECT_EQ(run("MGET a b"), "*2\r\n$-1\r\n$1\r\nv\r\n");
  EXPECT_EQ(run("TTL b"), ":100\r\n");
  EXPECT_EQ(run("RENAME none x"), "-ERR no such key\r\n");
  run("SET c w");
  EXPECT_EQ(run("RENAMENX b c"), ":0\r\n");
  EXPECT_EQ(run("RENAME c c"), "+OK\r\n");
  EXPECT_EQ(run("GET c"), "$1\r\nw\r\n");
}

TEST_F(CommandsTest, ObjectAndMemory) {
  run("MSET n 12 s text");
  EXPECT_EQ(run("OBJECT ENCODING n"), "$3\r\nint\r\n");
  EXPECT_EQ(run("OBJECT ENCODING s"), "$6\r\nembstr\r\n");
  EXPECT_EQ(run("OBJECT ENCODING none"), "$-1\r\n");
  EXPECT_TRUE(run("MEMORY USAGE s").starts_with(":"));
  EXPECT_EQ(run("MEMORY USAGE none"), "$-1\r\n");
}

// ---- features with an origin ----

TEST_F(CommandsTest, OriginFeaturesReadAndWriteThrough) {
  EXPECT_EQ(run("SET row:1 hello"), "+OK\r\n");
  EXPECT_EQ(rows["1"], "hello");
  EXPECT_EQ(run("STRLEN row:1"), ":5\r\n");
  EXPECT_EQ(run("EXISTS row:1 row:2"), ":1\r\n");
  EXPECT_EQ(run("TYPE row:1"), "+string\r\n");
  EXPECT_EQ(run("TTL row:1"), ":60\r\n");
  EXPECT_EQ(run("MSET row:2 b row:3 c row:2 d"), "+OK\r\n");
  EXPECT_EQ(rows["2"], "d");
  EXPECT_EQ(run("MGET row:1 row:2 row:9"), "*3\r\n$5\r\nhello\r\n$1\r\nd\r\n$-1\r\n");
  EXPECT_EQ(run("DEL row:1 row:9"), ":1\r\n");
  EXPECT_FALSE(rows.contains("1"));
  EXPECT_EQ(run("GET row:1"), "$-1\r\n");
}

TEST_F(CommandsTest, TtlOfAnOriginFeatureEndsWithItsFreshnessNotWithItsGrace) {
  FeaturePolicy policy = cache.find_feature("row")->policy();
  policy.serve_stale = 10min;
  ASSERT_TRUE(cache.update_policy(cache.find_feature("row")->id(), policy));
  rows["1"] = "x";
  run("GET row:1");
  executor.advance(20s);
  const std::int64_t ends_at = executor.wall().ms() + 40'000;
  EXPECT_EQ(run("PTTL row:1"), ":40000\r\n");
  EXPECT_EQ(run("TTL row:1"), ":40\r\n");
  EXPECT_EQ(run("PEXPIRETIME row:1"), ":" + std::to_string(ends_at) + "\r\n");
  EXPECT_NE(run("CANDOR.GET row:1").find("$6\r\nttl_ms\r\n:40000\r\n"), std::string::npos);
}

TEST_F(CommandsTest, ValueServedPastItsTtlHasNoneLeft) {
  FeaturePolicy policy = cache.find_feature("row")->policy();
  policy.serve_stale = 10min;
  ASSERT_TRUE(cache.update_policy(cache.find_feature("row")->id(), policy));
  rows["1"] = "x";
  run("GET row:1");
  executor.advance(61s);
  origin_down = true;
  EXPECT_EQ(run("PTTL row:1"), ":0\r\n");
  EXPECT_NE(run("CANDOR.GET row:1").find("$6\r\nttl_ms\r\n:0\r\n"), std::string::npos);
}

TEST_F(CommandsTest, OriginFeaturesRefuseWhatARowCannotDo) {
  for (const char* line :
       {"SET row:1 v EX 10", "SET row:1 v NX", "SETEX row:1 10 v", "INCR row:1", "APPEND row:1 x",
        "EXPIRE row:1 10", "PERSIST row:1", "GETDEL row:1", "SETNX row:1 x", "RENAME row:1 row:2"}) {
    const std::string reply = run(line);
    EXPECT_TRUE(reply.starts_with("-ERR ")) << line << " " << reply;
    EXPECT_NE(reply.find("has an origin"), std::string::npos) << reply;
  }
  EXPECT_TRUE(calls.empty());
}

TEST_F(CommandsTest, FlushDropsTheCacheAndNeverTheOrigin) {
  rows["1"] = "x";
  run("GET row:1");
  run("SET k v");
  EXPECT_EQ(run("FLUSHALL ASYNC"), "+OK\r\n");
  EXPECT_EQ(run("GET k"), "$-1\r\n");
  EXPECT_EQ(rows["1"], "x");
  run("GET row:1");
  EXPECT_EQ(calls, (std::vector<std::string>{"load 1", "load 1"}));
  EXPECT_EQ(run("FUNCTION FLUSH"), "+OK\r\n");
}

// ---- publish and subscribe ----

TEST_F(CommandsTest, MessagesReachSubscribersInBothProtocols) {
  Client& two = connect();
  Client& three = connect();
  EXPECT_EQ(two.send("SUBSCRIBE news\r\n"), "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
  three.send("HELLO 3\r\n");
  EXPECT_EQ(three.send("PSUBSCRIBE n*\r\n"), ">3\r\n$10\r\npsubscribe\r\n$2\r\nn*\r\n:1\r\n");
  EXPECT_EQ(run("PUBLISH news hi"), ":2\r\n");
  EXPECT_EQ(two.take(), "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
  EXPECT_EQ(three.take(), ">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n");
  EXPECT_EQ(run("PUBSUB CHANNELS"), "*1\r\n$4\r\nnews\r\n");
  EXPECT_EQ(run("PUBSUB NUMSUB news x"), "*4\r\n$4\r\nnews\r\n:1\r\n$1\r\nx\r\n:0\r\n");
  EXPECT_EQ(run("PUBSUB NUMPAT"), ":1\r\n");
}

TEST_F(CommandsTest, Resp2SubscriberMayOnlyListen) {
  run("SUBSCRIBE a");
  EXPECT_TRUE(run("GET k").starts_with("-ERR Can't execute 'GET'"));
  EXPECT_EQ(run("PING"), "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
  EXPECT_EQ(run("UNSUBSCRIBE"), "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n");
  EXPECT_EQ(run("GET k"), "$-1\r\n");
  EXPECT_EQ(run("UNSUBSCRIBE"), "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n");
}

TEST_F(CommandsTest, MessageSentBeforeUnsubscribingFromAnotherLoopIsNotDeliveredAfterIt) {
  OtherLoop elsewhere(&executor);
  Client listener(server(), executor, 99, &elsewhere);
  listener.send("SUBSCRIBE a\r\nPSUBSCRIBE a*\r\n");
  EXPECT_EQ(connect().send_only("PUBLISH a x\r\n"), ":2\r\n");
  EXPECT_EQ(listener.send_only("UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nPING\r\n"),
            "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$12\r\npunsubscribe\r\n$2\r\na*\r\n:0\r\n+"
            "PONG\r\n");
  EXPECT_EQ(listener.take(), "");
}

TEST_F(CommandsTest, NoMessageComesBeforeTheReplyToAnEarlierCommand) {
  hold_answers();
  EXPECT_EQ(run("GET row:1\r\nSUBSCRIBE a"), "");
  EXPECT_EQ(connect().send("PUBLISH a x\r\n"), ":0\r\n");
  let_go(0);
  EXPECT_EQ(client_->take(), "$-1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
}

TEST_F(CommandsTest, SubscriptionsEndWithTheirConnection) {
  Client& other = connect();
  other.send("SUBSCRIBE a\r\nPSUBSCRIBE b*\r\n");
  other.hang_up();
  EXPECT_EQ(run("PUBLISH a x"), ":0\r\n");
  EXPECT_EQ(run("PUBSUB NUMPAT"), ":0\r\n");
}

// ---- the connection, and the server about itself ----

TEST_F(CommandsTest, ClientKnowsItself) {
  EXPECT_EQ(run("CLIENT ID"), ":1\r\n");
  EXPECT_EQ(run("CLIENT GETNAME"), "$-1\r\n");
  EXPECT_EQ(run("CLIENT SETNAME app"), "+OK\r\n");
  EXPECT_EQ(run("CLIENT GETNAME"), "$3\r\napp\r\n");
  EXPECT_EQ(run("CLIENT SETINFO LIB-NAME lib"), "+OK\r\n");
  EXPECT_TRUE(run("CLIENT SETNAME \"a b\"").starts_with("-ERR Client names cannot contain"));
  const std::string list = run("CLIENT LIST");
  EXPECT_NE(list.find("id=1 addr=127.0.0.1:1 "), std::string::npos) << list;
  EXPECT_NE(list.find("lib-name=lib"), std::string::npos);
  EXPECT_EQ(run("CLIENT TRACKING ON"), "+OK\r\n");
}

TEST_F(CommandsTest, ClientKillEndsAnotherConnection) {
  Client& other = connect();
  run("PING");
  EXPECT_EQ(run("CLIENT KILL ID 1"), ":1\r\n");
  EXPECT_EQ(other.peer.aborted_, "CLIENT KILL");
  EXPECT_EQ(run("CLIENT KILL 1.2.3.4:5"), "-ERR No such client\r\n");
}

TEST_F(CommandsTest, ClientReplyOffAndSkip) {
  EXPECT_EQ(run("CLIENT REPLY SKIP\r\nPING\r\nPING x"), "$1\r\nx\r\n");
  EXPECT_EQ(run("CLIENT REPLY OFF\r\nGET row:1\r\nPING"), "");
  EXPECT_EQ(run("CLIENT REPLY ON\r\nPING"), "+OK\r\n+PONG\r\n");
}

TEST_F(CommandsTest, HelloAnswersAsRedis) {
  EXPECT_TRUE(run("HELLO 4").starts_with("-NOPROTO "));
  EXPECT_TRUE(run("HELLO 2").starts_with("*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n"));
  EXPECT_TRUE(run("HELLO 3 FOO").starts_with("-ERR Syntax error in HELLO option 'FOO'"));
  EXPECT_EQ(run("SELECT 0"), "+OK\r\n");
  EXPECT_EQ(run("SELECT 1"), "-ERR DB index is out of range\r\n");
}

TEST_F(CommandsTest, InfoHasTheFieldsThatClientsRead) {
  const std::string text = run("INFO");
  for (const char* field : {"redis_version:", "redis_mode:standalone", "used_memory:", "connected_clients:1",
                            "role:master", "keyspace_hits:", "# Keyspace", "feature_row:"}) {
    EXPECT_NE(text.find(field), std::string::npos) << field;
  }
  EXPECT_EQ(run("INFO server").find("used_memory"), std::string::npos);
}

TEST_F(CommandsTest, InfoSaysOnlyWhatIsCounted) {
  run("MSET a 1 b 2");
  run("SET c 3 EX 10");
  EXPECT_NE(run("INFO keyspace").find("\r\ndb0:keys=3\r\n"), std::string::npos);
}

TEST_F(CommandsTest, CommandTableDescribesItself) {
  EXPECT_TRUE(
      run("COMMAND INFO get none")
          .starts_with("*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n"));
  EXPECT_TRUE(run("COMMAND DOCS get").starts_with("*2\r\n$3\r\nget\r\n*6\r\n$7\r\nsummary\r\n"));
  EXPECT_EQ(run("COMMAND GETKEYS MSET a 1 b 2"), "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
  EXPECT_TRUE(run("COMMAND COUNT").starts_with(":"));
  EXPECT_EQ(run("CONFIG GET save appendonly"),
            "*4\r\n$10\r\nappendonly\r\n$2\r\nno\r\n$4\r\nsave\r\n$0\r\n\r\n");
}

TEST_F(CommandsTest, SlowLogKeepsWhatWaitedLong) {
  hold_answers();
  run("GET row:slow");
  run("EXISTS row:quick");
  let_go(1);
  executor.advance(20ms);
  let_go(0);
  client_->take();
  EXPECT_EQ(run("SLOWLOG LEN"), ":1\r\n");
  EXPECT_NE(run("SLOWLOG GET").find(":20000\r\n*2\r\n$3\r\nGET\r\n$4\r\nslow\r\n$11\r\n127.0.0.1:1\r\n"),
            std::string::npos);
  EXPECT_NE(run("SLOWLOG GET").find("$9\r\norigin_us\r\n:20000\r\n"), std::string::npos);
  EXPECT_EQ(run("SLOWLOG RESET"), "+OK\r\n");
  EXPECT_EQ(run("SLOWLOG GET"), "*0\r\n");
}

TEST_F(CommandsTest, MsetOfAValueThatDoesNotFitStartsNoWrite) {
  hold_answers();
  const std::string large(std::size_t{20} << 20, 'v');  // more than all of L1
  std::string bytes;
  resp::write_command(bytes, {"MSET", "row:5", "v", "cache:5", large});
  Client& client = connect();
  EXPECT_TRUE(client.send(bytes).starts_with("-LIMIT the value does not fit into L1"));
  EXPECT_TRUE(calls.empty());
  for (std::size_t i = 0; i < gates.size(); ++i) let_go(i);
  EXPECT_EQ(client.send("PING\r\n"), "+PONG\r\n");
}

TEST_F(CommandsTest, MsetOfPlainAndOriginKeysAnswersWhenTheOriginHasThem) {
  hold_answers();
  EXPECT_EQ(run("MSET row:5 a cache:5 b"), "");
  let_go(0);
  EXPECT_EQ(client_->take(), "+OK\r\n");
  EXPECT_EQ(rows["5"], "a");
  EXPECT_EQ(run("GET cache:5"), "$1\r\nb\r\n");
}

// ---- CANDOR.* ----

TEST_F(CommandsTest, CandorGetSaysWhereTheValueCameFrom) {
  rows["1"] = "x";
  EXPECT_EQ(run("CANDOR.GET row:1"),
            "*14\r\n$5\r\nvalue\r\n$1\r\nx\r\n$4\r\ntier\r\n$6\r\norigin\r\n$5\r\nlevel\r\n$7\r\nsession\r\n$"
            "6\r\nage_ms\r\n:0\r\n"
            "$15\r\nfresh_within_ms\r\n:0\r\n$6\r\nttl_ms\r\n:60000\r\n$8\r\ndegraded\r\n$-1\r\n");
  executor.advance(2s);
  const std::string hit = run("CANDOR.GET row:1");
  EXPECT_NE(hit.find("$4\r\ntier\r\n$2\r\nl1\r\n"), std::string::npos);
  EXPECT_NE(hit.find("$6\r\nage_ms\r\n:2000\r\n"), std::string::npos);
  EXPECT_NE(run("CANDOR.GET row:1 ORIGIN").find("$4\r\ntier\r\n$6\r\norigin\r\n"), std::string::npos);
  EXPECT_NE(run("CANDOR.GET row:1 STRONG").find("$4\r\ntier\r\n$6\r\norigin\r\n"), std::string::npos);
}

TEST_F(CommandsTest, CandorsOwnCommandsAreListed) {
  const std::string listed = run("COMMAND LIST FILTERBY PATTERN candor.*");
  EXPECT_TRUE(listed.starts_with("*8\r\n")) << listed;
  for (const std::string name :
       {"budget", "explain", "get", "hotkeys", "invalidate", "session", "token", "warm"})
    EXPECT_NE(listed.find("candor." + name + "\r\n"), std::string::npos) << name;
}

TEST_F(CommandsTest, CandorInvalidateMakesTheNextReadLoad) {
  rows["1"] = "x";
  run("GET row:1");
  rows["1"] = "y";
  EXPECT_EQ(run("GET row:1"), "$1\r\nx\r\n");
  EXPECT_EQ(run("CANDOR.INVALIDATE row:1"), ":1\r\n");
  EXPECT_EQ(run("GET row:1"), "$1\r\ny\r\n");
  rows["1"] = "z";
  EXPECT_EQ(run("CANDOR.INVALIDATE FEATURE row"), ":1\r\n");
  EXPECT_EQ(run("GET row:1"), "$1\r\nz\r\n");
  EXPECT_TRUE(run("CANDOR.INVALIDATE FEATURE none").starts_with("-NOFEATURE "));
}

}  // namespace
}  // namespace candor::server::testing
