// A listening socket and the connections it brought, spread over loops.
//
// The first loop accepts; connections go round to all of them and stay where they are put. Each loop owns its
// connections alone: nothing on the path of a request is shared between loops.
//
// Thread safety: drain(), port(), stats() from any thread. Destroy it after drain() reported, or when its
// loops have stopped and before they are destroyed: handlers then still get on_closed().
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/acceptor.h"
#include "base/result.h"
#include "io/tls.h"

namespace candor {

class Loop;
class PeerSet;
class AcceptingSocket;

struct ListenerOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;          // 0: the system chooses; see Listener::port()
  std::string setting = "listen";  // how the configuration calls it, for messages: "[resp] listen"
  // Connections at one time. Redis' default; each costs about 3 KiB here and more in the handler.
  std::size_t connections_max = 10'000;
  // Sent, as far as the socket takes it, before a connection over the limit is closed.
  std::string refusal;
  std::shared_ptr<const TlsContext> tls;  // null: plain
  Duration tls_handshake_timeout = 10s;
  // The kernel's queue of connections not yet accepted; the kernel cuts it to net.core.somaxconn.
  int backlog = 1024;
};

// Counters of one listener. Relaxed: for metrics.
struct ListenerStats {
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> refused{0};          // over connections_max, or refused by the factory
  std::atomic<std::uint64_t> accept_failures{0};  // no descriptors, no memory: accepting paused
  std::atomic<std::uint64_t> tls_failures{0};
  std::atomic<std::size_t> open{0};
};

struct DrainReport {
  std::size_t cut_off = 0;  // connections that were still open at the deadline
};

class Listener {
 public:
  // Binds and listens; connections are accepted from the first loop's next turn on. `factory` and the loops
  // outlive the listener.
  [[nodiscard]] static Result<std::unique_ptr<Listener>> open(ListenerOptions options,
                                                              std::vector<Loop*> loops,
                                                              ConnectionFactory* factory);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] const std::string& address() const { return address_; }  // "127.0.0.1:6390", the real port
  [[nodiscard]] const ListenerStats& stats() const;

  // Stops accepting, asks every handler to finish, and cuts off what is left after `patience`. Then calls
  // `done`, on the first loop. Once.
  void drain(Duration patience, std::move_only_function<void(DrainReport)> done);

 private:
  Listener() = default;

  std::uint16_t port_ = 0;
  std::string address_;
  std::vector<Loop*> loops_;
  std::vector<std::shared_ptr<PeerSet>> sets_;  // one per loop
  std::shared_ptr<AcceptingSocket> accepting_;
};

}  // namespace candor
