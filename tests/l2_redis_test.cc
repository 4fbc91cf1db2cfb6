// L2 against a real redis-server: what a fake cannot prove (the scripts, the bytes, a server that dies).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "base/ids.h"
#include "io/clock.h"
#include "io/loop.h"
#include "tests/support/process.h"
#include "tier/l2/make_l2.h"
#include "tier/l2/redis_l2.h"
#include "tier/l2/redis_scripts.h"
#include "tier/l2/redis_url.h"

namespace candor {
namespace {

using l2::RedisL2;
using testing::RedisServer;
using State = L2Lookup::State;

constexpr Duration kPatience = 20s;  // only failures wait for it

L2Entry entry_of(std::string value, Duration ttl = 60s, std::uint64_t position = 0) {
  L2Entry e;
  e.value = std::move(value);
  e.ttl_left = ttl;
  e.stamp = Stamp{ChangeId{position}};
  return e;
}

class L2RedisTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::is_installed()) GTEST_SKIP() << "redis-server is not installed";
    ASSERT_TRUE(server.start());
    a = node(1);
    b = node(2);
  }
  void TearDown() override {
    a.reset();
    b.reset();
    loop.turn(0s);
  }

  std::unique_ptr<RedisL2> node(std::uint64_t seed, Duration timeout = 500ms) {
    RedisL2::Options options;
    options.client.endpoint = {"127.0.0.1", server.port(), false};
    options.client.command_timeout = timeout;
    options.client.breaker.outcomes_min = 5;
    options.client.breaker.cool_down = 200ms;
    options.client.reconnect.limit = 100ms;
    return std::make_unique<RedisL2>(&loop, &loop, options, seed);
  }

  bool turn_until(const std::function<bool()>& done) {
    const SystemClock clock;
    const MonoTime deadline = clock.now() + kPatience;
    while (!done()) {
      if (clock.now() >= deadline) return false;
      loop.turn(5ms);
    }
    return true;
  }
  void pass(Duration time) {
    const SystemClock clock;
    const MonoTime until = clock.now() + time;
    while (clock.now() < until) loop.turn(std::max<Duration>(until - clock.now(), 1ms));
  }
  template <class T>
  T wait(Task<T> task) {
    std::optional<T> result;
    spawn(std::move(task), [&result](T value) { result.emplace(std::move(value)); });
    CANDOR_ASSERT(turn_until([&result] { return result.has_value(); }));
    return std::move(*result);
  }
  L2Lookup look(RedisL2& node, const std::string& key, bool refresh = false) {
    auto l = wait(node.get_or_lease(key, 3s, refresh));
    EXPECT_TRUE(l.has_value()) << l.error().message;
    return l.value_or(L2Lookup{});
  }
  L2FillVerdict fill(RedisL2& node, const std::string& key, LeaseToken token, L2Entry e) {
    return wait(node.fill(key, token, std::move(e))).value();
  }
  bool invalidate(RedisL2& node, const std::string& key, std::uint64_t position = 0, Duration hold = 0s) {
    return wait(node.invalidate(key, L2Marker{ChangeId{position}, hold})).value();
  }
  // A command past the tier, as redis-cli would send it.
  resp::RespValue raw(std::vector<std::string_view> words) {
    redis::Answer answer = a->client().send(words, 10s);
    auto waits = [](redis::Answer asked) -> Task<Result<resp::RespValue>> {
      Result<resp::RespValue> reply = co_await asked;
      co_return reply;
    };
    return wait(waits(answer)).value();
  }

  RedisServer server;
  Loop loop;
  std::unique_ptr<RedisL2> a, b;
};

TEST_F(L2RedisTest, OneOfTwoNodesGetsTheLeaseAndBothReadItsFill) {
  const L2Lookup first = look(*a, "f:1");
  ASSERT_EQ(first.state, State::kLease);
  EXPECT_EQ(look(*b, "f:1").state, State::kBusy);
  L2Entry e = entry_of("hello", 10s, 7);
  e.age = 150ms;
  EXPECT_EQ(fill(*a, "f:1", first.token, e), L2FillVerdict::kStored);
  const L2Lookup hit = look(*b, "f:1");
  ASSERT_EQ(hit.state, State::kHit);
  EXPECT_EQ(hit.entry.value, "hello");
  EXPECT_EQ(hit.entry.stamp.up_to.value, 7U);
  EXPECT_GE(hit.entry.age, Duration{150ms});
  EXPECT_LT(hit.entry.age, Duration{5s});
  EXPECT_GT(hit.entry.ttl_left, Duration{5s});
  EXPECT_EQ(b->stats().hits, 1U);
}

TEST_F(L2RedisTest, LateFillAfterAnotherNodesInvalidateIsRefused) {
  const L2Lookup lease = look(*a, "f:1");
  EXPECT_FALSE(invalidate(*b, "f:1"));
  EXPECT_EQ(fill(*a, "f:1", lease.token, entry_of("old")), L2FillVerdict::kLeaseLost);
  EXPECT_EQ(look(*b, "f:1").state, State::kLease);
  EXPECT_EQ(a->stats().fills_refused, 1U);
}

TEST_F(L2RedisTest, MarkerRefusesLoadsThatDoNotIncludeItUntilItEnds) {
  EXPECT_FALSE(invalidate(*a, "f:1", 1'000'000'000'000'000'000, 300ms));
  EXPECT_FALSE(invalidate(*a, "f:1", 5, 1ms));  // does not step back, does not shorten
  // Positions that a double cannot tell apart.
  EXPECT_EQ(fill(*b, "f:1", look(*b, "f:1").token, entry_of("old", 60s, 999'999'999'999'999'999)),
            L2FillVerdict::kMarkerNewer);
  EXPECT_EQ(fill(*b, "f:1", look(*b, "f:1").token, entry_of("unknown", 60s, 0)), L2FillVerdict::kMarkerNewer);
  EXPECT_EQ(fill(*b, "f:1", look(*b, "f:1").token, entry_of("new", 60s, 1'000'000'000'000'000'000)),
            L2FillVerdict::kStored);
  EXPECT_TRUE(invalidate(*a, "f:1"));
  pass(400ms);
  EXPECT_EQ(fill(*b, "f:1", look(*b, "f:1").token, entry_of("any", 60s, 0)), L2FillVerdict::kStored);
}

TEST_F(L2RedisTest, RefreshGetsALeaseBesideTheEntry) {
  ASSERT_TRUE(wait(a->put("f:1", entry_of("v"))).has_value());
  const L2Lookup refresh = look(*a, "f:1", true);
  ASSERT_EQ(refresh.state, State::kLease);
  EXPECT_EQ(look(*b, "f:1", true).state, State::kBusy);
  EXPECT_EQ(look(*b, "f:1").state, State::kHit);
  EXPECT_EQ(fill(*a, "f:1", refresh.token, entry_of("w")), L2FillVerdict::kStored);
  EXPECT_EQ(look(*b, "f:1").entry.value, "w");
}

TEST_F(L2RedisTest, EntriesAndLeasesExpireInRedis) {
  auto lease = wait(a->get_or_lease("f:1", 100ms, false)).value();
  ASSERT_TRUE(wait(a->put("f:2", entry_of("v", 100ms))).has_value());
  EXPECT_EQ(look(*b, "f:1").state, State::kBusy);
  pass(200ms);
  EXPECT_EQ(look(*b, "f:2").state, State::kLease);
  EXPECT_EQ(look(*b, "f:1").state, State::kLease);
  EXPECT_EQ(fill(*a, "f:1", lease.token, entry_of("late")), L2FillVerdict::kLeaseLost);
}

TEST_F(L2RedisTest, ReleaseIsForTheHolderOnly) {
  const L2Lookup lease = look(*a, "f:1");
  ASSERT_TRUE(wait(b->release("f:1", LeaseToken{lease.token.value + 1})).has_value());
  EXPECT_EQ(look(*b, "f:1").state, State::kBusy);
  ASSERT_TRUE(wait(a->release("f:1", lease.token)).has_value());
  EXPECT_EQ(look(*b, "f:1").state, State::kLease);
}

TEST_F(L2RedisTest, PutBeatsALoadUnderWayAndNoTtlStillTellsItsAge) {
  const L2Lookup lease = look(*a, "f:1");
  ASSERT_TRUE(wait(b->put("f:1", entry_of("put", 0s))).has_value());
  EXPECT_EQ(fill(*a, "f:1", lease.token, entry_of("loaded")), L2FillVerdict::kLeaseLost);
  pass(50ms);
  const auto got = wait(a->get("f:1")).value();
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->value, "put");
  EXPECT_EQ(got->ttl_left, Duration{0});
  EXPECT_GE(got->age, Duration{50ms});
  EXPECT_LT(got->age, Duration{5s});
}

TEST_F(L2RedisTest, NegativeResultsAndHostileKeysRoundTrip) {
  for (const std::string& key : {std::string("f:"), std::string("f:}{x}"), std::string("f:\0\r\n*", 6),
                                 "f:" + std::string(kKeyBytesMax - 2, 'k')}) {
    L2Entry e = entry_of("");
    e.negative = true;
    ASSERT_EQ(fill(*a, key, look(*a, key).token, e), L2FillVerdict::kStored);
    EXPECT_TRUE(look(*b, key).entry.negative);
  }
}

TEST_F(L2RedisTest, BrokenEntryIsAMissCountedAndReplaced) {
  // Long enough to have a generation, and that is the current one.
  raw({"SET", "candor:c:{f:1}",
       std::string_view("not an entry\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 40)});
  const L2Lookup lease = look(*a, "f:1");
  ASSERT_EQ(lease.state, State::kLease);
  EXPECT_EQ(a->stats().corrupt, 1U);
  EXPECT_EQ(wait(b->get("f:1")).value(), std::nullopt);
  EXPECT_EQ(fill(*a, "f:1", lease.token, entry_of("good")), L2FillVerdict::kStored);
  EXPECT_EQ(look(*b, "f:1").entry.value, "good");
}

TEST_F(L2RedisTest, AnotherProgramsKeyUnderOurNameIsAnErrorNotACrash) {
  raw({"LPUSH", "candor:c:{f:1}", "x"});
  const auto l = wait(a->get_or_lease("f:1", 3s, false));
  ASSERT_FALSE(l.has_value());
  EXPECT_NE(l.error().message.find("WRONGTYPE"), std::string::npos);
}

TEST_F(L2RedisTest, ScriptFlushIsHealedUnnoticed) {
  (void)look(*a, "f:1");
  raw({"SCRIPT", "FLUSH"});
  EXPECT_EQ(look(*a, "f:2").state, State::kLease);
  EXPECT_EQ(look(*a, "f:3").state, State::kLease);
  EXPECT_EQ(a->client().stats().scripts_resent, 1U);
}

TEST_F(L2RedisTest, LargestValuePassesThrough) {
  // Redis alone takes a tenth of a second for it; a loaded machine with sanitizers takes much longer.
  a = node(3, 10s);
  b = node(4, 10s);
  std::string value(kValueBytesMax, '\0');
  Random random(3);
  for (std::size_t i = 0; i + 8 <= value.size(); i += 8) {
    const std::uint64_t word = random();
    value.replace(i, 8, reinterpret_cast<const char*>(&word), 8);
  }
  ASSERT_EQ(fill(*a, "f:big", look(*a, "f:big").token, entry_of(value)), L2FillVerdict::kStored);
  const L2Lookup hit = look(*b, "f:big");
  ASSERT_EQ(hit.state, State::kHit);
  EXPECT_TRUE(hit.entry.value == value);
  EXPECT_EQ(b->stats().timeouts, 0U);
}

TEST_F(L2RedisTest, ClearDropsOnePrefixEveryLeaseAndNothingOfOthers) {
  for (int i = 0; i < 2500; ++i) {
    spawn(a->put(fmt::format("x[1]:{}", i), entry_of("v")),
          [](Result<void> r) { ASSERT_TRUE(r.has_value()); });
  }
  ASSERT_TRUE(wait(a->put("y:1", entry_of("v"))).has_value());
  raw({"SET", "another program's", "v"});
  invalidate(*a, "z:1", 9, 60s);
  const L2Lookup lease = look(*a, "y:2");
  ASSERT_TRUE(wait(b->clear("x[1]:")).has_value());
  EXPECT_EQ(raw({"DBSIZE"}).integer, 3);  // y:1, the marker, the other program's
  EXPECT_EQ(fill(*a, "y:2", lease.token, entry_of("v")), L2FillVerdict::kLeaseLost);
  ASSERT_TRUE(wait(b->clear("")).has_value());
  EXPECT_EQ(raw({"DBSIZE"}).integer, 2);
}

TEST_F(L2RedisTest, CallsOfOneTurnLeaveInOneWrite) {
  (void)look(*a, "warm:up");
  const auto before = a->client().stats();
  int answered = 0;
  for (int i = 0; i < 1000; ++i) {
    spawn(a->get_or_lease(fmt::format("f:{}", i), 3s, false), [&answered](Result<L2Lookup> l) {
      ASSERT_TRUE(l.has_value());
      ++answered;
    });
  }
  ASSERT_TRUE(turn_until([&answered] { return answered == 1000; }));
  const auto after = a->client().stats();
  EXPECT_EQ(after.commands - before.commands, 1000U);
  EXPECT_EQ(after.writes - before.writes, 1U);
}

TEST_F(L2RedisTest, RedisGoneFailsFastAndRedisBackHeals) {
  ASSERT_TRUE(wait(a->put("f:1", entry_of("v"))).has_value());
  server.crash();
  const SystemClock clock;
  const MonoTime begin = clock.now();
  for (int i = 0; i < 20; ++i) {
    const auto l = wait(a->get_or_lease("f:1", 3s, false));
    ASSERT_FALSE(l.has_value());
    // The first may have been sent into a connection whose end was not yet noticed.
    if (i > 0) {
      EXPECT_EQ(l.error().code, ErrorCode::kUnavailable);
    }
  }
  EXPECT_LT(clock.now() - begin, Duration{2s});
  EXPECT_TRUE(a->stats().breaker_open);
  EXPECT_FALSE(a->stats().connected);
  ASSERT_TRUE(server.start());
  ASSERT_TRUE(turn_until([this] { return a->stats().connected && !a->stats().breaker_open; }));
  EXPECT_EQ(look(*a, "f:1").state, State::kLease);  // it came back empty
  EXPECT_EQ(a->stats().reconnects, 1U);
}

TEST_F(L2RedisTest, FrozenRedisTimesOutAndOpensTheBreakerThenThaws) {
  (void)look(*a, "f:1");
  server.process().freeze();
  int failed = 0;
  for (int i = 0; i < 10; ++i) {
    spawn(a->get("f:1"), [&failed](Result<std::optional<L2Entry>> r) { failed += r.has_value() ? 0 : 1; });
  }
  ASSERT_TRUE(turn_until([&failed] { return failed == 10; }));
  EXPECT_EQ(a->stats().timeouts, 10U);
  EXPECT_TRUE(a->stats().breaker_open);
  const auto refused = wait(a->get("f:1"));
  ASSERT_FALSE(refused.has_value());
  server.process().thaw();
  ASSERT_TRUE(turn_until([this] { return wait(a->get("f:1")).has_value() && !a->stats().breaker_open; }));
}

// What a frozen L2 costs cold reads that come one after the other: the first waits, the others are refused.
TEST_F(L2RedisTest, TwentyColdReadsAtAFrozenRedisWaitOnceTogether) {
  (void)look(*a, "f:1");
  pass(10ms);
  server.process().freeze();
  const SystemClock clock;
  const MonoTime begin = clock.now();
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(wait(a->get_or_lease(fmt::format("f:{}", i), 3s, false)).has_value());
    pass(5ms);
  }
  const Duration took = clock.now() - begin - 20 * 5ms;
  RecordProperty("added_ms", static_cast<int>(took / 1ms));
  EXPECT_LT(took, Duration{1s});
  EXPECT_TRUE(a->stats().breaker_open);
  // Also later, when the silent connection was given up and the next one is not greeted.
  pass(2500ms);
  const MonoTime later = clock.now();
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(wait(a->get("f:1")).has_value());
  EXPECT_LT(clock.now() - later, Duration{200ms});
  server.process().thaw();
  ASSERT_TRUE(turn_until([this] { return a->stats().connected && !a->stats().breaker_open; }));
  EXPECT_TRUE(wait(a->get("f:1")).has_value());
}

TEST_F(L2RedisTest, ARedisThatBecomesAReplicaIsLeftAndTakenAgainWhenItIsThePrimary) {
  RedisServer other;
  ASSERT_TRUE(other.start());
  ASSERT_TRUE(wait(a->put("f:1", entry_of("v"))).has_value());
  raw({"REPLICAOF", "127.0.0.1", std::to_string(other.port())});
  const auto refused = wait(a->put("f:1", entry_of("w")));
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("READONLY"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(a->stats().connected);
  EXPECT_EQ(a->stats().demotions, 1U);
  pass(300ms);
  EXPECT_FALSE(a->stats().connected);  // it is looked at again and again, and still a replica
  EXPECT_FALSE(wait(a->put("f:1", entry_of("w"))).has_value());
  EXPECT_EQ(a->stats().demotions, 1U);
  (void)wait(b->get("f:1"));  // reads do not mind: only the first write says READONLY
  auto promoted = b->client().send(std::vector<std::string_view>{"REPLICAOF", "NO", "ONE"}, 10s);
  ASSERT_TRUE(turn_until([this] { return a->stats().connected; }));
  ASSERT_TRUE(turn_until([this] { return wait(a->put("f:1", entry_of("x"))).has_value(); }));
  EXPECT_EQ(look(*b, "f:1").entry.value, "x");
}

TEST_F(L2RedisTest, NoServerAtAllIsAnErrorNotAHang) {
  RedisL2::Options options;
  options.client.endpoint = {"127.0.0.1", testing::free_port(), false};
  RedisL2 lonely(&loop, &loop, options, 1);
  const auto l = wait(lonely.get_or_lease("f:1", 3s, false));
  ASSERT_FALSE(l.has_value());
  EXPECT_EQ(l.error().code, ErrorCode::kUnavailable);
}

TEST_F(L2RedisTest, PasswordAndDatabaseAreUsed) {
  RedisServer guarded({"--requirepass", "hunter2"});
  ASSERT_TRUE(guarded.start());
  const auto make = [&](const std::string& login) {
    const l2::World world{&loop, &loop, 1};
    return l2::make_l2(fmt::format("redis://{}127.0.0.1:{}/3", login, guarded.port()), {}, world).value();
  };
  auto with = make(":hunter2@"), without = make(""), wrong = make(":wrong@");
  EXPECT_TRUE(wait(with->put("f:1", entry_of("v"))).has_value());
  for (auto* tier : {without.get(), wrong.get()}) {
    const auto refused = wait(tier->put("f:1", entry_of("v")));
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().message.find("password"), std::string::npos) << refused.error().message;
    EXPECT_EQ(refused.error().message.find("hunter2"), std::string::npos);
  }
  EXPECT_EQ(with->describe(), fmt::format("redis 127.0.0.1:{}/3", guarded.port()));
}

TEST_F(L2RedisTest, FullRedisSaysWhatToDo) {
  raw({"CONFIG", "SET", "maxmemory", "1"});
  const auto refused = wait(a->put("f:1", entry_of("v")));
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("maxmemory"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(wait(a->get("f:1")).has_value());  // reads go on
}

}  // namespace
}  // namespace candor
