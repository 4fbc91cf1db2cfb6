// The region stream in Redis or Valkey: one Redis Stream for each region, numbered by a script
// (redis_stream_scripts.h). Two connections: one for commands, one for the blocking XREAD.
//
// Invariants
//   - What is read is in order and without holes, or on_gap says so first: trimmed, deleted, flushed, made
//   anew, forked (a dump, a replica that was behind), undecodable.
//   - While nothing arrives, the log's state is looked at after each `block`: a log that went backwards is
//   noticed within
//     `block` and a round trip.
//   - Appends are never sent twice. Their number and bytes under way are bounded.
// Thread safety: one executor; construction from any thread. Not to be destroyed inside a reader's call.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "base/executor.h"
#include "base/random.h"
#include "base/transport.h"
#include "bus/region_stream.h"
#include "tier/l2/redis_client.h"

namespace candor {

class RedisStream final : public RegionStream {
 public:
  struct Options {
    redis::ClientOptions client;  // endpoint, login, database
    std::string region = "local";
    Duration append_timeout = 1s;  // an append's answer; after it nobody knows
    // How long one XREAD waits. Also how often an idle log is looked at; a shorter one costs a round trip
    // each time.
    Duration block = 500ms;
    // The log keeps about this many messages, and about this many bytes: whichever is less. At 100 messages a
    // second it is eight minutes: a node that was away for longer starts with a floor.
    std::size_t messages_kept = 50'000;
    std::size_t bytes_kept = std::size_t{256} << 20;
    // Appends without an answer. Beyond: kOverloaded.
    std::size_t appends_max = 10'000;
    std::size_t append_bytes_max = std::size_t{32} << 20;
    Backoff::Options retry{.first = 50ms, .limit = 1s};
  };

  RedisStream(Executor* executor, Transport* transport, Options options, std::uint64_t seed);
  ~RedisStream() override;

  void read(std::optional<SequenceNumber> after, StreamReader* reader) override;
  Task<Result<SequenceNumber>> append(StreamMessage message) override;
  Task<Result<SequenceNumber>> tail() override;
  [[nodiscard]] StreamStatus status() const override;
  [[nodiscard]] std::string describe() const override;

  // The names of the keys, both with one hash tag.
  [[nodiscard]] const std::string& stream_key() const { return stream_key_; }
  [[nodiscard]] const std::string& state_key() const { return state_key_; }

 private:
  struct Appending {
    std::string nonce, bytes;
    OneShot<Result<SequenceNumber>> done;
  };
  using Chunk = std::vector<Appending>;
  // What the log says about itself; epoch 0: there is none.
  struct Look {
    std::uint64_t epoch = 0;
    SequenceNumber last;
    std::string chain;
  };

  void make_clients();
  void replace_clients();
  void flush();
  Task<void> send(Chunk chunk);
  void settle(Chunk& chunk, const Result<resp::RespValue>& reply);
  Task<Result<Look>> look();
  [[nodiscard]] Result<resp::RespValue> checked(Result<resp::RespValue> reply);

  void read_soon(Duration pause);
  Task<void> read_for_ever();
  void compare(const Look& look);
  [[nodiscard]] bool hand_over(const resp::RespValue& reply);
  void hand_over_entry(const resp::RespValue& entry);
  void gap(SequenceNumber next, std::string reason);
  void set_connected(bool connected, const std::string& problem);

  Executor* executor_;
  Transport* transport_;
  const Options options_;
  const std::string stream_key_, state_key_;
  Random random_;
  Backoff backoff_;
  std::unique_ptr<redis::Client> commands_, blocking_;
  StreamStatus status_;
  bool replacing_ = false;
  bool was_connected_ = false;

  Chunk waiting_;  // of this turn
  std::size_t appends_under_way_ = 0, append_bytes_under_way_ = 0;

  StreamReader* reader_ = nullptr;
  bool started_ = false;                 // the first look was had: status_.last is a place in the log
  std::optional<SequenceNumber> after_;  // what read() asked for
  // The nonce of the last message handed over, which the next must name; nullopt: not known.
  std::optional<std::string> chain_;
  // The log's last number when it was last looked at: an XREAD that waits and finds nothing below it shows a
  // trimmed log.
  SequenceNumber expected_;
  TimerId read_timer_;
  // Shared with work and coroutines that may outlive the stream by a turn.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor
