// What the loading connection to Redis proves. With CLIENT TRACKING (RESP3, default mode) the server pushes
// an invalidation for every key that this connection has read, once, when it changes, in the stream of the
// replies. Redis carries out one command after the other, so the order within this stream is the evidence:
//
//   id of an invalidation       its number on this stream
//   stamp of a load             the invalidations that came before its reply: what they stand for was carried
//                               out before the load was
//   position                    the same number
//   proof                       the answer to a PING: every change that was carried out before the question
//                               has been pushed before the answer
//   incarnation                 the connection: another one knows nothing of what this one has read
//
// Turned down
//   - REDIRECT to another connection: two streams, and nothing says in which order their parts belong.
//   - BCAST with PREFIX: the server writes its pushes at the end of its turn, behind replies that it gave
//     later. A PING's answer would prove nothing.
//   - NOLOOP: writes through Candor must be heard like any other's.
//
// Numbers go on across connections, each of which counts as one: a stamp of a lost connection never includes
// a change that a later one tells. Pure; belongs to the origin's executor.
#pragma once

#include <cstdint>
#include <string>

#include "tier/l2/redis_client.h"
#include "version/change.h"

namespace candor {

class RedisInvalidationListener {
 public:
  virtual ~RedisInvalidationListener() = default;
  // In the order of the stream, inside the origin's work: these only take notes.
  virtual void on_tracked(Incarnation incarnation, Position position) = 0;
  // Null: every key of the server (FLUSHALL, FLUSHDB).
  virtual void on_invalidated(const std::string* name, ChangeId id) = 0;
  // The tracked connection is gone: what changes now is not heard of.
  virtual void on_lost(const std::string& reason) = 0;
  // Connected, but the server does not track. `error` is what it said.
  virtual void on_refused(const std::string& error) = 0;
};

class RedisTracking final : public redis::ClientTap {
 public:
  explicit RedisTracking(std::uint64_t seed) : seed_(seed) {}

  // Null: nobody. A listener is told at once how things stand. It outlives this or says null.
  void listen(RedisInvalidationListener* listener);
  void want() { wanted_ = true; }
  [[nodiscard]] bool is_wanted() const { return wanted_; }
  [[nodiscard]] bool is_tracked() const { return state_ == State::kTracked; }
  // Connected, wanted, and not tracked: it may be asked for again on this connection.
  [[nodiscard]] bool may_ask() const {
    return wanted_ && (state_ == State::kUnasked || state_ == State::kRefused);
  }
  // Of the connection; 0: none.
  [[nodiscard]] std::uint64_t connection() const { return state_ == State::kAway ? 0 : connections_; }

  // What the server said to a CLIENT TRACKING ON that was sent later.
  void on_accepted();
  void on_refused(const std::string& error);

  // Of a load whose reply came just now. Unknown when the connection is not tracked.
  [[nodiscard]] Stamp stamp() const;
  // Of a PING that was answered just now. Requires is_tracked().
  [[nodiscard]] OriginProbe probe() const;

  void on_ready(const std::string& tracking_refusal) override;
  void on_push(const resp::RespValue& push) override;
  void on_lost(const std::string& reason) override;

 private:
  enum class State : std::uint8_t { kAway, kUnasked, kRefused, kTracked };

  std::uint64_t seed_;
  RedisInvalidationListener* listener_ = nullptr;
  State state_ = State::kAway;
  bool wanted_ = false;
  std::uint64_t connections_ = 0;
  std::uint64_t heard_ = 0;  // invalidations, and tracked connections
  Incarnation incarnation_;
  std::string refusal_;
};

}  // namespace candor
