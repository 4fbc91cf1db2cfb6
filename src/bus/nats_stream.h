// The region stream in NATS JetStream: one stream CANDOR_<region> with the subject candor.<region>.stream,
// made when it is absent. JetStream's own sequence is ours. We speak its API ourselves (JSON over requests):
// every step is an event, nothing blocks, and what happens after a reconnect is decided here.
//
//   connected → STREAM.INFO (→ STREAM.CREATE) → compare with what was handed over → CONSUMER.CREATE →
//   messages
//
// Each payload begins with eight random bytes, the message's own. After a break the consumer begins at the
// last message handed over, not behind it: if that one is not there or carries other bytes, the log is
// another one.
//
// Invariants
//   - What is read is in order and without holes, or on_gap says so first: trimmed, purged, deleted messages,
//   a
//     stream made anew or restored, undecodable.
//   - A consumer that is silent for 2.5 heartbeats, or skips one of its own numbers, is replaced from the
//   last message handed over.
//   - Appends are never sent twice. Their number and bytes under way are bounded.
// Thread safety: one executor, construction included. Not to be destroyed inside a reader's call.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/random.h"
#include "base/transport.h"
#include "bus/nats_link.h"
#include "bus/region_stream.h"

namespace candor {

class NatsStream final : public RegionStream, private nats::LinkHandler {
 public:
  struct Options {
    nats::Link::Options link;
    std::string region = "local";
    Duration append_timeout = 1s;   // an append's answer; after it nobody knows
    Duration request_timeout = 2s;  // an answer of JetStream's API
    // The server says that it lives when it has nothing else to say. Two and a half of these without a word:
    // the consumer is gone (with its stream, say).
    Duration heartbeat = 500ms;
    // For a stream that is made here; one that exists keeps its own limits.
    std::size_t messages_kept = 50'000;
    std::size_t bytes_kept = std::size_t{256} << 20;
    std::size_t appends_max = 10'000;
    std::size_t append_bytes_max = std::size_t{32} << 20;
    Backoff::Options retry{.first = 50ms, .limit = 2s};
  };

  // `pool` runs what libnats may block in; it outlives the stream by one piece of work.
  NatsStream(Executor* executor, BlockingPool* pool, Options options, std::uint64_t seed);
  ~NatsStream() override;

  void read(std::optional<SequenceNumber> after, StreamReader* reader) override;
  Task<Result<SequenceNumber>> append(StreamMessage message) override;
  Task<Result<SequenceNumber>> tail() override;
  [[nodiscard]] StreamStatus status() const override { return status_; }
  [[nodiscard]] std::string describe() const override;

  [[nodiscard]] const std::string& stream_name() const { return stream_name_; }

 private:
  struct Info {
    std::uint64_t epoch = 0;
    SequenceNumber first, last;
  };
  using Reply = Result<std::string>;
  struct Waiting {
    OneShot<Reply> done;
    MonoTime deadline;
  };

  void on_link(bool connected, const std::string& reason) override;
  void on_incoming(nats::Incoming message) override;

  Task<Reply> request(std::string subject, std::string data, std::string_view kind, Duration timeout);
  void expire();
  void fail_waiting(const std::string& reason);

  void establish_soon(Duration pause);
  Task<void> establish();
  Task<Result<Info>> info_or_create();
  Task<Result<Info>> info();
  Task<Result<void>> consume();
  void compare(const Info& info);

  void on_delivery(const nats::Incoming& message);
  void give_up_consumer();
  void drop_consumer();
  void on_control(const nats::Incoming& message);
  void on_numbered(std::uint64_t sequence, std::string_view payload);
  void watch();
  void gap(SequenceNumber next, std::string reason);
  void set_connected(bool connected, const std::string& problem);
  [[nodiscard]] std::string stream_config() const;

  Executor* executor_;
  const Options options_;
  const std::string stream_name_, subject_;
  Random random_;
  Backoff backoff_;
  nats::Link link_;
  StreamStatus status_;
  bool was_connected_ = false;

  std::map<std::uint64_t, Waiting> waiting_;  // by request number, which grows: nearly by deadline
  std::uint64_t requests_ = 0;
  std::size_t appends_under_way_ = 0, append_bytes_under_way_ = 0;
  TimerId expire_timer_;

  StreamReader* reader_ = nullptr;
  std::optional<SequenceNumber> after_;
  bool started_ = false;          // status_.last is a place in the log
  std::uint64_t last_nonce_ = 0;  // of the last message handed over; 0: not known
  bool checks_overlap_ = false;   // the next message must be the last one again
  bool establishing_ = false;
  std::uint64_t attempt_ = 0;  // of establish(): one that the connection's end overtook does nothing more
  std::string consumer_;       // its name, random: what comes from an earlier one is ignored. Empty: none
  std::uint64_t consumer_sequence_ = 0;
  MonoTime heard_at_;
  TimerId establish_timer_, watch_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor
