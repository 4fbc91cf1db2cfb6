// One connection to NATS at a time, over libnats, brought home to an executor: the only place that knows
// libnats. It reconnects by itself, for ever, with backoff; each connection has an inbox of its own, so that
// nothing of an old one is mistaken for an answer on a new one.
//
// Every call into libnats may block (a full socket, DNS), so all run on the pool, one after another, in
// order. Its callbacks come on threads of its own; they fill a bounded box and post one piece of work home.
//
// Thread safety: one executor, for destruction as well. No call arrives at the handler after destruction.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/backoff.h"
#include "base/executor.h"
#include "base/transport.h"
#include "bus/nats_url.h"

namespace candor::nats {

struct Incoming {
  // "a.17" when it was sent to our inbox; a consumer's messages carry the subject that they were published
  // on.
  std::string subject;
  std::string reply;
  std::string data;
  // Headers that JetStream uses; empty: absent.
  std::string status, description, last_consumer, stalled;
};

struct Outgoing {
  std::string subject;
  std::string reply;  // within our inbox: "a.17"; empty: none
  std::string data;
};

class LinkHandler {
 public:
  virtual ~LinkHandler() = default;
  virtual void on_link(bool connected, const std::string& reason) = 0;
  virtual void on_incoming(Incoming message) = 0;
};

class Link {
 public:
  struct Options {
    Address address;
    std::string name = "candor";
    Duration connect_timeout = 2s;
    // A silent connection is given up after three of these.
    Duration ping_period = 2s;
    Backoff::Options reconnect{.first = 50ms, .limit = 2s};
    // What has arrived and was not yet handed over; beyond it the connection is dropped. JetStream's flow
    // control keeps what is under way below 32 MiB.
    std::size_t box_bytes_max = std::size_t{128} << 20;
  };
  // `pool` outlives the last piece of work that this gives it: one more after destruction.
  Link(Executor* executor, BlockingPool* pool, Options options, std::uint64_t seed, LinkHandler* handler);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  void connect();  // begins; on_link() tells
  void send(Outgoing message);
  [[nodiscard]] bool is_connected() const { return connected_; }
  // Takes messages for a consumer, from what is sent in this turn on; ends the listening of before. Returns
  // the subject to deliver to; status messages of it arrive as "d.<name>". JetStream sends only where
  // somebody listens to exactly this subject: a wildcard does not count.
  [[nodiscard]] std::string listen(const std::string& name);
  // Gives this connection up and makes another.
  void drop(const std::string& reason);

 private:
  class Session;
  void ended(const Session* session, const std::string& reason);

  Executor* executor_;
  BlockingPool* pool_;
  const Options options_;
  LinkHandler* handler_;
  Backoff backoff_;
  std::uint64_t inboxes_ = 0;
  std::uint64_t inbox_seed_;
  std::shared_ptr<Session> session_;  // shared with libnats's callbacks and with work on the pool
  bool connected_ = false;
  TimerId retry_timer_;
  std::vector<Outgoing> out_;  // of this turn
  bool send_scheduled_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor::nats
