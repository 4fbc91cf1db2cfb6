// The promises of bus/region_stream.h, run against every implementation with real servers, and what only
// real servers do: die, freeze, lose their log, or come back with an older one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "bus/make_stream.h"
#include "bus/testing_stream.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/thread_pool.h"
#include "tests/support/process.h"
#include "tests/support/stream_server.h"

namespace candor {
namespace {

using testing::StreamServer;
using testing_stream::RecordingReader;
using testing_stream::token;

constexpr Duration kStreamPatience = 20s;  // only failures wait for it

class StreamTest : public ::testing::Test {
 protected:
  explicit StreamTest(const std::string& kind) : server(StreamServer::make(kind)) {}
  void SetUp() override { ASSERT_TRUE(server->start()); }
  void TearDown() override {
    streams.clear();
    for (int i = 0; i < 3; ++i) loop.turn(1ms);
    pool.reset();
    loop.turn(1ms);
  }

  RegionStream* node(std::size_t messages_kept = 50'000) {
    MakeStreamOptions options;
    options.region = "test-eu";
    options.messages_kept = messages_kept;
    if (!log) log = std::make_shared<MemoryLog>(MemoryLog::Options{.messages_max = messages_kept}, 7);
    options.memory_log = log;
    const StreamWorld world{&loop, &loop, pool.get(), ++seed};
    streams.push_back(make_stream(server->url(), options, world).value());
    return streams.back().get();
  }
  RegionStream* reading_node(RecordingReader* reader, std::optional<SequenceNumber> after = std::nullopt) {
    RegionStream* const stream = node();
    stream->read(after, reader);
    EXPECT_TRUE(turn_until([&] { return reader->connected; })) << stream->status().problem;
    return stream;
  }
  void close(RegionStream* stream) {
    std::erase_if(streams, [stream](const auto& s) { return s.get() == stream; });
  }

  bool turn_until(const std::function<bool()>& done) {
    const SystemClock clock;
    const MonoTime deadline = clock.now() + kStreamPatience;
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
  std::uint64_t append(RegionStream* stream, std::uint64_t value) {
    auto done = wait(stream->append(token(value)));
    EXPECT_TRUE(done.has_value()) << (done ? "" : done.error().message);
    return done ? done->value : 0;
  }
  // As a publisher does it: until it is certain.
  std::uint64_t append_surely(RegionStream* stream, std::uint64_t value) {
    for (int i = 0; i < 400; ++i) {
      if (auto done = wait(stream->append(token(value)))) return done->value;
      pass(20ms);
    }
    ADD_FAILURE() << "appending never succeeded: " << stream->status().problem;
    return 0;
  }
  bool has(const RecordingReader& reader, std::uint64_t value) {
    return std::ranges::find(reader.tokens, value) != reader.tokens.end();
  }

  std::unique_ptr<StreamServer> server;
  Loop loop;
  std::unique_ptr<ThreadPool> pool = std::make_unique<ThreadPool>(2, "blocking");
  std::shared_ptr<MemoryLog> log;
  std::vector<std::unique_ptr<RegionStream>> streams;
  std::uint64_t seed = 0;
};

// ---- every implementation ----

class StreamContractTest : public StreamTest, public ::testing::WithParamInterface<std::string> {
 protected:
  StreamContractTest() : StreamTest(GetParam()) {}
};

TEST_P(StreamContractTest, ConcurrentAppendersGetNumbersWithoutHolesAndReadersTheSameOrder) {
  static constexpr std::uint64_t kEach = 1000;
  RecordingReader readers[3];
  RegionStream* nodes[3];
  for (int i = 0; i < 3; ++i) nodes[i] = reading_node(&readers[i]);
  std::map<std::uint64_t, std::uint64_t> by_number;
  for (std::uint64_t round = 0; round < kEach / 100; ++round) {
    for (std::uint64_t n = 0; n < 100; ++n) {
      for (std::uint64_t who = 0; who < 3; ++who) {
        const std::uint64_t value = who * 1'000'000 + round * 100 + n;
        spawn(nodes[who]->append(token(value)), [&by_number, value](Result<SequenceNumber> r) {
          ASSERT_TRUE(r.has_value()) << r.error().message;
          by_number[r->value] = value;
        });
      }
    }
    loop.turn(0s);
  }
  ASSERT_TRUE(turn_until([&] {
    return by_number.size() == 3 * kEach &&
           std::ranges::all_of(readers, [](const auto& r) { return r.numbers.size() == 3 * kEach; });
  }));
  EXPECT_EQ(by_number.begin()->first, 1U);
  EXPECT_EQ(by_number.rbegin()->first, 3 * kEach);
  for (const RecordingReader& reader : readers) {
    EXPECT_TRUE(reader.gaps.empty());
    for (std::size_t i = 0; i < reader.numbers.size(); ++i) {
      ASSERT_EQ(reader.numbers[i], i + 1);
      ASSERT_EQ(reader.tokens[i], by_number[i + 1]);
    }
  }
  EXPECT_EQ(wait(nodes[0]->tail()).value().value, 3 * kEach);
  EXPECT_EQ(nodes[0]->status().epoch, nodes[1]->status().epoch);
}

TEST_P(StreamContractTest, ReaderOfTheFutureSeesOnlyWhatComes) {
  RegionStream* const a = node();
  ASSERT_NE(append_surely(a, 1), 0U);
  RecordingReader reader;
  reading_node(&reader);
  append(a, 2);
  ASSERT_TRUE(turn_until([&] { return !reader.tokens.empty(); }));
  EXPECT_EQ(reader.tokens, std::vector<std::uint64_t>{2});
  EXPECT_TRUE(reader.gaps.empty());
}

TEST_P(StreamContractTest, ReaderResumesAfterALongAbsenceWhereItWas) {
  RegionStream* const a = node();
  for (std::uint64_t i = 1; i <= 300; ++i) ASSERT_EQ(append_surely(a, i), i);
  RecordingReader reader;
  reading_node(&reader, SequenceNumber{100});
  ASSERT_TRUE(turn_until([&] { return reader.tokens.size() == 200; }));
  EXPECT_EQ(reader.numbers.front(), 101U);
  EXPECT_TRUE(reader.gaps.empty());
}

TEST_P(StreamContractTest, AbsenceLongerThanTheLogIsAGapThenWhatIsLeft) {
  RegionStream* const a = node(500);
  for (std::uint64_t i = 0; i < 3000; ++i) {
    spawn(a->append(token(i)), [](Result<SequenceNumber>) {});
    if (i % 100 == 0) append_surely(a, i);
  }
  append_surely(a, 9999);
  RecordingReader reader;
  reading_node(&reader, SequenceNumber{1});
  ASSERT_TRUE(turn_until([&] { return has(reader, 9999); }));
  ASSERT_EQ(reader.gaps.size(), 1U);
  EXPECT_EQ(reader.gaps[0].before, 0U);
  EXPECT_GT(reader.gaps[0].next, 1000U);
  EXPECT_EQ(reader.numbers.front(), reader.gaps[0].next);
}

TEST_P(StreamContractTest, PositionBeyondTheLogIsAGap) {
  RegionStream* const a = node();
  append_surely(a, 1);
  RecordingReader reader;
  reading_node(&reader, SequenceNumber{5000});
  ASSERT_TRUE(turn_until([&] { return !reader.gaps.empty(); }));
  EXPECT_EQ(reader.gaps[0].next, 2U);
  append(a, 2);
  ASSERT_TRUE(turn_until([&] { return has(reader, 2); }));
}

TEST_P(StreamContractTest, LargestMessagePassesAndALargerOneIsRefused) {
  RecordingReader reader;
  RegionStream* const a = reading_node(&reader);
  message::Invalidate large;
  large.names.emplace_back(kMessageBytesMax - 64, 'n');
  ASSERT_TRUE(wait(a->append(large)).has_value());
  large.names[0].resize(kMessageBytesMax);
  EXPECT_EQ(wait(a->append(large)).error().code, ErrorCode::kLimit);
  ASSERT_TRUE(turn_until([&] { return reader.messages.size() == 1; }));
  large.names[0].resize(kMessageBytesMax - 64);
  EXPECT_TRUE(reader.messages[0] == StreamMessage{large});
}

TEST_P(StreamContractTest, DescribesItself) {
  const std::string kind = GetParam().substr(0, GetParam().find('_'));
  EXPECT_TRUE(node()->describe().starts_with(kind));
}

INSTANTIATE_TEST_SUITE_P(Streams, StreamContractTest, ::testing::Values("memory", "redis", "nats"),
                         [](const auto& one) { return one.param; });

// ---- every server ----

class StreamServerTest : public StreamTest, public ::testing::WithParamInterface<std::string> {
 protected:
  StreamServerTest() : StreamTest(GetParam()) {}
};

// Every message that was acknowledged is handed over, or a gap stands where it should be.
TEST_P(StreamServerTest, KilledAndRestartedWhileReadingAndAppendingLosesNothingUnsaid) {
  RecordingReader reader;
  RegionStream* const a = reading_node(&reader);
  RegionStream* const b = node();
  std::uint64_t value = 0;
  std::vector<std::uint64_t> sure;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) {
      ++value;
      if (append_surely(i % 2 == 0 ? a : b, value) != 0) sure.push_back(value);
    }
    for (int i = 0; i < 20; ++i) spawn(b->append(token(1'000'000 + value)), [](Result<SequenceNumber>) {});
    loop.turn(0s);
    server->crash();
    pass(100ms);
    ASSERT_TRUE(server->start());
  }
  append_surely(b, 999);
  ASSERT_TRUE(turn_until([&] { return has(reader, 999); })) << a->status().problem;
  std::size_t missing = 0;
  for (const std::uint64_t v : sure) missing += has(reader, v) ? 0 : 1;
  if (missing > 0) {
    EXPECT_FALSE(reader.gaps.empty()) << missing << " acknowledged messages are missing, unsaid";
  }
  if (server->is_persistent()) {
    EXPECT_EQ(missing, 0U);
  } else {
    EXPECT_FALSE(reader.gaps.empty());
  }
  EXPECT_GE(a->status().reconnects, 1U);
}

TEST_P(StreamServerTest, FrozenServerIsNoticedAndNothingIsLostWhenItThaws) {
  RecordingReader reader;
  RegionStream* const a = reading_node(&reader);
  append(a, 1);
  server->process().freeze();
  pass(100ms);  // a signal takes a moment to stop every thread
  const auto refused = wait(a->append(token(2)));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kTimeout);
  ASSERT_TRUE(turn_until([&] { return !reader.connected; }));
  server->process().thaw();
  ASSERT_TRUE(turn_until([&] { return reader.connected; })) << a->status().problem;
  append_surely(a, 3);
  ASSERT_TRUE(turn_until([&] { return has(reader, 3); }));
  EXPECT_TRUE(reader.gaps.empty()) << reader.gaps[0].reason;
}

TEST_P(StreamServerTest, DeletedLogIsAGapAndANewEpoch) {
  RecordingReader reader;
  RegionStream* const a = reading_node(&reader);
  for (std::uint64_t i = 1; i <= 20; ++i) append(a, i);
  ASSERT_TRUE(turn_until([&] { return reader.tokens.size() == 20; }));
  const std::uint64_t epoch = a->status().epoch;
  server->delete_log("test-eu");
  append_surely(a, 100);
  ASSERT_TRUE(turn_until([&] { return !reader.gaps.empty(); }));
  append_surely(a, 101);
  ASSERT_TRUE(turn_until([&] { return has(reader, 101); }));
  EXPECT_NE(a->status().epoch, epoch);
  EXPECT_LT(reader.numbers.back(), 20U);
}

// Nobody appends meanwhile: the reader finds out by itself.
TEST_P(StreamServerTest, DeletedLogIsNoticedInSilence) {
  RecordingReader reader;
  RegionStream* const a = reading_node(&reader);
  for (std::uint64_t i = 1; i <= 20; ++i) append(a, i);
  ASSERT_TRUE(turn_until([&] { return reader.tokens.size() == 20; }));
  server->delete_log("test-eu");
  const SystemClock clock;
  const MonoTime begin = clock.now();
  ASSERT_TRUE(turn_until([&] { return !reader.gaps.empty(); }));
  EXPECT_LT(clock.now() - begin, Duration{5s});
}

TEST_P(StreamServerTest, PurgedLogIsAGapForWhoeverWasBehind) {
  RegionStream* const a = node();
  for (std::uint64_t i = 1; i <= 50; ++i) append_surely(a, i);
  server->purge_log("test-eu");
  RecordingReader reader;
  reading_node(&reader, SequenceNumber{10});
  ASSERT_TRUE(turn_until([&] { return !reader.gaps.empty(); }));
  EXPECT_EQ(reader.gaps[0].next, 51U);
  append(a, 51);
  ASSERT_TRUE(turn_until([&] { return has(reader, 51); }));
  EXPECT_EQ(reader.numbers.front(), 51U);
}

TEST_P(StreamServerTest, PurgeUnderAReaderThatIsUpToDateLosesNothing) {
  RecordingReader reader;
  RegionStream* const a = reading_node(&reader);
  for (std::uint64_t i = 1; i <= 10; ++i) append(a, i);
  ASSERT_TRUE(turn_until([&] { return reader.tokens.size() == 10; }));
  server->purge_log("test-eu");
  append(a, 11);
  ASSERT_TRUE(turn_until([&] { return has(reader, 11); }));
  EXPECT_EQ(reader.numbers.back(), 11U);
  EXPECT_TRUE(reader.gaps.empty());
}

TEST_P(StreamServerTest, NoServerAtAllIsAnErrorNotAHang) {
  server->crash();
  RegionStream* const lonely = node();
  RecordingReader reader;
  lonely->read(std::nullopt, &reader);
  const auto refused = wait(lonely->append(token(1)));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE(lonely->status().connected);
  ASSERT_TRUE(server->start());
  EXPECT_TRUE(turn_until([&] { return reader.connected; })) << lonely->status().problem;
}

INSTANTIATE_TEST_SUITE_P(Servers, StreamServerTest, ::testing::Values("redis", "redis_aof", "nats"),
                         [](const auto& one) { return one.param; });

// ---- Redis ----

class RedisStreamTest : public StreamTest {
 protected:
  RedisStreamTest() : StreamTest("redis") {}
};

// A dump of an earlier moment comes back under a reader that had read further, and appends go on before the
// reader is back: numbers alone would look contiguous.
TEST_F(RedisStreamTest, RestoredDumpThatGrewPastTheReaderIsAGap) {
  RecordingReader reader;
  RegionStream* const a = reading_node(&reader);
  for (std::uint64_t i = 1; i <= 10; ++i) append(a, i);
  const std::string stream = server->dump("{candor:test-eu}:stream");
  const std::string state = server->dump("{candor:test-eu}:state");
  for (std::uint64_t i = 11; i <= 20; ++i) append(a, i);
  ASSERT_TRUE(turn_until([&] { return reader.tokens.size() == 20; }));
  // In one step, as a replica's full synchronisation is.
  server->restore({{"{candor:test-eu}:stream", stream}, {"{candor:test-eu}:state", state}});
  for (std::uint64_t i = 111; i <= 125; ++i) append(a, i);
  ASSERT_TRUE(turn_until([&] { return has(reader, 125); }));
  ASSERT_FALSE(reader.gaps.empty());
  EXPECT_EQ(reader.gaps[0].before, 20U);
}

TEST_F(RedisStreamTest, RestoredDumpIsNoticedInSilence) {
  RecordingReader reader;
  RegionStream* const a = reading_node(&reader);
  for (std::uint64_t i = 1; i <= 10; ++i) append(a, i);
  const std::string stream = server->dump("{candor:test-eu}:stream");
  const std::string state = server->dump("{candor:test-eu}:state");
  for (std::uint64_t i = 11; i <= 20; ++i) append(a, i);
  ASSERT_TRUE(turn_until([&] { return reader.tokens.size() == 20; }));
  server->restore({{"{candor:test-eu}:stream", stream}, {"{candor:test-eu}:state", state}});
  ASSERT_TRUE(turn_until([&] { return !reader.gaps.empty(); }));
  EXPECT_EQ(reader.gaps[0].next, 11U);
}

TEST_F(RedisStreamTest, LostStateAloneBeginsANewEpoch) {
  RecordingReader reader;
  RegionStream* const a = reading_node(&reader);
  for (std::uint64_t i = 1; i <= 5; ++i) append(a, i);
  server->command({"DEL", "{candor:test-eu}:state"});
  append(a, 6);
  ASSERT_TRUE(turn_until([&] { return has(reader, 6); }));
  EXPECT_EQ(reader.gaps.size(), 1U);
  EXPECT_EQ(reader.numbers.back(), 1U);
}

TEST_F(RedisStreamTest, ForeignEntryIsAGapNotACrash) {
  RecordingReader reader;
  RegionStream* const a = reading_node(&reader);
  append(a, 1);
  ASSERT_TRUE(turn_until([&] { return has(reader, 1); }));
  server->command({"XADD", "{candor:test-eu}:stream", fmt::format("{}-2", a->status().epoch), "m", "junk"});
  append_surely(a, 2);
  ASSERT_TRUE(turn_until([&] { return has(reader, 2); }));
  EXPECT_FALSE(reader.gaps.empty());
}

TEST_F(RedisStreamTest, DemotedServerIsUnavailableUntilItIsPromotedAgain) {
  RecordingReader reader;
  RegionStream* const a = reading_node(&reader);
  append(a, 1);
  server->command({"REPLICAOF", "127.0.0.1", "1"});
  const auto refused = wait(a->append(token(2)));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  server->command({"REPLICAOF", "NO", "ONE"});
  append_surely(a, 3);
  ASSERT_TRUE(turn_until([&] { return has(reader, 3); }));
  EXPECT_TRUE(reader.gaps.empty()) << reader.gaps[0].reason;
}

// ---- NATS ----

class NatsStreamTest : public StreamTest {
 protected:
  NatsStreamTest() : StreamTest("nats") {}
};

TEST_F(NatsStreamTest, ExistingStreamThatCannotServeIsALoudProblem) {
  ASSERT_TRUE(server->make_nats_stream("CANDOR_test-eu", "candor.test-eu.stream", "workqueue"));
  RegionStream* const a = node();
  RecordingReader reader;
  a->read(std::nullopt, &reader);
  ASSERT_TRUE(turn_until([&] { return !a->status().problem.empty(); }));
  EXPECT_NE(a->status().problem.find("retention"), std::string::npos) << a->status().problem;
  EXPECT_FALSE(a->status().connected);
  server->delete_log("test-eu");
  ASSERT_TRUE(turn_until([&] { return reader.connected; }));
}

TEST_F(NatsStreamTest, DeletedMessageIsAGapForWhoeverHasNotReadIt) {
  RegionStream* const a = node();
  for (std::uint64_t i = 1; i <= 10; ++i) append_surely(a, i);
  ASSERT_TRUE(server->delete_nats_message("CANDOR_test-eu", 5));
  RecordingReader reader;
  reading_node(&reader, SequenceNumber{0});
  ASSERT_TRUE(turn_until([&] { return has(reader, 10); }));
  ASSERT_EQ(reader.gaps.size(), 1U);
  EXPECT_EQ(reader.gaps[0].next, 6U);
  EXPECT_EQ(reader.gaps[0].before, 4U);
}

TEST(NatsServerTest, WithoutJetStreamTheProblemSaysWhatToDo) {
  testing::Process::Options options;
  const std::uint16_t port = testing::free_port();
  options.arguments = {"nats-server", "-a", "127.0.0.1", "-p", std::to_string(port)};
  testing::Process process(options);
  ASSERT_TRUE(testing::wait_for_port(port));
  ThreadPool pool(1, "blocking");
  Loop loop;
  {
    const StreamWorld world{&loop, &loop, &pool, 1};
    auto stream = make_stream(fmt::format("nats://127.0.0.1:{}", port), {}, world).value();
    RecordingReader reader;
    stream->read(std::nullopt, &reader);
    const SystemClock clock;
    const MonoTime deadline = clock.now() + kStreamPatience;
    while (stream->status().problem.find("-js") == std::string::npos && clock.now() < deadline)
      loop.turn(5ms);
    EXPECT_NE(stream->status().problem.find("-js"), std::string::npos) << stream->status().problem;
  }
  loop.turn(1ms);
}

TEST(NatsServerTest, LoginFromTheUrlIsUsedAndNeverShown) {
  testing::TempDir folder;
  testing::Process::Options options;
  const std::uint16_t port = testing::free_port();
  options.arguments = {"nats-server", "-a",     "127.0.0.1",   "-p",     std::to_string(port),
                       "-js",         "-sd",    folder.path(), "--user", "ann",
                       "--pass",      "hunt@r2"};
  testing::Process process(options);
  ASSERT_TRUE(testing::wait_for_port(port));
  ThreadPool pool(1, "blocking");
  Loop loop;
  for (const bool right : {true, false}) {
    const StreamWorld world{&loop, &loop, &pool, 1};
    const std::string login = right ? "ann:hunt%40r2" : "ann:wrong-one";
    auto stream = make_stream(fmt::format("nats://{}@127.0.0.1:{}", login, port), {}, world).value();
    RecordingReader reader;
    stream->read(std::nullopt, &reader);
    const SystemClock clock;
    const MonoTime deadline = clock.now() + kStreamPatience;
    while (!reader.connected && stream->status().problem.empty() && clock.now() < deadline) loop.turn(5ms);
    EXPECT_EQ(reader.connected, right) << stream->status().problem;
    for (const std::string& text : {stream->status().problem, stream->describe()}) {
      EXPECT_EQ(text.find("hunt"), std::string::npos);
      EXPECT_EQ(text.find("wrong-one"), std::string::npos);
    }
  }
  loop.turn(1ms);
}

}  // namespace
}  // namespace candor
