// Plain features on a real Redis that several nodes share: what depends on the value happens once, whoever
// asks.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <functional>
#include <set>

#include "cache/cache.h"
#include "io/clock.h"
#include "io/loop.h"
#include "tests/support/process.h"
#include "tier/l2/redis_l2.h"

namespace candor {
namespace {

constexpr Duration kPlainPatience = 30s;  // only failures wait for it

l1::Store::Update store(std::string value) {
  l1::Store::Update update;
  update.action = l1::Store::Update::Action::kStore;
  update.value = std::move(value);
  return update;
}

l1::StoreOptions small_store() {
  l1::StoreOptions options;
  options.memory_limit = std::size_t{4} << 20;
  return options;
}

// One node: a cache with a connection of its own to the server that all share.
struct PlainNode {
  PlainNode(Loop* loop, const SystemClock* clock, std::uint16_t port, std::uint64_t seed)
      : store(small_store()), l2(loop, loop, options(port), seed), cache(parts(loop, clock, seed)) {
    FeaturePolicy plain;
    plain.name = "cache";
    plain.plain = true;
    plain.ttl = Duration::zero();
    feature = cache.add_feature(plain, nullptr).value();
  }
  static l2::RedisL2::Options options(std::uint16_t port) {
    l2::RedisL2::Options options;
    options.client.endpoint = {"127.0.0.1", port, false};
    options.client.command_timeout = 10s;  // a loaded machine is no failure here
    return options;
  }
  CacheCore::Parts parts(Loop* loop, const SystemClock* clock, std::uint64_t seed) {
    CacheCore::Parts parts;
    parts.clock = clock;
    parts.home = loop;
    parts.l1 = &store;
    parts.l2 = &l2;
    parts.l2_is_shared = true;
    parts.seed = seed;
    return parts;
  }

  l1::Store store;
  l2::RedisL2 l2;
  CacheCore cache;
  FeatureId feature;
};

class SharedPlainRedisTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(server.start());
    for (std::uint64_t seed = 1; seed <= 3; ++seed)
      nodes.push_back(std::make_unique<PlainNode>(&loop, &clock, server.port(), seed));
  }
  void TearDown() override {
    nodes.clear();
    loop.turn(0s);
  }
  bool turn_until(const std::function<bool()>& done) {
    const MonoTime deadline = clock.now() + kPlainPatience;
    while (!done()) {
      if (clock.now() >= deadline) return false;
      loop.turn(5ms);
    }
    return true;
  }
  // INCR: `got` receives the sum.
  void add_one(PlainNode& node, const std::string& key, std::multiset<int>* got) {
    auto sum = std::make_shared<int>(0);
    auto decide = [sum](const l1::EntryView* current) {
      *sum = (current == nullptr ? 0 : std::stoi(std::string(current->value))) + 1;
      return store(std::to_string(*sum));
    };
    node.cache.plain_update(node.feature, key, decide, [sum, got](const Result<WriteResult>& result) {
      ASSERT_TRUE(result.has_value()) << result.error().message;
      got->insert(*sum);
    });
  }

  testing::RedisServer server;
  Loop loop;
  SystemClock clock;
  std::vector<std::unique_ptr<PlainNode>> nodes;
};

TEST_F(SharedPlainRedisTest, EveryIncrementOfEveryNodeCountsOnce) {
  int round = 0;
  rc::check("n increments, spread over the nodes at random, are n, and each got another sum", [&] {
    const std::string key = fmt::format("n{}", round++);
    // One entry an increment: through which node, and whether the loop turns before the next.
    const auto plan = *rc::gen::container<std::vector<std::pair<bool, bool>>>(
        *rc::gen::inRange(1, 200), rc::gen::arbitrary<std::pair<bool, bool>>());
    std::multiset<int> got;
    for (const auto& [second, turn] : plan) {
      add_one(*nodes[second ? 1 : 0], key, &got);
      if (turn) loop.turn(0s);
    }
    RC_ASSERT(turn_until([&] { return got.size() == plan.size(); }));
    RC_ASSERT(std::set<int>(got.begin(), got.end()).size() == plan.size());
    RC_ASSERT(*got.rbegin() == static_cast<int>(plan.size()));
  });
}

TEST_F(SharedPlainRedisTest, AThousandIncrementsOfOneKeyAreFarFewerSwaps) {
  std::multiset<int> got;
  const auto commands = [&] {
    std::uint64_t sum = 0;
    for (const auto& node : nodes) sum += node->l2.client().stats().commands;
    return sum;
  };
  const std::uint64_t before = commands();
  for (int i = 0; i < 999; ++i) add_one(*nodes[static_cast<std::size_t>(i) % 3], "n", &got);
  ASSERT_TRUE(turn_until([&] { return got.size() == 999; }));
  EXPECT_EQ(*got.rbegin(), 999);
  EXPECT_LT(commands() - before, 200U);
}

// A value that changes hands by GETDEL is taken by one taker, however many ask.
TEST_F(SharedPlainRedisTest, WhatIsTakenIsTakenOnce) {
  int stored = 0, taken = 0, answered = 0;
  for (int i = 0; i < 300; ++i) {
    PlainNode& node = *nodes[static_cast<std::size_t>(i) % 3];
    auto did = std::make_shared<int>(0);
    auto set_if_absent = [did](const l1::EntryView* current) {
      *did = current == nullptr ? 1 : 0;
      return *did == 1 ? store("ball") : l1::Store::Update{};
    };
    auto take = [did](const l1::EntryView* current) {
      *did = current == nullptr ? 0 : 1;
      l1::Store::Update update;
      if (*did == 1) update.action = l1::Store::Update::Action::kErase;
      return update;
    };
    const bool stores = i % 2 == 0;
    auto done = [&, did, stores](const Result<WriteResult>& result) {
      ASSERT_TRUE(result.has_value()) << result.error().message;
      (stores ? stored : taken) += *did;
      ++answered;
    };
    if (stores) {
      node.cache.plain_update(node.feature, "k", set_if_absent, done);
    } else {
      node.cache.plain_update(node.feature, "k", take, done);
    }
    if (i % 7 == 0) loop.turn(0s);
  }
  ASSERT_TRUE(turn_until([&] { return answered == 300; }));
  const int left = stored - taken;
  EXPECT_TRUE(left == 0 || left == 1) << stored << " stored, " << taken << " taken";
  EXPECT_GT(taken, 0);
}

TEST_F(SharedPlainRedisTest, TheExpiryOfAValueThatIsChangedInPlaceStaysWhereItWas) {
  bool done = false;
  nodes[0]->cache.plain_write(nodes[0]->feature, "k", "1", 10s, [&](const auto&) { done = true; });
  ASSERT_TRUE(turn_until([&] { return done; }));
  const MonoTime begin = clock.now();
  for (int i = 0; i < 20; ++i) {
    done = false;
    auto keep = [](const l1::EntryView* current) {
      l1::Store::Update update = store(std::string(current->value) + "x");
      update.meta.expires_at = current->meta.expires_at;
      return update;
    };
    nodes[1]->cache.plain_update(nodes[1]->feature, "k", keep, [&](const auto&) { done = true; });
    ASSERT_TRUE(turn_until([&] { return done; }));
    const MonoTime pause = clock.now() + 5ms;
    while (clock.now() < pause) loop.turn(1ms);
  }
  std::optional<Duration> left;
  nodes[2]->cache.read(nodes[2]->feature, "k", {}, [&](const Result<ReadResult>& r) {
    ASSERT_TRUE(r.has_value());
    left = r->ttl_left;
  });
  ASSERT_TRUE(turn_until([&] { return left.has_value(); }));
  const Duration passed = clock.now() - begin;
  EXPECT_LE(*left, 10s - passed + 20ms);
  EXPECT_GE(*left, 10s - passed - 500ms);
}

}  // namespace
}  // namespace candor
