// Listener and outgoing streams against each other, over real loopback sockets.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "io/address.h"
#include "io/descriptor.h"
#include "io/listener.h"
#include "io/loop.h"
#include "io/running_loop.h"
#include "io/testing_io.h"

namespace candor {
namespace {

using ::testing::HasSubstr;
using testing_io::Recorder;
using testing_io::Scripted;
using testing_io::ScriptedFactory;
using testing_io::turn_until;

class ConnectionTest : public testing_io::OnBothBackends {
 protected:
  void SetUp() override { listen({}); }

  void listen(ListenerOptions options) {
    listener_.reset();
    auto opened = Listener::open(std::move(options), {&loop_}, &factory_);
    ASSERT_TRUE(opened) << opened.error().message;
    listener_ = std::move(*opened);
  }
  std::unique_ptr<Stream> connect(Recorder& client, const std::string& host = "127.0.0.1") {
    return loop_.connect({host, listener_->port(), false}, &client, 5s);
  }
  // A plain blocking client, for what our own client never does.
  Descriptor raw_client(int receive_buffer = 0) const {
    Descriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
    if (receive_buffer > 0) ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(int));
    const auto address = known_addresses("127.0.0.1", listener_->port()).front();
    EXPECT_EQ(::connect(socket.get(), address.get(), address.length), 0);
    return socket;
  }
  bool until(const std::function<bool()>& condition) { return turn_until(loop_, condition); }

  ScriptedFactory factory_;
  std::unique_ptr<Listener> listener_;
};
CANDOR_ON_BOTH_BACKENDS(ConnectionTest);

TEST_P(ConnectionTest, bytes_come_back_from_an_echo) {
  Recorder client;
  const auto stream = connect(client);
  stream->write("hello, ");
  stream->write("world");
  ASSERT_TRUE(until([&] { return client.received == "hello, world"; }));
  EXPECT_EQ(client.connected, 1);
  EXPECT_EQ(stream->unsent_bytes(), 0U);
}

TEST_P(ConnectionTest, the_name_localhost_connects) {
  Recorder client;
  const auto stream = connect(client, "localhost");
  EXPECT_TRUE(until([&] { return client.connected == 1; }));
}

TEST_P(ConnectionTest, a_name_that_does_not_resolve_closes_with_a_reason) {
  Recorder client;
  const auto stream = connect(client, "no-such-host.invalid");
  ASSERT_TRUE(until([&] { return client.closed == 1; }));
  EXPECT_EQ(client.connected, 0);
}

TEST_P(ConnectionTest, megabytes_cross_whole_in_both_directions) {
  std::string sent(std::size_t{8} << 20, '\0');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 2654435761U >> 13);
  Recorder client;
  const auto stream = connect(client);
  stream->write(sent);
  ASSERT_TRUE(until([&] { return client.received.size() >= sent.size(); }));
  EXPECT_TRUE(client.received == sent);
}

TEST_P(ConnectionTest, a_refused_connection_closes_with_the_address_in_the_reason) {
  const std::uint16_t port = listener_->port();
  listener_.reset();
  Recorder client;
  const auto stream = loop_.connect({"127.0.0.1", port, false}, &client, 5s);
  EXPECT_EQ(client.closed, 0) << "the outcome never arrives inside connect()";
  ASSERT_TRUE(until([&] { return client.closed == 1; }));
  EXPECT_THAT(client.reason, HasSubstr("127.0.0.1:" + std::to_string(port)));
  EXPECT_THAT(client.reason, HasSubstr("connection refused"));
}

TEST_P(ConnectionTest, a_connect_that_gets_no_answer_times_out) {
  // A listener whose queue is full drops what arrives: the nearest thing to a dead host on loopback.
  Descriptor full(::socket(AF_INET, SOCK_STREAM, 0));
  auto address = known_addresses("127.0.0.1", 0).front();
  ASSERT_EQ(::bind(full.get(), address.get(), address.length), 0);
  ASSERT_EQ(::listen(full.get(), 0), 0);
  ASSERT_EQ(::getsockname(full.get(), address.get(), &address.length), 0);
  std::vector<Descriptor> fillers;
  for (int i = 0; i < 4; ++i) {
    fillers.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    (void)::connect(fillers.back().get(), address.get(), address.length);
  }
  Recorder client;
  const auto stream = loop_.connect({"127.0.0.1", address.port(), false}, &client, 50ms);
  ASSERT_TRUE(until([&] { return client.closed == 1; }));
  EXPECT_THAT(client.reason, HasSubstr("not connected within 50 ms"));
}

TEST_P(ConnectionTest, a_stream_may_be_destroyed_in_any_of_its_callbacks) {
  for (int where = 0; where < 3; ++where) {
    Recorder client;
    std::unique_ptr<Stream> stream = connect(client);
    stream->write("x");
    bool destroyed = false;
    const auto destroy = [&] {
      stream.reset();
      destroyed = true;
    };
    if (where == 0) client.when_connected = destroy;
    if (where == 1) client.when_data = destroy;
    if (where == 2) {
      client.when_closed = destroy;
      client.when_data = [&] { factory_.last->peer->abort("test"); };
    }
    EXPECT_TRUE(until([&] { return destroyed; })) << where;
  }
}

TEST_P(ConnectionTest, a_destroyed_stream_closes_the_connection_after_sending_what_it_held) {
  Recorder client;
  auto stream = connect(client);
  ASSERT_TRUE(until([&] { return factory_.accepted == 1 && client.connected == 1; }));
  std::string received;
  factory_.last->data = [&](Scripted&, std::string_view bytes) { received.append(bytes); };
  stream->write("QUIT");
  stream.reset();
  ASSERT_TRUE(until([&] { return factory_.closed == 1; }));
  EXPECT_EQ(received, "QUIT");
}

TEST_P(ConnectionTest, a_slow_reader_is_waited_for_and_told_of_as_drained) {
  const Descriptor client = raw_client(65536);
  ASSERT_TRUE(until([&] { return factory_.accepted == 1; }));
  const std::size_t size = std::size_t{16} << 20;
  factory_.last->peer->output().append(size, 'x');
  factory_.last->peer->flush();
  for (int i = 0; i < 20; ++i) loop_.turn(1ms);
  EXPECT_GT(factory_.last->peer->unsent_bytes(), 0U);
  EXPECT_LT(factory_.last->peer->unsent_bytes(), size);
  EXPECT_EQ(factory_.last->drained, 0);

  factory_.last->peer->output().append("end");
  factory_.last->peer->flush();
  std::string received;
  std::vector<char> buffer(std::size_t{1} << 20);
  ASSERT_TRUE(until([&] {
    const ssize_t got = ::recv(client.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) received.append(buffer.data(), static_cast<std::size_t>(got));
    return received.size() == size + 3;
  }));
  EXPECT_TRUE(received.ends_with("xend"));
  EXPECT_TRUE(until([&] { return factory_.last->drained == 1; }));
  EXPECT_EQ(factory_.last->peer->unsent_bytes(), 0U);
}

TEST_P(ConnectionTest, a_slow_reader_can_be_cut_off) {
  const Descriptor client = raw_client(4096);
  ASSERT_TRUE(until([&] { return factory_.accepted == 1; }));
  factory_.last->peer->output().append(std::size_t{16} << 20, 'x');
  factory_.last->peer->flush();
  for (int i = 0; i < 5; ++i) loop_.turn(1ms);
  factory_.last->peer->abort("output limit");
  EXPECT_EQ(factory_.closed, 0) << "on_closed() follows in a later turn";
  ASSERT_TRUE(until([&] { return factory_.closed == 1; }));
  EXPECT_EQ(factory_.last_reason, "output limit");
  EXPECT_EQ(listener_->stats().open.load(), 0U);
}

TEST_P(ConnectionTest, reading_can_be_paused_and_loses_nothing) {
  Recorder client;
  const auto stream = connect(client);
  ASSERT_TRUE(until([&] { return factory_.accepted == 1; }));
  factory_.last->peer->pause_reading(true);
  const std::string sent(100'000, 'y');
  stream->write(sent);
  for (int i = 0; i < 20; ++i) loop_.turn(1ms);
  EXPECT_EQ(factory_.last->received, "");
  factory_.last->peer->pause_reading(false);
  EXPECT_TRUE(until([&] { return client.received == sent; }));
}

TEST_P(ConnectionTest, a_pause_set_while_data_arrives_holds_for_what_comes_next) {
  factory_.prepare = [](Scripted& handler) {
    handler.data = [](Scripted& self, std::string_view) { self.peer->pause_reading(true); };
  };
  Recorder client;
  const auto stream = connect(client);
  stream->write("1");
  ASSERT_TRUE(until([&] { return factory_.last != nullptr && factory_.last->received == "1"; }));
  stream->write("2");
  for (int i = 0; i < 20; ++i) loop_.turn(1ms);
  EXPECT_EQ(factory_.last->received, "1");
  factory_.last->peer->pause_reading(false);
  EXPECT_TRUE(until([&] { return factory_.last->received == "12"; }));
}

TEST_P(ConnectionTest, a_pause_because_of_unsent_output_ends_with_on_drained) {
  factory_.prepare = [](Scripted& handler) {
    handler.data = [](Scripted& self, std::string_view) {
      self.peer->output().append("small enough to leave at once");
      self.peer->flush();
      self.peer->pause_reading(true);
    };
  };
  Recorder client;
  const auto stream = connect(client);
  stream->write("go");
  EXPECT_TRUE(until([&] { return factory_.last != nullptr && factory_.last->drained == 1; }));
}

TEST_P(ConnectionTest, output_flushed_during_a_pause_ends_with_on_drained) {
  factory_.prepare = [](Scripted& handler) {
    handler.data = [](Scripted& self, std::string_view) { self.peer->pause_reading(true); };
  };
  Recorder client;
  const auto stream = connect(client);
  stream->write("go");
  ASSERT_TRUE(until([&] { return factory_.last != nullptr && factory_.last->received == "go"; }));
  factory_.last->peer->output().append("a reply that was not known before");
  factory_.last->peer->flush();
  EXPECT_TRUE(until([&] { return factory_.last->drained == 1; }));
}

TEST_P(ConnectionTest, a_paused_connection_that_is_reset_does_not_spin) {
  Descriptor client = raw_client();
  ASSERT_TRUE(until([&] { return factory_.accepted == 1; }));
  factory_.last->peer->pause_reading(true);
  loop_.turn(0ns);
  const linger reset{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  client.reset();
  const SystemClock clock;
  const MonoTime begun = clock.now();
  for (int i = 0; i < 10; ++i) loop_.turn(3ms);
  EXPECT_GE(clock.now() - begun, 15ms) << "the turns did not sleep";
}

TEST_P(ConnectionTest, close_after_flush_sends_everything_first) {
  factory_.prepare = [](Scripted& handler) {
    handler.data = [](Scripted& self, std::string_view) {
      self.peer->output().append(std::size_t{4} << 20, 'z');
      self.peer->close_after_flush();
    };
  };
  Recorder client;
  const auto stream = connect(client);
  stream->write("go");
  ASSERT_TRUE(until([&] { return client.closed == 1; }));
  EXPECT_EQ(client.received.size(), std::size_t{4} << 20);
}

TEST_P(ConnectionTest, the_last_reply_survives_a_client_that_goes_on_sending) {
  factory_.prepare = [](Scripted& handler) {
    handler.data = [](Scripted& self, std::string_view) {
      self.peer->output().append("-ERR no\r\n");
      self.peer->close_after_flush();
    };
  };
  const Descriptor client = raw_client();
  const std::string flood(3'000'000, 'f');
  ASSERT_EQ(::fcntl(client.get(), F_SETFL, O_NONBLOCK), 0);
  std::string received;
  std::size_t sent = 0;
  ASSERT_TRUE(until([&] {
    const ssize_t put = ::send(client.get(), flood.data(), flood.size() - sent, MSG_NOSIGNAL);
    if (put > 0) sent += static_cast<std::size_t>(put);
    std::array<char, 64> buffer{};
    const ssize_t got = ::recv(client.get(), buffer.data(), buffer.size(), 0);
    if (got > 0) received.append(buffer.data(), static_cast<std::size_t>(got));
    return got == 0;
  }));
  EXPECT_EQ(received, "-ERR no\r\n");
}

TEST_P(ConnectionTest, a_half_closed_client_gets_the_reply_to_what_it_sent) {
  const Descriptor client = raw_client();
  ASSERT_EQ(::send(client.get(), "PING", 4, 0), 4);
  ::shutdown(client.get(), SHUT_WR);
  std::string received;
  std::array<char, 64> buffer{};
  ASSERT_TRUE(until([&] {
    const ssize_t got = ::recv(client.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) received.append(buffer.data(), static_cast<std::size_t>(got));
    return got == 0;
  }));
  EXPECT_EQ(received, "PING");
}

TEST_P(ConnectionTest, connections_over_the_limit_hear_why) {
  listen({.connections_max = 1, .refusal = "-ERR max number of clients reached\r\n"});
  Recorder first;
  Recorder second;
  const auto one = connect(first);
  ASSERT_TRUE(until([&] { return factory_.accepted == 1; }));
  const auto two = connect(second);
  ASSERT_TRUE(until([&] { return second.closed == 1; }));
  EXPECT_EQ(second.received, "-ERR max number of clients reached\r\n");
  EXPECT_EQ(first.closed, 0);
  EXPECT_EQ(listener_->stats().refused.load(), 1U);
}

TEST_P(ConnectionTest, a_connection_that_the_factory_refuses_is_closed) {
  factory_.refuse = true;
  Recorder client;
  const auto stream = connect(client);
  EXPECT_TRUE(until([&] { return client.closed == 1; }));
  EXPECT_EQ(listener_->stats().open.load(), 0U);
}

TEST_P(ConnectionTest, handlers_are_ticked) {
  Recorder client;
  const auto stream = connect(client);
  EXPECT_TRUE(until([&] { return factory_.last != nullptr && factory_.last->ticks > 0; }));
}

TEST_P(ConnectionTest, a_drain_lets_handlers_finish) {
  Recorder client;
  const auto stream = connect(client);
  ASSERT_TRUE(until([&] { return factory_.accepted == 1; }));
  factory_.last->drain = [this](Scripted& self) {
    loop_.schedule(loop_.now() + 20ms, [&self] {
      self.peer->output().append("last words");
      self.peer->close_after_flush();
    });
  };
  int reports = 0;
  listener_->drain(5s, [&](DrainReport report) {
    ++reports;
    EXPECT_EQ(report.cut_off, 0U);
  });
  ASSERT_TRUE(until([&] { return reports == 1; }));
  EXPECT_EQ(client.received, "last words");
  EXPECT_EQ(factory_.closed, 1);

  Recorder late;
  const auto refused = connect(late);
  EXPECT_TRUE(until([&] { return late.closed == 1; })) << "a drained listener accepts nobody";
}

TEST_P(ConnectionTest, a_drain_cuts_off_what_does_not_finish_in_time) {
  Recorder client;
  const auto stream = connect(client);
  ASSERT_TRUE(until([&] { return factory_.accepted == 1; }));
  factory_.last->drain = [](Scripted&) {};
  std::size_t cut_off = 0;
  listener_->drain(20ms, [&](DrainReport report) { cut_off = report.cut_off; });
  ASSERT_TRUE(until([&] { return cut_off == 1; }));
  EXPECT_EQ(factory_.closed, 1);
}

TEST_P(ConnectionTest, a_listener_destroyed_with_open_connections_tells_their_handlers) {
  Recorder client;
  const auto stream = connect(client);
  ASSERT_TRUE(until([&] { return factory_.accepted == 1; }));
  listener_.reset();
  EXPECT_EQ(factory_.closed, 1);
  EXPECT_TRUE(until([&] { return client.closed == 1; }));
}

TEST_P(ConnectionTest, a_port_in_use_is_an_error_that_says_what_to_do) {
  const auto second =
      Listener::open({.port = listener_->port(), .setting = "[resp] listen"}, {&loop_}, &factory_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message,
            listener_->address() +
                ": address already in use; another process listens there; stop it or change [resp] listen");
}

// Not under this sanitizer: it checks addresses through a pipe, and calls types invalid when it cannot open
// one.
#if defined(__has_feature)
#if __has_feature(undefined_behavior_sanitizer)
#define CANDOR_SANITIZER_NEEDS_DESCRIPTORS
#endif
#endif
#ifndef CANDOR_SANITIZER_NEEDS_DESCRIPTORS
TEST_P(ConnectionTest, running_out_of_descriptors_pauses_accepting_and_recovers) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  std::vector<Descriptor> hogs;
  const Descriptor waiting = raw_client();  // in the kernel's queue; not accepted yet
  // From here the process has no descriptor left.
  const rlimit tight{.rlim_cur = static_cast<rlim_t>(::dup(0)) + 1, .rlim_max = before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &tight);
  while (true) {
    Descriptor hog(::dup(0));
    if (!hog.is_open()) break;
    hogs.push_back(std::move(hog));
  }
  const bool failed = until([&] { return listener_->stats().accept_failures.load() == 1; });
  const SystemClock clock;
  const MonoTime begun = clock.now();
  for (int i = 0; i < 10; ++i) loop_.turn(2ms);
  const Duration slept = clock.now() - begun;
  ::setrlimit(RLIMIT_NOFILE, &before);
  hogs.clear();
  EXPECT_TRUE(failed);
  EXPECT_GE(slept, 10ms) << "the loop spins on a queue that it cannot empty";
  EXPECT_TRUE(until([&] { return factory_.accepted == 1; }));
}
#endif

TEST_P(ConnectionTest, idle_connections_give_large_buffers_back) {
  Recorder client;
  const auto stream = connect(client);
  stream->write(std::string(100'000, 'x'));
  ASSERT_TRUE(until([&] { return client.received.size() == 100'000; }));
  factory_.last->ticks = 0;
  ASSERT_TRUE(until([&] { return factory_.last->ticks >= 2; }));
  EXPECT_LE(factory_.last->peer->output().capacity(), kOutputIdleBytes);
}

class SpreadTest : public ::testing::TestWithParam<LoopBackend> {};
CANDOR_ON_BOTH_BACKENDS(SpreadTest);

// Counts connections by loop; made for several threads.
struct CountingFactory final : ConnectionFactory {
  std::unique_ptr<ConnectionHandler> accept(Peer* peer) override {
    (&peer->executor() == first ? on_first : on_second).fetch_add(1);
    auto made = std::make_unique<Scripted>(peer);
    made->data = [](Scripted& self, std::string_view bytes) {
      self.peer->output().append(bytes);
      self.peer->flush();
    };
    return made;
  }
  Executor* first = nullptr;
  std::atomic<int> on_first{0};
  std::atomic<int> on_second{0};
};

TEST_P(SpreadTest, connections_spread_evenly_over_loops_and_drain_from_all) {
  Loop clients({.backend = GetParam()});
  RunningLoop one("one", {.backend = GetParam()});
  RunningLoop two("two", {.backend = GetParam()});
  CountingFactory factory;
  factory.first = &one.loop();
  auto listener = Listener::open({}, {&one.loop(), &two.loop()}, &factory);
  ASSERT_TRUE(listener);
  constexpr std::size_t kClients = 20;
  std::vector<Recorder> recorders(kClients);
  std::vector<std::unique_ptr<Stream>> streams;
  for (auto& recorder : recorders) {
    streams.push_back(clients.connect({"127.0.0.1", (*listener)->port(), false}, &recorder, 5s));
    streams.back()->write("hi");
  }
  ASSERT_TRUE(turn_until(clients, [&] {
    return std::ranges::all_of(recorders, [](const Recorder& r) { return r.received == "hi"; });
  }));
  EXPECT_EQ(factory.on_first.load(), 10);
  EXPECT_EQ(factory.on_second.load(), 10);

  std::atomic<bool> drained{false};
  (*listener)->drain(5s, [&](DrainReport) { drained = true; });
  EXPECT_TRUE(turn_until(clients, [&] { return drained.load(); }));
  EXPECT_EQ((*listener)->stats().open.load(), 0U);
  one.stop();
  two.stop();
  listener->reset();
}

TEST_P(SpreadTest, a_listener_goes_down_with_stopped_loops) {
  Loop clients({.backend = GetParam()});
  RunningLoop one("one", {.backend = GetParam()});
  CountingFactory factory;
  auto listener = Listener::open({}, {&one.loop()}, &factory);
  ASSERT_TRUE(listener);
  Recorder client;
  const auto stream = clients.connect({"127.0.0.1", (*listener)->port(), false}, &client, 5s);
  ASSERT_TRUE(turn_until(clients, [&] { return factory.on_second.load() == 1; }));
  one.stop();
  listener->reset();
  EXPECT_TRUE(turn_until(clients, [&] { return client.closed == 1; }));
}

}  // namespace
}  // namespace candor
