// Plain features whose home is an L2 that several nodes share: two servers, one L2.
#include "server/testing_server.h"
#include "tier/l2/memory_l2.h"

namespace candor::server::testing {
namespace {

// An L2 with a plug to pull.
struct PluggedL2 final : L2 {
  explicit PluggedL2(VirtualExecutor* executor) : inner(executor, {}, 5) {}
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
  Task<Result<bool>> invalidate(std::string key, L2Marker marker) override {
    if (down) co_return away();
    co_return co_await inner.invalidate(std::move(key), marker);
  }
  Task<Result<void>> clear(std::string prefix) override {
    if (down) co_return away();
    co_return co_await inner.clear(std::move(prefix));
  }
  [[nodiscard]] L2Stats stats() const override { return inner.stats(); }
  [[nodiscard]] std::string describe() const override { return "test"; }

  l2::MemoryL2 inner;
  bool down = false;
};

class SharedPlainTest : public ::testing::Test {
 protected:
  struct Node {
    explicit Node(SharedPlainTest& test) : store(store_options()), cache(parts(test)) {
      FeaturePolicy plain;
      plain.name = "cache";
      plain.plain = true;
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

TEST_F(SharedPlainTest, WhatIsNotAtomicInL2YetIsRefusedAndChangesNothing) {
  one.run("SET k v");
  for (const char* line : {"SET k w NX", "SET k w XX", "SET k w GET", "SET k w KEEPTTL", "SETNX k w",
                           "INCR k", "APPEND k w", "SETRANGE k 0 w", "GETSET k w", "GETDEL k",
                           "GETEX k PERSIST", "EXPIRE k 10", "PERSIST k", "RENAME k w"}) {
    const std::string reply = one.run(line);
    EXPECT_TRUE(reply.starts_with("-ERR ")) << line << " " << reply;
    EXPECT_NE(reply.find("not supported with a shared L2 yet (feature 'cache')"), std::string::npos) << reply;
  }
  EXPECT_EQ(two.run("GET k"), "$1\r\nv\r\n");
  EXPECT_EQ(two.run("TTL k"), ":-1\r\n");
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
  for (const char* line : {"GET k", "MGET k x", "SET k w", "MSET k w", "DEL k", "EXISTS k", "TTL k"}) {
    EXPECT_EQ(one.run(line), "-ERR L2 does not answer\r\n") << line;
  }
  l2.down = false;
  EXPECT_EQ(two.run("GET k"), "$1\r\nv\r\n");
}

}  // namespace
}  // namespace candor::server::testing
