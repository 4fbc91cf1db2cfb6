// What several tests of this folder share: loops of both kinds, and handlers that record what they were told.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/acceptor.h"
#include "io/loop.h"

namespace candor::testing_io {

// Long enough for a loaded machine with sanitizers; only failures wait for it.
inline constexpr Duration kPatience = 10s;

// Turns `loop` on the calling thread until `condition` holds or patience ends.
inline bool turn_until(Loop& loop, const std::function<bool()>& condition, Duration patience = kPatience) {
  const SystemClock clock;
  const MonoTime deadline = clock.now() + patience;
  while (!condition()) {
    if (clock.now() >= deadline) return false;
    loop.turn(5ms);
  }
  return true;
}

// A client that records.
struct Recorder final : StreamHandler {
  void on_connected() override {
    ++connected;
    if (when_connected) when_connected();
  }
  void on_data(std::string_view bytes) override {
    received.append(bytes);
    if (when_data) when_data();
  }
  void on_closed(const std::string& why) override {
    ++closed;
    reason = why;
    if (when_closed) when_closed();
  }
  int connected = 0;
  int closed = 0;
  std::string received;
  std::string reason;
  std::function<void()> when_connected;
  std::function<void()> when_data;
  std::function<void()> when_closed;
};

// A server handler made of functions.
struct Scripted final : ConnectionHandler {
  explicit Scripted(Peer* peer_in) : peer(peer_in) {}
  void on_data(std::string_view bytes) override {
    received.append(bytes);
    if (data) data(*this, bytes);
  }
  void on_drained() override { ++drained; }
  void on_tick(MonoTime) override { ++ticks; }
  void on_drain_requested() override {
    if (drain) {
      drain(*this);
    } else {
      peer->close_after_flush();
    }
  }
  void on_closed(const std::string& reason) override {
    if (closed) closed(reason);
  }
  Peer* peer;
  std::string received;
  int drained = 0;
  int ticks = 0;
  std::function<void(Scripted&, std::string_view)> data;
  std::function<void(Scripted&)> drain;
  std::function<void(const std::string&)> closed;
};

// Makes Scripted handlers; by default they echo.
struct ScriptedFactory final : ConnectionFactory {
  std::unique_ptr<ConnectionHandler> accept(Peer* peer) override {
    if (refuse) return nullptr;
    auto made = std::make_unique<Scripted>(peer);
    made->data = [](Scripted& self, std::string_view bytes) {
      self.peer->output().append(bytes);
      self.peer->flush();
    };
    made->closed = [this](const std::string& reason) {
      ++closed;
      last_reason = reason;
      last = nullptr;
    };
    if (prepare) prepare(*made);
    last = made.get();
    ++accepted;
    return made;
  }
  bool refuse = false;
  int accepted = 0;
  int closed = 0;
  std::string last_reason;
  Scripted* last = nullptr;
  std::function<void(Scripted&)> prepare;
};

inline std::string backend_test_name(const ::testing::TestParamInfo<LoopBackend>& info) {
  return info.param == LoopBackend::kEpoll ? "epoll" : "uring";
}

// Tests that run on both backends.
class OnBothBackends : public ::testing::TestWithParam<LoopBackend> {
 protected:
  Loop loop_{LoopOptions{.backend = GetParam()}};
};

}  // namespace candor::testing_io

#define CANDOR_ON_BOTH_BACKENDS(fixture)                                                                    \
  INSTANTIATE_TEST_SUITE_P(Backends, fixture,                                                               \
                           ::testing::Values(::candor::LoopBackend::kEpoll, ::candor::LoopBackend::kUring), \
                           ::candor::testing_io::backend_test_name)
