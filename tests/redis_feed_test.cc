// The change feed of a Redis origin against a real redis-server and other clients of it.
#include "change/redis_feed.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "candor/candor.h"
#include "io/clock.h"
#include "io/loop.h"
#include "proto/command_writer.h"
#include "proto/reply_parser.h"
#include "tests/support/process.h"

namespace candor {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::RedisServer;
using ::testing::UnorderedElementsAre;

// Another client of the same Redis: blocking, on the test's own thread.
class Foreign {
 public:
  explicit Foreign(std::uint16_t port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    CANDOR_ASSERT(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  ~Foreign() { ::close(fd_); }
  Foreign(const Foreign&) = delete;
  Foreign& operator=(const Foreign&) = delete;

  void send(const std::vector<std::string>& words) {
    const std::vector<std::string_view> views(words.begin(), words.end());
    resp::write_command(out_, views);
    ++owed_;
  }
  // Of the last command sent.
  resp::RespValue wait() {
    for (std::string_view rest = out_; !rest.empty();) {
      const ssize_t n = ::send(fd_, rest.data(), rest.size(), MSG_NOSIGNAL);
      CANDOR_ASSERT(n > 0);
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
    out_.clear();
    resp::RespValue value;
    for (; owed_ > 0; --owed_) {
      while (parser_.next(&unread_, &value) != resp::ReplyParser::Status::kValue) {
        const ssize_t n = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
        CANDOR_ASSERT(n > 0);
        unread_ = std::string_view(buffer_.data(), static_cast<std::size_t>(n));
      }
    }
    return value;
  }
  resp::RespValue run(const std::vector<std::string>& words) {
    send(words);
    return wait();
  }
  // One command a line.
  void run_all(const std::vector<std::vector<std::string>>& commands) {
    for (const auto& words : commands) EXPECT_FALSE(run(words).is_error()) << words[0];
  }

 private:
  int fd_;
  std::string out_;
  int owed_ = 0;
  std::string buffer_ = std::string(std::size_t{64} << 10, '\0');
  std::string_view unread_;
  resp::ReplyParser parser_;
};

struct RedisSink final : FeedSink {
  void on_changes(std::vector<Change> changes, Position up_to,
                  std::move_only_function<void()> taken) override {
    for (Change& change : changes) {
      EXPECT_LE(change.position, up_to);
      EXPECT_GT(change.position, reached) << "a position was said twice, or the order is broken";
      if (on_change) on_change(change);
      all.push_back(std::move(change));
    }
    reached = up_to;
    if (holds) {
      held = std::move(taken);
    } else {
      taken();
    }
  }
  void on_break(Incarnation incarnation, Position from, std::string reason) override {
    EXPECT_GE(from, reached);
    breaks.push_back(std::move(reason));
    incarnations.push_back(incarnation);
    reached = from;
    if (when_broken) when_broken();
  }
  void on_leading(bool is) override { leading = is; }

  // What was changed since the last call: "feature:key", or "feature:*".
  std::vector<std::string> take() {
    std::vector<std::string> out;
    for (const Change& c : all)
      out.push_back(c.feature + ":" + (c.scope == Change::Scope::kFeature ? "*" : c.key));
    all.clear();
    return out;
  }

  std::vector<Change> all;
  std::vector<std::string> breaks;
  std::vector<Incarnation> incarnations;
  Position reached;
  bool leading = false, holds = false;
  std::move_only_function<void()> held;
  std::function<void(const Change&)> on_change;
  std::function<void()> when_broken;
};

class RedisFeedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::is_installed()) GTEST_SKIP() << "redis-server is not installed";
    ASSERT_TRUE(server.start());
  }
  void TearDown() override {
    feed.reset();
    for (auto& one : features) one.reset();
    origin.reset();
    loop.turn(0s);
  }
  // Two watched features and one that is not, over `url`.
  void open(const std::string& url, std::size_t pending_max = 100'000) {
    RedisOrigin::Options options;
    options.name = "near";
    options.waiting_max = 200'000;
    options.client.outstanding_max = 400'000;
    options.client.reconnect.limit = 50ms;
    options.client.breaker.cool_down = 50ms;
    origin = make_redis_origin(url, options, &loop, &loop, 1).value();
    RedisFeedOptions feed_options;
    feed_options.origin = "near";
    feed_options.pending_max = pending_max;
    const std::array<std::pair<const char*, const char*>, 3> patterns{
        {{"user", "user:{key}"}, {"part", "p:{key1}:of:{key2}"}, {"other", "{key}"}}};
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      OriginStatements statements;
      statements.feature = patterns[i].first;
      statements.load = statements.store = statements.erase = patterns[i].second;
      statements.is_watched = i < 2;
      features[i] = origin->bind(statements).value();
      if (statements.is_watched)
        feed_options.watches.push_back(
            {statements.feature, KeyPattern::parse("f", "load", statements.load).value()});
    }
    feed = std::make_unique<RedisFeed>(&loop, &clock, origin.get(), std::move(feed_options));
    feed->start(&sink);
  }
  void open_and_lead() {
    open(server.url());
    ASSERT_TRUE(wait(origin->prepare()).has_value());
    ASSERT_TRUE(turn_until([this] { return sink.leading; }));
  }
  bool turn_until(const std::function<bool()>& done, Duration patience = 20s) {
    const MonoTime deadline = clock.now() + patience;
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
  OriginRow load(const std::string& key, std::size_t feature = 0) {
    auto row = wait(features[feature]->load(key, soon()));
    EXPECT_TRUE(row.has_value()) << row.error().message;
    return row.value_or(OriginRow{});
  }
  // Everything that was carried out before has been handed over.
  void settle() {
    const auto probe = wait(origin->probe(soon()));
    ASSERT_TRUE(probe.has_value()) << probe.error().message;
    ASSERT_TRUE(turn_until([&] { return sink.reached >= probe->position; }));
  }
  [[nodiscard]] MonoTime soon() const { return loop.now() + 10s; }

  RedisServer server;
  SystemClock clock;
  Loop loop;
  RedisSink sink;
  std::unique_ptr<RedisOrigin> origin;
  std::array<std::unique_ptr<OriginFeature>, 3> features;
  std::unique_ptr<RedisFeed> feed;
};

TEST_F(RedisFeedTest, EveryWayToChangeALoadedKeyIsTold) {
  open_and_lead();
  Foreign foreign(server.port());
  const std::vector<std::vector<std::vector<std::string>>> ways{
      {{"SET", "user:1", "b"}},
      {{"DEL", "user:1"}},
      {{"UNLINK", "user:1"}},
      {{"EXPIRE", "user:1", "100"}},
      {{"APPEND", "user:1", "x"}},
      {{"SETRANGE", "user:1", "0", "y"}},
      {{"GETDEL", "user:1"}},
      {{"RENAME", "user:1", "elsewhere"}},
      {{"RENAME", "source", "user:1"}},
      {{"COPY", "source", "user:1", "REPLACE"}},
      {{"MOVE", "user:1", "5"}},
      {{"EVAL", "return redis.call('set', KEYS[1], 'l')", "1", "user:1"}},
      {{"MULTI"}, {"SET", "user:1", "m"}, {"EXEC"}},
      {{"LPUSH", "new", "1"}, {"RENAME", "new", "user:1"}},
  };
  for (const auto& way : ways) {
    foreign.run_all({{"FLUSHALL"}, {"SET", "user:1", "a"}, {"SET", "source", "s"}});
    settle();
    sink.take();
    EXPECT_EQ(load("1").value, "a");
    foreign.run_all(way);
    settle();
    EXPECT_THAT(sink.take(), ElementsAre("user:1")) << way.back()[0];
  }
}

TEST_F(RedisFeedTest, ARowThatIsNotThereIsHeardOfWhenItComes) {
  open_and_lead();
  EXPECT_EQ(load("7").value, std::nullopt);
  Foreign(server.port()).run({"SET", "user:7", "born"});
  settle();
  EXPECT_THAT(sink.take(), ElementsAre("user:7"));
}

TEST_F(RedisFeedTest, OwnWritesAreTold) {
  open_and_lead();
  ASSERT_TRUE(wait(features[0]->store("1", "a", soon())).has_value());
  (void)load("1");
  ASSERT_TRUE(wait(features[0]->store("1", "b", soon())).has_value());
  settle();
  EXPECT_THAT(sink.take(), ElementsAre("user:1"));
  (void)load("1");
  ASSERT_TRUE(wait(features[0]->erase("1", soon())).has_value());
  settle();
  EXPECT_THAT(sink.take(), ElementsAre("user:1"));
}

TEST_F(RedisFeedTest, KeysOfSeveralColumnsAreFoundFromTheName) {
  open_and_lead();
  (void)load("a:b:c", 1);
  Foreign(server.port()).run({"SET", "p:a:of:b:c", "1"});
  settle();
  EXPECT_THAT(sink.take(), ElementsAre("part:a:b:c"));
}

TEST_F(RedisFeedTest, WhatIsNotWatchedIsNotTold) {
  open_and_lead();
  EXPECT_FALSE(load("free", 2).stamp.is_known());
  Foreign(server.port()).run({"SET", "free", "1"});
  settle();
  EXPECT_THAT(sink.take(), IsEmpty());
}

TEST_F(RedisFeedTest, FlushIsAChangeOfEveryFeature) {
  open_and_lead();
  (void)load("1");
  Foreign foreign(server.port());
  foreign.run({"FLUSHDB"});
  settle();
  EXPECT_THAT(sink.take(), UnorderedElementsAre("user:*", "part:*"));
  foreign.run({"FLUSHALL", "ASYNC"});
  settle();
  EXPECT_THAT(sink.take(), UnorderedElementsAre("user:*", "part:*"));
}

TEST_F(RedisFeedTest, AStampIncludesWhatCameBeforeAndNothingElse) {
  open_and_lead();
  Foreign foreign(server.port());
  const Stamp first = load("1").stamp;
  foreign.run({"SET", "user:1", "b"});
  settle();
  ASSERT_EQ(sink.all.size(), 1U);
  EXPECT_FALSE(first.includes(sink.all[0].id));
  EXPECT_TRUE(load("1").stamp.includes(sink.all[0].id));
}

// The answer to a PING proves: whatever was carried out before it is told at or below its position.
TEST_F(RedisFeedTest, AProofComesBehindEveryChangeBeforeIt) {
  open_and_lead();
  Foreign foreign(server.port());
  for (int i = 0; i < 300; ++i) {
    (void)load("1");
    foreign.run({"SET", "user:1", std::to_string(i)});
    const auto probe = wait(origin->probe(soon()));
    ASSERT_TRUE(probe.has_value());
    ASSERT_TRUE(turn_until([&] { return sink.reached >= probe->position; }));
    ASSERT_THAT(sink.take(), ElementsAre("user:1"));
    EXPECT_EQ(probe->all_up_to.value, probe->position.value);
  }
}

// A cache that keeps the rules, its loads racing with a writer: whenever the writer has stopped and a proof
// is there, it holds nothing but what Redis holds.
TEST_F(RedisFeedTest, ACacheThatGoesByTheStampsEndsEqualToTheOrigin) {
  open_and_lead();
  struct Held {
    std::optional<std::string> value;
    Stamp stamp;
  };
  std::map<std::string, Held> cache;
  std::map<std::string, ChangeId> markers;
  sink.on_change = [&](const Change& change) {
    markers[change.key] = change.id;
    const auto held = cache.find(change.key);
    if (held != cache.end() && !held->second.stamp.includes(change.id)) cache.erase(held);
  };
  Foreign reader(server.port());
  std::size_t compared = 0;
  for (int phase = 0; phase < 40; ++phase) {
    std::thread writer([&] {
      Foreign foreign(server.port());
      for (int i = 0; i < 100; ++i)
        foreign.run({"SET", fmt::format("user:{}", i % 3), fmt::format("{}.{}", phase, i)});
    });
    int under_way = 0;
    const auto load_one = [&](const std::string& key) {
      ++under_way;
      spawn(features[0]->load(key, soon()), [&, key](const Result<OriginRow>& row) {
        --under_way;
        ASSERT_TRUE(row.has_value());
        if (row->stamp.includes(markers[key]) || markers[key].value == 0)
          cache[key] = Held{row->value, row->stamp};
      });
    };
    for (int i = 0; i < 300; ++i) {
      load_one(std::to_string(i % 3));
      if (i % 4 == 0) loop.turn(0s);
    }
    writer.join();
    // The last changes may still be on their way to this loop: these loads race with them.
    for (int i = 0; i < 3; ++i) load_one(std::to_string(i));
    EXPECT_TRUE(turn_until([&] { return under_way == 0; }));
    settle();
    for (const auto& [key, held] : cache) {
      EXPECT_EQ(held.value, reader.run({"GET", "user:" + key}).text) << key << " in phase " << phase;
      ++compared;
    }
  }
  sink.on_change = nullptr;
  EXPECT_GT(compared, 20U);
}

TEST_F(RedisFeedTest, ALostConnectionBreaksAndTheNextIsAnotherHistory) {
  open_and_lead();
  const Stamp before = load("1").stamp;
  const Incarnation old = feed->status().incarnation;
  bool kept_old = true;
  sink.when_broken = [&] { kept_old = kept_old && sink.breaks.size() == 1; };
  Foreign foreign(server.port());
  const auto killed = foreign.run({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  EXPECT_GE(killed.integer, 1);
  foreign.run({"SET", "user:1", "unheard"});
  ASSERT_TRUE(turn_until([this] { return sink.breaks.size() >= 2; }));
  EXPECT_THAT(sink.breaks[0], HasSubstr("lost"));
  EXPECT_EQ(sink.incarnations[0], old);
  EXPECT_NE(sink.incarnations[1], old);
  const auto probe = wait(origin->probe(soon()));
  ASSERT_TRUE(probe.has_value());
  EXPECT_EQ(probe->incarnation, sink.incarnations[1]);
  // Whatever is told from now on, the old load does not include it.
  EXPECT_EQ(load("1").value, "unheard");
  foreign.run({"SET", "user:1", "heard"});
  settle();
  ASSERT_FALSE(sink.all.empty());
  EXPECT_FALSE(before.includes(sink.all.back().id));
}

TEST_F(RedisFeedTest, AServerThatComesBackIsAnotherHistory) {
  open_and_lead();
  const Incarnation old = feed->status().incarnation;
  server.crash();
  ASSERT_TRUE(turn_until([this] { return !sink.breaks.empty(); }));
  EXPECT_EQ(feed->status().state, FeedStatus::State::kConnecting);
  EXPECT_FALSE(wait(origin->probe(soon())).has_value());
  ASSERT_TRUE(server.start());
  ASSERT_TRUE(turn_until([this] {
    (void)wait(origin->probe(soon()));
    return feed->status().state == FeedStatus::State::kLeading;
  }));
  EXPECT_NE(feed->status().incarnation, old);
  (void)load("1");
  Foreign(server.port()).run({"SET", "user:1", "b"});
  settle();
  EXPECT_THAT(sink.take(), Contains("user:1"));
}

TEST_F(RedisFeedTest, AFullTrackingTableForgetsAloud) {
  Foreign(server.port()).run({"CONFIG", "SET", "tracking-table-max-keys", "10"});
  open_and_lead();
  std::set<std::string> held;
  for (int i = 0; i < 200; ++i) {
    (void)load(std::to_string(i));
    held.insert(std::to_string(i));
  }
  settle();
  for (const Change& change : sink.all) held.erase(change.key);
  // What the server no longer remembers has been told as changed.
  EXPECT_LE(held.size(), 12U);
}

TEST_F(RedisFeedTest, ALoadKnowsHowLongRedisWillKeepTheKey) {
  open_and_lead();
  Foreign foreign(server.port());
  foreign.run_all({{"SET", "user:1", "a", "PX", "5000"}, {"SET", "user:2", "b"}});
  const auto left = load("1").ttl_left;
  ASSERT_TRUE(left.has_value());
  EXPECT_GT(*left, 1s);
  EXPECT_LE(*left, 5s);
  EXPECT_EQ(load("2").ttl_left, std::nullopt);
  EXPECT_EQ(load("none").ttl_left, std::nullopt);
  foreign.run({"EXPIRE", "user:2", "50"});  // later than the load: told as a change
  settle();
  EXPECT_THAT(sink.take(), ElementsAre("user:2"));
}

TEST_F(RedisFeedTest, AnExpiredKeyIsToldWhenRedisDropsIt) {
  open_and_lead();
  Foreign(server.port()).run({"SET", "user:1", "a", "PX", "100"});
  EXPECT_EQ(load("1").value, "a");
  ASSERT_TRUE(turn_until([this] { return !sink.all.empty(); }));
  EXPECT_THAT(sink.take(), ElementsAre("user:1"));
}

TEST_F(RedisFeedTest, AUserWhoMayNotTrackIsToldWhatToDoAndServedMeanwhile) {
  Foreign foreign(server.port());
  foreign.run({"ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-client|tracking"});
  open(fmt::format("redis://app:pw@127.0.0.1:{}/0", server.port()));
  const OriginRow row = load("1");
  EXPECT_FALSE(row.stamp.is_known());
  ASSERT_EQ(feed->status().state, FeedStatus::State::kMisconfigured);
  EXPECT_THAT(feed->status().problem, HasSubstr("ACL SETUSER"));
  EXPECT_THAT(feed->status().problem, HasSubstr("ttl"));
  EXPECT_FALSE(sink.leading);
  const auto probe = wait(origin->probe(soon()));
  EXPECT_FALSE(probe.has_value());
  foreign.run({"ACL", "SETUSER", "app", "+client|tracking"});
  ASSERT_TRUE(turn_until([this] { return sink.leading; }));
  EXPECT_EQ(feed->status().state, FeedStatus::State::kLeading);
  EXPECT_TRUE(load("1").stamp.is_known());
  foreign.run({"SET", "user:1", "b"});
  settle();
  EXPECT_THAT(sink.take(), ElementsAre("user:1"));
}

TEST_F(RedisFeedTest, AUserWhoMayNotAskForExpiriesIsRefusedAloud) {
  Foreign(server.port()).run({"ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-pttl"});
  open(fmt::format("redis://app:pw@127.0.0.1:{}/0", server.port()));
  const auto row = wait(features[0]->load("1", soon()));
  ASSERT_FALSE(row.has_value());
  EXPECT_THAT(row.error().message, HasSubstr("pttl"));
  EXPECT_TRUE(wait(features[2]->load("1", soon())).has_value());  // not watched: not asked
}

TEST_F(RedisFeedTest, ASinkThatHoldsBackGetsTheFeatureInsteadOfEveryName) {
  open(server.url(), 50);
  ASSERT_TRUE(wait(origin->prepare()).has_value());
  ASSERT_TRUE(turn_until([this] { return sink.leading; }));
  for (int i = 0; i < 500; ++i) (void)load(std::to_string(i));
  Foreign foreign(server.port());
  sink.holds = true;
  foreign.run({"SET", "user:0", "x"});
  ASSERT_TRUE(turn_until([this] { return bool(sink.held); }));
  sink.take();
  for (int i = 1; i < 500; ++i) foreign.send({"SET", fmt::format("user:{}", i), "x"});
  foreign.wait();
  (void)wait(origin->probe(soon()));
  EXPECT_THAT(sink.take(), IsEmpty());
  sink.holds = false;
  sink.held();
  settle();
  const auto said = sink.take();
  EXPECT_LE(said.size(), 60U);
  EXPECT_THAT(said, Contains("user:*"));
}

TEST_F(RedisFeedTest, AHundredThousandKeys) {
  open_and_lead();
  constexpr int kKeys = 100'000;
  int answered = 0;
  const MonoTime begin = clock.now();
  for (int i = 0; i < kKeys; ++i) {
    spawn(features[0]->load(std::to_string(i), loop.now() + 60s),
          [&answered](const Result<OriginRow>& row) { answered += row ? 1 : 0; });
  }
  ASSERT_TRUE(turn_until([&] { return answered == kKeys; }, 60s));
  const MonoTime loaded = clock.now();
  std::thread writer([this] {
    Foreign foreign(server.port());
    for (int i = 0; i < kKeys; ++i) {
      foreign.send({"SET", fmt::format("user:{}", i), "x"});
      if (i % 1000 == 999) foreign.wait();
    }
  });
  std::set<std::string> told;
  ASSERT_TRUE(turn_until(
      [&] {
        for (const std::string& name : sink.take()) told.insert(name);
        return told.size() == kKeys || told.contains("user:*");
      },
      60s));
  writer.join();
  const MonoTime changed = clock.now();
  EXPECT_EQ(told.size(), std::size_t{kKeys});
  fmt::print("{} keys: loaded with their expiry in {} ms, changed and told in {} ms\n", kKeys,
             (loaded - begin) / 1ms, (changed - loaded) / 1ms);
}

// ---- the whole of it: a cache in this process, as a user opens it ----

class RedisNearCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!RedisServer::is_installed()) GTEST_SKIP() << "redis-server is not installed";
    ASSERT_TRUE(server.start());
  }
  void open(const std::string& more = {}) {
    const std::string path = dir.path() + "/candor.toml";
    std::ofstream(path) << fmt::format(R"(
[origins.near]
url = "{}"
[features.user]
origin = "near"
load = "user:{{key}}"
store = "user:{{key}}"
watch = true
ttl = "1h"
negative_ttl = "1h"
on_origin_failure = {{ serve_stale = "1h" }}
[features.strong]
origin = "near"
load = "user:{{key}}"
watch = true
consistency = "strong"
ttl = "1h"
[features.bounded]
origin = "near"
load = "user:{{key}}"
watch = true
consistency = "bounded"
ttl = "1h"
budget = {{ max_staleness = "500ms" }}
{})",
                                       server.url(), more);
    auto opened = Cache::open(path);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    cache.emplace(std::move(*opened));
    await_proof();
  }
  bool until(const std::function<bool()>& done, Duration patience = 20s) {
    const SystemClock clock;
    for (const MonoTime deadline = clock.now() + patience; !done();) {
      if (clock.now() >= deadline) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return true;
  }
  // What was loaded before the first proof is suspect: once a bounded read is answered from memory that was
  // loaded longer ago than its bound, there is one.
  void await_proof() {
    ASSERT_TRUE(until([this] {
      const auto reading = cache->get("bounded:warm");
      return reading.has_value() && reading->tier == "l1" && reading->age > 500ms;
    }));
  }
  // What a reader gets: the value, "nil", or "error".
  std::string said(const std::string& key) {
    const auto reading = cache->get(key);
    if (!reading) return "error";
    return reading->value.value_or("nil") + reading->degraded;
  }
  Reading get(const std::string& key) {
    auto reading = cache->get(key);
    EXPECT_TRUE(reading.has_value()) << reading.error().message;
    return reading.value_or(Reading{});
  }

  RedisServer server;
  testing::TempDir dir;
  std::optional<Cache> cache;
};

TEST_F(RedisNearCacheTest, AForeignChangeIsSeenInMilliseconds) {
  open();
  Foreign foreign(server.port());
  const SystemClock clock;
  std::vector<Duration> took;
  for (int i = 0; i < 300; ++i) {
    const std::string value = std::to_string(i);
    (void)get("user:1");
    EXPECT_EQ(get("user:1").tier, "l1");
    foreign.run({"SET", "user:1", value});
    const MonoTime begin = clock.now();
    ASSERT_TRUE(until([&] { return get("user:1").value == value; }));
    took.push_back(clock.now() - begin);
  }
  std::ranges::sort(took);
  fmt::print("seen after: median {} us, p99 {} us\n", took[150] / 1us, took[296] / 1us);
  EXPECT_LT(took[150], 50ms);
}

TEST_F(RedisNearCacheTest, OwnWritesAreReadAtOnce) {
  open();
  for (int i = 0; i < 300; ++i) {
    (void)get("user:1");
    ASSERT_TRUE(cache->set("user:1", std::to_string(i)).has_value());
    ASSERT_EQ(get("user:1").value, std::to_string(i));
  }
}

TEST_F(RedisNearCacheTest, AStrongReadNeverMissesAFinishedWrite) {
  open();
  Foreign foreign(server.port());
  for (int i = 0; i < 1000; ++i) {
    foreign.run({"SET", "user:1", std::to_string(i)});
    ASSERT_EQ(get("strong:1").value, std::to_string(i));
  }
}

// The proof makes an old load good: without it no read could come from L1 half a second after the load.
TEST_F(RedisNearCacheTest, ABoundedReadIsServedFromMemoryAndNeverOlderThanItsBound) {
  open();
  Foreign foreign(server.port());
  foreign.run({"SET", "user:1", "a"});
  (void)get("bounded:1");
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const Reading old = get("bounded:1");
  EXPECT_EQ(old.tier, "l1");
  EXPECT_GT(old.age, 900ms);
  EXPECT_EQ(old.value, "a");
  // A server that stands still proves nothing: rather an error than an old value.
  server.process().freeze();
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  const auto frozen = cache->get("bounded:1");
  EXPECT_FALSE(frozen.has_value());
  server.process().thaw();
  EXPECT_TRUE(until([this] { return cache->get("bounded:1").has_value(); }));
}

TEST_F(RedisNearCacheTest, AfterALostConnectionNothingOldIsServed) {
  open();
  Foreign foreign(server.port());
  for (int round = 0; round < 8; ++round) {
    for (int key = 0; key < 50; ++key) (void)get(fmt::format("user:{}", key));
    foreign.run({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
    for (int key = 0; key < 50; ++key)
      foreign.run({"SET", fmt::format("user:{}", key), std::to_string(round)});
    // The end of the connection reaches this node in its own time; from the first new value on, no old one.
    ASSERT_TRUE(until([&] { return said("user:0") == std::to_string(round); }));
    for (int key = 0; key < 50; ++key) EXPECT_EQ(said(fmt::format("user:{}", key)), std::to_string(round));
    await_proof();
  }
}

TEST_F(RedisNearCacheTest, WhileRedisIsDownOldValuesAreMarkedAndGoneWhenItIsBack) {
  open();
  Foreign(server.port()).run({"SET", "user:1", "a"});
  ASSERT_TRUE(until([this] { return get("user:1").value == "a"; }));
  server.crash();
  ASSERT_TRUE(until([this] {
    const auto reading = cache->get("user:1");
    return reading.has_value() && !reading->degraded.empty();
  }));
  EXPECT_EQ(get("user:1").value, "a");
  ASSERT_TRUE(server.start());  // empty
  ASSERT_TRUE(until([this] { return said("user:1") == "nil"; }));
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(said("user:1"), "nil");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Redis drops an expired key when somebody looks, or within a second or so: nobody is told before.
TEST_F(RedisNearCacheTest, AnExpiredKeyIsNotServedFromMemory) {
  open();
  Foreign foreign(server.port());
  foreign.run({"DEBUG", "SET-ACTIVE-EXPIRE", "0"});
  const SystemClock clock;
  for (int i = 0; i < 10; ++i) {
    foreign.run({"SET", "user:1", "short", "PX", "60"});
    const MonoTime set = clock.now();
    ASSERT_TRUE(until([this] { return get("user:1").value == "short"; }));
    EXPECT_TRUE(until([this] { return get("user:1").value == std::nullopt; }, 2s));
    EXPECT_LT(clock.now() - set, 90ms) << "served past its expiry";
  }
}

TEST_F(RedisNearCacheTest, FlushAllReachesMemory) {
  open();
  Foreign foreign(server.port());
  foreign.run({"SET", "user:1", "a"});
  ASSERT_TRUE(until([this] { return get("user:1").value == "a"; }));
  foreign.run({"FLUSHALL"});
  EXPECT_TRUE(until([this] { return get("user:1").value == std::nullopt; }, 1s));
}

}  // namespace
}  // namespace candor
