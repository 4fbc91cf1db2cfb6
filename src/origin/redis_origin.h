// Redis as an origin: Candor as a near cache for the Redis that a user already has.
//
// load, store and erase of a feature are key patterns, "user:{key}"; keys with several columns use {key1},
// {key2} … as SQL origins do. A load is a GET, a store a SET, an erase a DEL.
//
// Loads that wait together leave together: up to kBatchMax GETs in one write are one statement of
// `max_concurrency`. Not MGET: it answers "nil" for a key that holds another type, which would be served as
// "no such row".
//
// Invariants
//   - Statements in flight <= max_concurrency; what waits is bounded in count and bytes; every request is
//     answered once, at its deadline plus one tick at the latest.
//   - Requests leave in the order in which they came.
//
// What it does not do: it has no change feed (client tracking comes with the feeds), so its stamps know
// nothing. Thread safety: one executor.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/transport.h"
#include "origin/origin.h"
#include "tier/l2/redis_client.h"

namespace candor {

// "user:{key}": where a key goes. Pure.
class KeyPattern {
 public:
  // kConfiguration: says what is wrong; `role` and `feature` are for the message.
  [[nodiscard]] static Result<KeyPattern> parse(std::string_view feature, std::string_view role,
                                                std::string_view text);
  // kInvalidArgument: the key has too few parts.
  [[nodiscard]] Result<std::string> name_of(std::string_view feature, std::string_view key) const;

 private:
  struct Piece {
    std::string text;  // literal text in front of
    int part = 0;      // the key's part (1 …); 0: the whole key; -1: nothing
  };
  std::vector<Piece> pieces_;
  std::uint8_t parts_ = 0;
};

class RedisOrigin final : public Origin {
 public:
  struct Options {
    std::string name;  // of the origin, for messages
    std::uint32_t max_concurrency = 32;
    std::uint32_t waiting_max = 100'000;  // one for each read that the cache lets wait
    Duration timeout = 5s;                // for requests without a deadline
    redis::ClientOptions client{};
  };
  // GETs in one statement: 128 small replies fit one read of a socket.
  static constexpr std::size_t kBatchMax = 128;

  RedisOrigin(Executor* executor, Transport* transport, Options options, std::uint64_t seed);
  ~RedisOrigin() override;
  RedisOrigin(const RedisOrigin&) = delete;
  RedisOrigin& operator=(const RedisOrigin&) = delete;

  Result<std::unique_ptr<OriginFeature>> bind(OriginStatements statements) override;
  Task<Result<void>> prepare() override;
  [[nodiscard]] OriginStats stats() const override;
  [[nodiscard]] std::string describe() const override { return client_.describe(); }

 private:
  class Bound;
  struct Job {
    redis::Answer answer;
    std::vector<std::string> words;
    MonoTime deadline;
    bool is_load = false;
    [[nodiscard]] std::size_t bytes() const;
  };
  // Requests that leave together; the last answer frees the place.
  struct Batch {
    std::size_t left = 0;
  };

  Task<Result<resp::RespValue>> run(std::vector<std::string> words, bool is_load, MonoTime deadline);
  Task<void> run_job(std::shared_ptr<Batch> batch, Job job);
  void schedule_pump();
  void pump();
  void send_batch();
  void expire(MonoTime now);
  void start_ticking();
  [[nodiscard]] Error origin_error(const Error& error, bool is_load, MonoTime deadline) const;

  Executor* executor_;
  Options options_;
  OriginStats stats_;
  std::deque<Job> queue_;
  std::size_t queue_bytes_ = 0;
  bool pump_scheduled_ = false;
  bool closing_ = false;
  TimerId tick_;
  std::shared_ptr<bool> alive_ =
      std::make_shared<bool>(true);  // shared with work that may outlive the origin
  redis::Client client_;  // last: its end answers what is outstanding, and those answers use the rest
};

// From `[origins.NAME] url`. kConfiguration says what is wrong, without the password.
[[nodiscard]] Result<std::unique_ptr<RedisOrigin>> make_redis_origin(std::string_view url,
                                                                     RedisOrigin::Options options,
                                                                     Executor* executor, Transport* transport,
                                                                     std::uint64_t seed);

}  // namespace candor
