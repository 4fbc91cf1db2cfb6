// Plain features whose home is an L2 that several nodes share: two servers, one L2.
#include "server/testing_server.h"
#include "tier/l2/memory_l2.h"

namespace candor::server::testing {
namespace {

// An L2 with a plug to pull.
struct PluggedL2 final : L2 {
  explicit PluggedL2(VirtualExecutor* made_on) : inner(made_on, {}, 5), executor(made_on) {}
  [[nodiscard]] std::unexpected<Error> away() const {
    return fail(ErrorCode::kUnavailable, "L2 does not answer");
  }
  Task<Result<L2Lookup>> get_or_lease(std::string key, Duration ttl, bool refresh) override {
    if (down) co_return away();
    co_return co_await inner.get_or_lease(std::move(key), ttl, refresh);
  }
  Task<Result<std::optional<L2Entry>>> get(std::string key) override {
    if (down) co_return away();
    co_return co_await inner.get(std::move(key));
  }
  Task<Result<L2FillVerdict>> fill(std::string key, LeaseToken token, L2Entry entry) override {
    if (down) co_return away();
    co_return co_await inner.fill(std::move(key), token, std::move(entry));
  }
  Task<Result<void>> release(std::string key, LeaseToken token) override {
    if (down) co_return away();
    co_return co_await inner.release(std::move(key), token);
  }
  Task<Result<void>> put(std::string key, L2Entry entry) override {
    if (down) co_return away();
    co_return co_await inner.put(std::move(key), std::move(entry));
  }
  Task<Result<L2Seen>> look(std::string key) override {
    if (down) co_return away();
    OneShot<bool> travelled;  // as long as a turn: what arrives meanwhile waits
    executor->post([travelled] { travelled.set(true); });
    (void)co_await travelled;
    co_return co_await inner.look(std::move(key));
  }
  Task<Result<L2Swap>> swap(std::string key, std::string mark, std::optional<L2Entry> entry,
                            bool keep_ttl) override {
    ++swaps;
    if (down) co_return away();
    if (swaps_lost > 0) {
      --swaps_lost;
      L2Entry other;
      other.value = std::to_string(swaps);
      (void)co_await inner.put(key, other);
    }
    co_return co_await inner.swap(std::move(key), std::move(mark), std::move(entry), keep_ttl);
  }
  Task<Result<bool>> invalidate(std::string key, L2Marker marker) override {
    if (down) co_return away();
    co_return co_await inner.invalidate(std::move(key), marker);
  }
  Task<Result<L2State>> state() override { return inner.state(); }
  Task<Result<L2State>> advance(L2State at_least) override { return inner.advance(at_least); }
  Task<Result<L2State>> raise_generation(L2State at_least) override {
    return inner.raise_generation(at_least);
  }
  Task<Result<void>> hold_marker(std::string key, ChangeId change, Duration hold) override {
    return inner.hold_marker(std::move(key), change, hold);
  }
  Task<Result<void>> clear(std::string prefix) override {
    if (down) co_return away();
    co_return co_await inner.clear(std::move(prefix));
  }
  [[nodiscard]] L2Stats stats() const override { return inner.stats(); }
  [[nodiscard]] std::string describe() const override { return "test"; }

  l2::MemoryL2 inner;
  VirtualExecutor* executor;
  bool down = false;
  int swaps = 0;
  int swaps_lost = 0;  // before that many of the next ones, another node stores the number of the swap
};

class SharedPlainTest : public ::testing::Test {
 protected:
  struct Node {
    explicit Node(SharedPlainTest& test) : store(store_options()), cache(parts(test)) {
      FeaturePolicy plain;
      plain.name = "cache";
      plain.plain = true;
      plain.ttl = Duration::zero();
      (void)cache.add_feature(plain, nullptr);
      ServerContext context;
      context.cache = &cache;
      context.clock = &test.executor;
      context.entropy = &entropy;
      context.options.plain_feature = "cache";
      server = std::move(RespServer::make(std::move(context)).value());
      client = std::make_unique<Client>(*server, test.executor, 1);
    }
    static l1::StoreOptions store_options() {
      l1::StoreOptions options;
      options.memory_limit = std::size_t{4} << 20;
      return options;
    }
    CacheCore::Parts parts(SharedPlainTest& test) {
      CacheCore::Parts parts;
      parts.clock = &test.executor;
      parts.home = &test.executor;
      parts.l1 = &store;
      parts.l2 = &test.l2;
      parts.l2_is_shared = true;
      return parts;
    }
    std::string run(const std::string& lines) { return client->send(lines + "\r\n"); }

    FixedEntropy entropy;
    l1::Store store;
    CacheCore cache;
    std::unique_ptr<RespServer> server;
    std::unique_ptr<Client> client;
  };
  ~SharedPlainTest() override { l2.inner.check_invariants(); }

  VirtualExecutor executor;
  PluggedL2 l2{&executor};
  Node one{*this};
  Node two{*this};
};

TEST_F(SharedPlainTest, WhatOneNodeStoresTheOtherReads) {
  EXPECT_EQ(two.run("GET k"), "$-1\r\n");
  EXPECT_EQ(one.run("SET k v1"), "+OK\r\n");
  EXPECT_EQ(two.run("GET k"), "$2\r\nv1\r\n");
  EXPECT_EQ(two.run("SET k v2"), "+OK\r\n");
  EXPECT_EQ(one.run("GET k"), "$2\r\nv2\r\n");
  EXPECT_EQ(one.run("GET cache:k"), "$2\r\nv2\r\n");
}

TEST_F(SharedPlainTest, NoNodeKeepsACopyOfItsOwn) {
  one.run("SET k v");
  one.run("GET k");
  one.run("MGET k k");
  EXPECT_EQ(one.store.stats().entries, 0U);
}

TEST_F(SharedPlainTest, DeletedKeysAreGoneForTheOtherNode) {
  one.run("MSET a 1 b 2 c 3");
  EXPECT_EQ(two.run("DEL a b none"), ":2\r\n");
  EXPECT_EQ(one.run("MGET a b c"), "*3\r\n$-1\r\n$-1\r\n$1\r\n3\r\n");
  EXPECT_EQ(one.run("UNLINK c"), ":1\r\n");
  EXPECT_EQ(two.run("GET c"), "$-1\r\n");
}

TEST_F(SharedPlainTest, ExpiryIsSetReadAndKept) {
  EXPECT_EQ(one.run("SET k v PX 5000"), "+OK\r\n");
  EXPECT_EQ(two.run("PTTL k"), ":5000\r\n");
  executor.advance(2s);
  EXPECT_EQ(two.run("PTTL k"), ":3000\r\n");
  EXPECT_EQ(two.run("TTL k"), ":3\r\n");
  executor.advance(3s);
  EXPECT_EQ(two.run("GET k"), "$-1\r\n");
  EXPECT_EQ(two.run("TTL k"), ":-2\r\n");
  EXPECT_EQ(one.run("SETEX k 10 v"), "+OK\r\n");
  EXPECT_EQ(two.run("TTL k"), ":10\r\n");
  EXPECT_EQ(one.run("SET k v"), "+OK\r\n");
  EXPECT_EQ(two.run("TTL k"), ":-1\r\n");
  EXPECT_EQ(one.run("SET k v PXAT 1"), "+OK\r\n");
  executor.advance(1ms);
  EXPECT_EQ(two.run("GET k"), "$-1\r\n");
}

TEST_F(SharedPlainTest, ReadsOfEveryKindSeeTheSharedValue) {
  one.run("SET k hello");
  EXPECT_EQ(two.run("EXISTS k none k"), ":2\r\n");
  EXPECT_EQ(two.run("STRLEN k"), ":5\r\n");
  EXPECT_EQ(two.run("GETRANGE k 1 2"), "$2\r\nel\r\n");
  EXPECT_EQ(two.run("TYPE k"), "+string\r\n");
  EXPECT_EQ(two.run("TYPE none"), "+none\r\n");
  EXPECT_NE(two.run("CANDOR.GET k").find("$4\r\ntier\r\n$2\r\nl2\r\n"), std::string::npos);
}

TEST_F(SharedPlainTest, PipelineOfOneKeyRunsInItsOrder) {
  EXPECT_EQ(one.run("SET k 1\r\nGET k\r\nSET k 2\r\nGET k\r\nDEL k\r\nGET k"),
            "+OK\r\n$1\r\n1\r\n+OK\r\n$1\r\n2\r\n:1\r\n$-1\r\n");
}

TEST_F(SharedPlainTest, SetWithItsConditionsIsOneStepForAllNodes) {
  EXPECT_EQ(one.run("SET k v XX"), "$-1\r\n");
  EXPECT_EQ(one.run("SET k v NX"), "+OK\r\n");
  EXPECT_EQ(two.run("SET k w NX"), "$-1\r\n");
  EXPECT_EQ(two.run("SETNX k w"), ":0\r\n");
  EXPECT_EQ(two.run("SET k w XX GET PX 5000"), "$1\r\nv\r\n");
  EXPECT_EQ(one.run("SET k x KEEPTTL"), "+OK\r\n");
  EXPECT_EQ(two.run("PTTL k"), ":5000\r\n");
  EXPECT_EQ(two.run("GETSET k y"), "$1\r\nx\r\n");
  EXPECT_EQ(one.run("TTL k"), ":-1\r\n");
  EXPECT_EQ(one.run("GETDEL k"), "$1\r\ny\r\n");
  EXPECT_EQ(two.run("GETDEL k"), "$-1\r\n");
  EXPECT_EQ(two.run("SETNX k z"), ":1\r\n");
  EXPECT_EQ(one.run("GET k"), "$1\r\nz\r\n");
}

TEST_F(SharedPlainTest, CountersAndPartsOfValuesKeepTheirExpiry) {
  EXPECT_EQ(one.run("INCR n"), ":1\r\n");
  EXPECT_EQ(two.run("INCRBY n 41"), ":42\r\n");
  EXPECT_EQ(one.run("PEXPIRE n 9000"), ":1\r\n");
  executor.advance(1s);
  EXPECT_EQ(two.run("DECR n"), ":41\r\n");
  EXPECT_EQ(one.run("INCRBYFLOAT n 0.5"), "$4\r\n41.5\r\n");
  EXPECT_EQ(one.run("INCR n"), "-ERR value is not an integer or out of range\r\n");
  EXPECT_EQ(two.run("APPEND n 25"), ":6\r\n");
  EXPECT_EQ(two.run("SETRANGE n 0 9"), ":6\r\n");
  EXPECT_EQ(one.run("GET n"), "$6\r\n91.525\r\n");
  EXPECT_EQ(one.run("PTTL n"), ":8000\r\n");
}

TEST_F(SharedPlainTest, ExpiryAndItsConditionsAreOneStep) {
  one.run("SET k v");
  EXPECT_EQ(two.run("EXPIRE k 100 XX"), ":0\r\n");
  EXPECT_EQ(two.run("EXPIRE k 100 NX"), ":1\r\n");
  EXPECT_EQ(one.run("PEXPIRE k 50000 GT"), ":0\r\n");
  EXPECT_EQ(one.run("GETEX k PX 50000"), "$1\r\nv\r\n");
  EXPECT_EQ(two.run("PTTL k"), ":50000\r\n");
  EXPECT_EQ(two.run("PERSIST k"), ":1\r\n");
  EXPECT_EQ(one.run("PERSIST k"), ":0\r\n");
  EXPECT_EQ(one.run("TTL k"), ":-1\r\n");
  EXPECT_EQ(one.run("EXPIRE k -1"), ":1\r\n");
  EXPECT_EQ(two.run("EXISTS k"), ":0\r\n");
  EXPECT_EQ(two.run("EXPIRE k 10"), ":0\r\n");
}

TEST_F(SharedPlainTest, ChangesOfOneKeyThatWaitTogetherAreOneSwap) {
  Client others[] = {{*one.server, executor, 7}, {*one.server, executor, 8}, {*one.server, executor, 9}};
  for (Client& client : others) (void)client.send_only("INCR n\r\n");
  executor.run_ready();
  EXPECT_EQ(two.run("GET n"), "$1\r\n3\r\n");
  EXPECT_LE(l2.swaps, 2);
}

TEST_F(SharedPlainTest, APipelineOfChangesRunsInItsOrder) {
  EXPECT_EQ(one.run("INCR n\r\nGET n\r\nINCR n\r\nSET n 9 KEEPTTL\r\nINCR n\r\nGETDEL n\r\nGET n"),
            ":1\r\n$1\r\n1\r\n:2\r\n+OK\r\n:10\r\n$2\r\n10\r\n$-1\r\n");
}

TEST_F(SharedPlainTest, AnotherNodeThatIsFasterIsSeenAndNotOverwritten) {
  l2.swaps_lost = 3;  // the last of them stores "3"
  EXPECT_EQ(one.run("INCR n"), ":4\r\n");
  EXPECT_EQ(l2.swaps, 4);
}

TEST_F(SharedPlainTest, ANodeThatAlwaysLosesSaysThatNothingWasChanged) {
  l2.swaps_lost = 1'000'000;
  EXPECT_EQ(one.client->send_only("INCR n\r\n"), "");
  executor.advance(10s);
  const std::string reply = one.client->take();
  EXPECT_TRUE(reply.starts_with("-OVERLOADED ")) << reply;
  EXPECT_NE(reply.find("nothing was changed"), std::string::npos) << reply;
  EXPECT_LE(l2.swaps, 101);
}

TEST_F(SharedPlainTest, RenameHasNoAtomicStep) {
  one.run("SET k v");
  const std::string reply = one.run("RENAME k w");
  EXPECT_TRUE(reply.starts_with("-ERR RENAME is not supported with a shared L2 (feature 'cache')")) << reply;
  EXPECT_EQ(two.run("GET k"), "$1\r\nv\r\n");
}

TEST_F(SharedPlainTest, AConfiguredTtlEndsWhatIsStoredWithoutAnExpiry) {
  FeaturePolicy policy = one.cache.find_feature("cache")->policy();
  policy.ttl = 30s;
  ASSERT_TRUE(one.cache.update_policy(one.cache.find_feature("cache")->id(), policy));
  one.run("SET a v\r\nMSET b v\r\nINCR c\r\nSETNX d v");
  for (const char* key : {"a", "b", "c", "d"}) EXPECT_EQ(two.run(std::string("PTTL ") + key), ":30000\r\n");
}

TEST_F(SharedPlainTest, KeysAreNotListed) {
  one.run("SET k v");
  EXPECT_EQ(one.run("KEYS *"), "*0\r\n");
  EXPECT_EQ(one.run("SCAN 0"), "*2\r\n$1\r\n0\r\n*0\r\n");
  EXPECT_EQ(one.run("DBSIZE"), ":0\r\n");
  EXPECT_EQ(one.run("RANDOMKEY"), "$-1\r\n");
}

TEST_F(SharedPlainTest, FlushEmptiesTheSharedHome) {
  one.run("SET k v");
  EXPECT_EQ(two.run("FLUSHALL"), "+OK\r\n");
  EXPECT_EQ(one.run("GET k"), "$-1\r\n");
}

TEST_F(SharedPlainTest, WithoutL2NothingIsAcknowledgedAndNothingIsCalledAbsent) {
  one.run("SET k v");
  l2.down = true;
  for (const char* line : {"GET k", "MGET k x", "EXISTS k", "TTL k"}) {
    EXPECT_EQ(one.run(line), "-ERR L2 does not answer\r\n") << line;
  }
  for (const char* line : {"SET k w", "MSET k w", "DEL k", "INCR k", "SET k w NX", "EXPIRE k 1"}) {
    EXPECT_EQ(one.run(line), "-ORIGINDOWN not written: L2 does not answer\r\n") << line;
  }
  l2.down = false;
  EXPECT_EQ(two.run("GET k"), "$1\r\nv\r\n");
}

}  // namespace
}  // namespace candor::server::testing
