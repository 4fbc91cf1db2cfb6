// Our Redis client: one connection, pipelined, on one executor. Commands that are sent in one turn of the
// loop leave in one write. Behind it stand L2 and Redis origins.
//
// Invariants
//   - Every send() is answered exactly once: by its reply, or by an error. Never later than its deadline plus
//   one
//     tick (kTickMax).
//   - Replies match commands in order. A command that timed out keeps its place in the line, so that its late
//     reply is recognised and dropped.
//   - Commands and bytes outstanding are bounded; beyond that the answer is kOverloaded, at once.
//   - A command is sent at most once. kUnavailable: it was not carried out. kTimeout: it was sent, and a
//   deadline or
//     the end of the connection came before its reply; whether it was carried out nobody knows.
//
// While the server is away: kUnavailable at once, while the connection is tried again in the background, with
// exponential backoff and full jitter. A server that is there but fails (timeouts, LOADING) opens the
// breaker: it counts outcomes, and one command that got no answer in the client's own time opens it at once
// if nothing at all has arrived since it was sent, because then the server is silent, not slow. While it is
// open nothing is sent but the client's own PING, whose answer closes it: no caller waits to find out.
//
// Thread safety: one executor, for destruction as well; construction and connect_soon() from any thread. Must
// not be destroyed from inside an answer.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/backoff.h"
#include "base/breaker.h"
#include "base/executor.h"
#include "base/result.h"
#include "base/task.h"
#include "base/transport.h"
#include "proto/resp.h"
#include "tier/l2/redis_handshake.h"

namespace candor::redis {

// Hears what passes on the connection beside replies, in the order of the stream: a push that came before a
// reply is told before that reply is answered. Called on the client's executor, in the middle of its work:
// nothing here may call the client.
class ClientTap {
 public:
  virtual ~ClientTap() = default;
  // A connection serves from now on; nothing was sent on it but the handshake. `tracking_refusal`: of
  // HandshakeOptions::tracking.
  virtual void on_ready(const std::string& tracking_refusal) = 0;
  virtual void on_push(const resp::RespValue& push) = 0;
  // Before what was outstanding is answered. Only after on_ready().
  virtual void on_lost(const std::string& reason) = 0;
};

struct ClientOptions {
  Endpoint endpoint;
  HandshakeOptions hello;
  Duration connect_timeout = 1s;  // for TCP and TLS, and again for the first commands
  Duration command_timeout =
      500ms;  // a Redis in the same region answers in about one; then the origin is the better bet
  // While one large value is on the wire and moves, commands behind it wait longer than their timeout, up to
  // this.
  Duration transfer_patience = 10s;
  std::size_t outstanding_max =
      20'000;  // commands without an answer; at 1 µs each the server has 20 ms of work
  std::size_t unsent_bytes_max = std::size_t{256} << 20;  // three of the largest values and small change
  resp::ReplyLimits reply_limits{};
  Backoff::Options reconnect{};
  Breaker::Options breaker{};
  // For clients that write: a server that answers READONLY was made a replica. Leave it and connect again, by
  // name: the name may lead to the new primary by now.
  bool leaves_replicas = false;
  ClientTap* tap = nullptr;  // outlives the client
};

struct ClientStats {
  bool connected = false;
  bool breaker_open = false;
  Breaker::State breaker = Breaker::State::kClosed;
  std::uint64_t commands = 0, writes = 0;  // commands / writes: how well batching works
  std::uint64_t errors = 0;                // answers that were errors of the connection or the server's state
  std::uint64_t timeouts = 0, late_replies = 0;
  std::uint64_t connects = 0;  // connections that came to serve
  std::uint64_t overloaded = 0, refused_by_breaker = 0;
  std::uint64_t scripts_resent = 0;  // NOSCRIPT answers
  std::uint64_t breaker_opened = 0;  // times
  std::uint64_t demotions = 0;       // connections left because the server became a read-only replica
};

using Answer = OneShot<Result<resp::RespValue>>;

class Client {
 public:
  Client(Executor* executor, Transport* transport, ClientOptions options, std::uint64_t seed);
  ~Client();  // answers what is outstanding with kUnavailable
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Connects if there is no connection; send() does it by itself.
  void connect();
  // What the next connections ask for; this one goes on as it is.
  void want_tracking() { options_.hello.tracking = true; }
  // As connect(), in a turn of the executor: from any thread, so that whoever builds the client need not be
  // there.
  void connect_soon();

  // The server's own errors (WRONGTYPE …) are a value of type kError; kUnavailable also stands for a server
  // that says that it cannot serve now (LOADING, MASTERDOWN, …). `timeout` zero: the client's own, which
  // large transfers extend; otherwise exactly that.
  [[nodiscard]] Answer send(std::span<const std::string_view> args, Duration timeout = Duration{0});

  // Runs script number `script` of HandshakeOptions::scripts; `args` are the keys, then the arguments.
  Task<Result<resp::RespValue>> run(std::size_t script, std::size_t keys, std::vector<std::string> args);

  // Counts the connections made so far.
  [[nodiscard]] std::uint64_t connection() const { return connections_; }
  [[nodiscard]] ClientStats stats() const;
  [[nodiscard]] std::size_t outstanding() const { return in_flight_.size() + waiting_.size(); }
  [[nodiscard]] std::string describe() const;  // "redis 127.0.0.1:6379/0"

  // Deadlines are looked at this often: a timer per command would cost more than its precision is worth.
  static constexpr Duration kTickMax = 25ms;
  // A PING that asks whether a server is back: it answers one in well under a millisecond of its own time,
  // and nobody waits for this one.
  static constexpr Duration kProbeTimeout = 100ms;

 private:
  // kAway: the last connection failed, the next attempt is scheduled.
  enum class State : std::uint8_t { kIdle, kConnecting, kGreeting, kReady, kAway };
  class Link;
  struct Pending {
    Answer answer;
    Breaker::Ticket ticket;
    MonoTime sent_at, deadline, deadline_hard;
    bool abandoned = false;  // answered by a timeout; its reply is still to come
    bool is_probe = false;   // the client's own PING
    std::string bytes;       // while it waits for the connection
  };

  void on_connected();
  void on_data(std::string_view bytes);
  void on_closed(const std::string& reason);
  void on_greeting(const resp::RespValue& reply);
  void on_reply(resp::RespValue reply);
  void on_ready();

  void record(Breaker::Ticket ticket, bool ok, MonoTime now);
  void probe_later(MonoTime now);
  void probe();
  [[nodiscard]] bool is_silent_since(const Pending& command) const;
  void leave_replica(const std::string& answer);
  void drop_link(std::string reason);  // by value: the reason may live in what is dropped
  void close_link();
  void schedule_flush();
  void flush();
  void start_ticking();
  void tick();
  void note_progress(MonoTime now);
  [[nodiscard]] bool is_large_transfer_moving(MonoTime now) const;
  void time_out(std::deque<Pending>& line, MonoTime now, std::vector<Answer>* expired);
  [[nodiscard]] Error away_error() const;
  [[nodiscard]] Answer refused(Error error);
  void learn(std::size_t script);

  Executor* executor_;
  Transport* transport_;
  ClientOptions options_;
  Breaker breaker_;
  Backoff backoff_;
  ClientStats stats_;

  State state_ = State::kIdle;
  std::uint64_t connections_ = 0;
  std::unique_ptr<Link> link_;
  std::unique_ptr<Handshake> handshake_;
  std::vector<std::string> shas_;  // by script; empty: not known to be loaded
  std::string away_reason_;
  MonoTime greeting_until_;
  TimerId reconnect_timer_, tick_timer_, probe_timer_;
  // Commands wait for a first connection. For one that comes after a failure they do not: the server may be
  // frozen, and each would wait in vain for its whole timeout.
  bool has_failed_ = false;
  bool is_silent_ = false;    // the breaker is open because nothing arrives
  bool was_demoted_ = false;  // it answered READONLY; until a connection finds a primary

  std::deque<Pending> waiting_;  // for the connection
  std::size_t waiting_bytes_ = 0;
  std::deque<Pending> in_flight_;  // for replies, in order
  std::string out_;                // of this turn
  bool flush_scheduled_ = false;

  // Progress of large values.
  std::size_t reply_bytes_ = 0;  // received since the last whole reply
  std::size_t unsent_seen_ = 0;
  MonoTime received_at_;
  MonoTime moved_at_{INT64_MIN / 2};  // a large value; long ago

  std::shared_ptr<bool> alive_ =
      std::make_shared<bool>(true);  // shared with work that may outlive the client
};

}  // namespace candor::redis
