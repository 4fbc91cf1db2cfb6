// Redis as an origin: Candor as a near cache for the Redis that a user already has.
//
// load, store and erase of a feature are key patterns, "user:{key}"; keys with several columns use {key1},
// {key2} … as SQL origins do. A load is a GET, a store a SET, an erase a DEL.
//
// Loads that wait together leave together: up to kBatchMax GETs in one write are one statement of
// `max_concurrency`. Not MGET: it answers "nil" for a key that holds another type, which would be served as
// "no such row".
//
// A feature that is watched has its loads stamped by what the connection heard before their replies
// (redis_tracking.h), and learns with each value how long Redis will keep it. All of it rests on the one
// connection: loads, writes and invalidations are in one order.
//
// Invariants
//   - Statements in flight <= max_concurrency; what waits is bounded in count and bytes; every request is
//     answered once, at its deadline plus one tick at the latest.
//   - Requests of one class leave in the order in which they came; writes are of normal priority.
//
// Thread safety: one executor.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/transport.h"
#include "origin/key_pattern.h"
#include "origin/origin.h"
#include "origin/origin_gate.h"
#include "origin/redis_tracking.h"
#include "tier/l2/redis_client.h"

namespace candor {

class RedisOrigin final : public Origin {
 public:
  struct Options {
    std::string name;  // of the origin, for messages
    std::uint32_t max_concurrency = 32;
    std::uint32_t waiting_max = 100'000;  // one for each read that the cache lets wait
    Duration timeout = 5s;                // for requests without a deadline
    // The breaker is the client's own, which knows more of the connection.
    OriginProtection protection{};
    redis::ClientOptions client{};
  };
  // GETs in one statement: 128 small replies fit one read of a socket.
  static constexpr std::size_t kBatchMax = 128;
  // A server that refuses to track is asked again this often: its ACL may have been mended.
  static constexpr Duration kTrackingRetry = 2s;

  RedisOrigin(Executor* executor, Transport* transport, Options options, std::uint64_t seed);
  ~RedisOrigin() override;
  RedisOrigin(const RedisOrigin&) = delete;
  RedisOrigin& operator=(const RedisOrigin&) = delete;

  Result<std::unique_ptr<OriginFeature>> bind(OriginStatements statements) override;
  Task<Result<void>> prepare() override;
  // One PING on the loading connection. kNotFound: nothing is watched, or the server does not track.
  Task<Result<OriginProbe>> probe(MonoTime deadline) override;
  [[nodiscard]] bool has_local_order() const override { return tracking_.is_wanted(); }
  // For the change feed. Null: nobody.
  void listen(RedisInvalidationListener* listener) { tracking_.listen(listener); }
  void protect(const OriginProtection& protection) override;
  [[nodiscard]] OriginStats stats() const override;
  [[nodiscard]] std::string describe() const override { return client_.describe(); }

 private:
  class Bound;
  // The reply, and what is known beside it.
  struct Said {
    resp::RespValue value;
    Stamp stamp;
    std::optional<Duration> ttl_left{};
  };
  struct Job {
    OneShot<Result<Said>> answer;
    std::vector<std::string> words;
    bool asks_expiry = false;  // of a GET: the key's expiry as well
    MonoTime deadline, arrived;
    bool is_load = false;
    LoadUrgencyPtr urgency{};  // null: nobody raises it
    [[nodiscard]] std::size_t bytes() const;
  };
  // Requests that leave together; the last answer frees the place.
  struct Batch {
    std::size_t left = 0;
    OriginGate::Statement statement{};
    bool failed = false;
  };

  enum class Kind : std::uint8_t { kWrite, kLoad, kWatchedLoad };
  Task<Result<Said>> run(std::vector<std::string> words, Kind kind, MonoTime deadline,
                         LoadUrgencyPtr urgency);
  void listen_for_raise(const LoadUrgencyPtr& urgency, LoadClass from);
  [[nodiscard]] std::deque<Job>* best_line();
  [[nodiscard]] std::size_t waiting() const;
  [[nodiscard]] std::optional<MonoTime> waits_since(LoadClass of) const;
  void want_tracking();
  void look_for_tracking();
  Task<void> ask_for_tracking();
  static void note_expiry(const resp::RespValue& answer, Said& said);
  Task<void> run_job(std::shared_ptr<Batch> batch, Job job);
  void schedule_pump();
  void pump();
  void send_batch();
  void give_back(const Batch& batch);
  void expire(MonoTime now);
  void start_ticking();
  [[nodiscard]] Error origin_error(const Error& error, bool is_load, MonoTime deadline) const;

  Executor* executor_;
  Options options_;
  OriginStats stats_;
  OriginGate gate_;
  std::array<std::deque<Job>, kLoadClasses> queue_;
  std::size_t queue_bytes_ = 0;
  bool pump_scheduled_ = false;
  bool closing_ = false;
  TimerId tick_, tracking_timer_;
  RedisTracking tracking_;
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
