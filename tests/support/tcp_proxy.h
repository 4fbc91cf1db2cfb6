// A link of a network that tests can hurt: listens on a free port of 127.0.0.1 and carries bytes to another
// port and back, late, slowly, one way only, or not at all.
//
// What a fault looks like to the two ends
//   - Held: what is sent stays on the way, as in a partition; it arrives when the link is healed, as TCP
//   sends
//     again what was lost. New connections are accepted (by the proxy) and hear nothing. A side that closes
//     meanwhile is not noticed by the other until the link is healed.
//   - Refused: new connections are closed at once.
//   - Cut: every connection is closed now, both ways; what was on the way is lost.
// Bounded: kOnTheWayMax bytes for each direction of a connection; then the sender is not read, and its own
// socket fills. kConnectionsMax connections.
// Thread safety: any thread; the proxy has a thread of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <list>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

struct pollfd;

namespace candor::testing {

class TcpProxy {
 public:
  struct Link {
    std::chrono::milliseconds delay{0};   // each way
    std::chrono::milliseconds jitter{0};  // up to so much more; order is kept, as TCP keeps it
    std::uint64_t bytes_per_second = 0;   // each way; 0: no limit
    bool hold_to_server = false, hold_to_client = false;
    bool refuse = false;
  };
  struct Counts {
    std::uint64_t accepted = 0, refused = 0, cut = 0;
    std::uint64_t bytes = 0;       // delivered
    std::uint64_t bytes_late = 0;  // of these, behind a delay, a limit or a hold
  };
  static constexpr std::size_t kOnTheWayMax = 1 << 20;
  static constexpr std::size_t kConnectionsMax = 1000;

  // `seed`: of the jitter.
  explicit TcpProxy(std::uint16_t server_port, std::uint64_t seed = 1);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  void set(const Link& link);
  void partition() { set({.hold_to_server = true, .hold_to_client = true}); }
  void heal() { set({}); }
  void cut();
  [[nodiscard]] Counts counts() const;

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Chunk {
    Time due;
    std::string bytes;
    std::size_t sent = 0;
    bool late = false;
  };
  // One direction of a connection.
  struct Pipe {
    int from = -1, to = -1;
    std::deque<Chunk> chunks;
    std::size_t queued = 0;
    bool ended = false;      // nothing more will be read
    bool delivered = false;  // the end, too, was passed on
    Time free_at{};          // the limit of bytes a second
  };
  struct Connection {
    int client = -1, server = -1;
    Pipe up, down;  // to the server, to the client
    bool dead = false;
  };

  void run();
  void turn();
  void take_orders();
  void accept_one();
  void watch(Pipe& pipe, bool held, Time now, Time* wake);
  void receive(Pipe& pipe, Time now);
  void deliver(Connection& connection, Pipe& pipe, bool held, Time now);
  void close_all();
  static void close_connection(Connection& connection);
  [[nodiscard]] bool is_ready(int fd, short events) const;

  std::uint16_t server_port_;
  std::uint16_t port_ = 0;
  int listener_ = -1;
  int wake_ = -1;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;
  Link wanted_;              // guarded by mutex_
  bool cut_wanted_ = false;  // guarded by mutex_
  Counts counts_;            // guarded by mutex_

  // The proxy's own thread from here on.
  Link link_;
  std::mt19937_64 random_;
  std::list<Connection> connections_;
  std::vector<pollfd> polled_;
  std::thread thread_;  // last: everything is there when it starts
};

}  // namespace candor::testing
