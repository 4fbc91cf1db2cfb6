// Write-behind of one feature: a write is acknowledged when it is durable in a log of this node; batches of
// such writes, merged by key, follow to the origin, each in one transaction with the log's position. See
// docs/write-behind.md and decision 0006.
//
//   write → staged → log (one append and one sync for all that were staged) → queue, readers see it,
//   acknowledged window over → round: all that is pending, in batches → origin → tiers are told, the queue
//   forgets → hint in the log
//
// Invariants
//   - Nothing is acknowledged, or shown to a reader, before it is in the log.
//   - One round at a time, one batch of it at a time, one job of the log at a time: so that order by key is
//   order by position.
//   - A write leaves the queue when the origin has it or a dead letter was written, and tiers were told.
// Thread safety: one executor, the cache's home. Shared ownership, because jobs and tasks can outlive the
// cache.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/backoff.h"
#include "base/executor.h"
#include "base/task.h"
#include "base/transport.h"
#include "cache/write_behind_log.h"
#include "cache/write_behind_queue.h"
#include "origin/origin.h"

namespace candor::write_behind {

enum class WriteMode : std::uint8_t { kThrough, kBehind };

struct Stats {
  WriteMode mode = WriteMode::kThrough;
  Duration window{0};
  std::size_t pending_keys = 0, pending_bytes = 0;
  Duration oldest{0};
  std::uint64_t log_bytes = 0;
  std::uint64_t acknowledged = 0, merged = 0, applied = 0, refused = 0;  // writes
  std::uint64_t batches = 0, retries = 0, syncs = 0;
  std::size_t dead_letters = 0;
  std::uint64_t lost = 0;           // acknowledged writes that a damaged log no longer holds
  std::string problem;              // of now; empty: none
  std::vector<std::string> damage;  // what the last start found
};

class WriteBehind : public std::enable_shared_from_this<WriteBehind> {
 public:
  struct Options {
    Queue::Options queue;
    Log::Fsync fsync = Log::Fsync::kAlways;
    Duration fsync_interval = 100ms;
    std::uint64_t log_bytes_max = std::uint64_t{4} << 30;  // on disk, with what is merged away
    Duration attempt_timeout = 30s;  // of one batch: the origins' own limit on a statement
    Backoff::Options retry{.first = 100ms, .limit = 5s, .floor = 20ms};
  };
  // What the cache does about it. Called on home.
  struct Tiers {
    // The write is durable: from now on readers of this node get it.
    std::function<void(const std::string& key, const Queue::Pending& write)> show;
    // The origin has it, as `change` (0: not known), or has refused it for good.
    std::function<Task<bool>(std::string key, ChangeId change)> tell;
  };
  struct Parts {
    std::string feature;
    Executor* home = nullptr;
    const Clock* clock = nullptr;
    BlockingPool* pool = nullptr;
    OriginFeature* origin = nullptr;
    Tiers tiers;
    std::uint64_t seed = 0;
  };
  WriteBehind(Parts parts, Options options, std::unique_ptr<Log> log, Log::Recovered recovered);

  // ---- writes ----
  // kOverloaded: a limit; kOriginDown: the log took nothing; kUnknownOutcome: nobody knows.
  [[nodiscard]] Task<Result<void>> write(std::string key, RecordKind kind, std::string value);
  [[nodiscard]] WriteMode mode() const { return mode_; }
  // From now on. What is pending goes to the origin first, key by key: whoever writes through a key that
  // holds() waits.
  void set_mode(WriteMode mode, Duration window);
  // A write that goes straight to the origin, from before it is sent until its answer.
  void begin_through() { ++through_; }
  void end_through();

  // ---- reads ----
  // The last acknowledged write of the key, if the origin may not have it yet.
  [[nodiscard]] const Queue::Pending* find(std::string_view key) const { return queue_.find(key); }
  // Pending, or on its way into the log.
  [[nodiscard]] bool holds(std::string_view key) const;
  // Until everything that was acknowledged, or on its way, before this call is at the origin (or a dead
  // letter).
  [[nodiscard]] Task<Result<void>> settle(MonoTime deadline);

  // ---- life ----
  // What is pending goes now, and what comes as soon as it is durable.
  void hurry();
  // No further attempt; what is left stays in the log.
  void close();
  [[nodiscard]] bool is_idle() const {
    return !is_appending_ && !is_round_ && jobs_.empty() && !is_job_running_;
  }
  [[nodiscard]] bool is_empty() const { return queue_.empty() && staged_.empty() && !is_appending_; }
  [[nodiscard]] Stats stats() const;

  // ---- dead letters ----
  [[nodiscard]] std::vector<DeadLetter> dead_letters() const;
  // Once more, as a new write behind all that came since; kOverloaded and the like as write().
  [[nodiscard]] Task<Result<void>> replay(std::uint64_t position);
  [[nodiscard]] Task<Result<void>> drop(std::uint64_t position);

 private:
  using Items = std::vector<Queue::Item>;
  struct Staged {
    Record record;
    OneShot<Result<void>> answer;
  };
  struct Waiter {
    std::uint64_t target = 0;
    OneShot<Result<void>> answer;
    TimerId timer;
  };
  using LogWork = std::move_only_function<Result<void>(Log&)>;
  struct LogJob {
    LogWork work;
    OneShot<Result<void>> answer;
  };

  // Runs on the pool, after the log's earlier jobs.
  [[nodiscard]] OneShot<Result<void>> on_log(LogWork work);
  void run_job();
  void job_done(const std::shared_ptr<LogJob>& job, Result<void> result, std::uint64_t bytes,
                std::uint64_t syncs);

  void append_soon();
  Task<void> append();
  void appended(std::vector<Staged> batch, const std::vector<Record>& records, const Result<void>& result);
  void sync_soon();

  void arm();
  void begin_round();
  Task<void> run_round();
  Task<bool> learn_position();
  // Brings items from `begin` on to the origin; how many: 0 means that it has to wait.
  Task<std::size_t> apply_some(const Items* items, std::size_t begin);
  // The outcome of one attempt. Nothing: try again with `count` items.
  Task<std::optional<std::size_t>> judge(const Items* items, std::size_t begin, std::size_t* count,
                                         std::vector<std::size_t> sent, WriteBatchOutcome outcome);
  [[nodiscard]] WriteBatch make_batch(const Items& items, std::size_t begin, std::size_t count,
                                      std::vector<std::size_t>* sent) const;
  Task<bool> bury(const Queue::Item* item, std::string reason);
  Task<void> forget(Items items, std::vector<ChangeId> changes);
  void attempt_failed(const std::string& why);
  void answer_waiters();
  [[nodiscard]] std::uint64_t target() const;

  Parts parts_;
  Options options_;
  std::shared_ptr<Log> log_;  // shared with its job
  std::string log_id_;
  Queue queue_;
  Backoff backoff_;
  WriteMode mode_ = WriteMode::kBehind;
  std::size_t through_ = 0;

  std::deque<std::shared_ptr<LogJob>> jobs_;
  bool is_job_running_ = false;

  std::vector<Staged> staged_;
  std::size_t staged_bytes_ = 0;
  std::size_t on_the_way_ = 0;  // staged, or in the append under way
  std::size_t bytes_on_the_way_ = 0;
  std::unordered_map<std::string, std::size_t, SeededHash, std::equal_to<>> keys_on_the_way_;
  bool is_append_asked_ = false, is_appending_ = false, is_sync_asked_ = false;
  std::uint64_t next_position_;
  std::uint64_t first_position_;  // of this run
  std::uint64_t
      sent_up_to_;  // the highest position that this log ever brought to the origin, as far as is known
  std::optional<Error> log_failed_;

  bool is_closed_ = false, is_hurried_ = false, is_round_ = false;
  bool is_position_known_ = false;
  bool is_foreign_ = false;     // the origin has a position of this log that this log never brought there
  std::uint64_t expected_ = 0;  // the origin's position
  std::uint64_t covered_ = 0;   // everything up to it is at the origin, or dead
  MonoTime retry_at_{0};
  TimerId timer_;
  std::vector<Waiter> waiters_;
  std::unordered_map<std::uint64_t, DeadLetter> dead_;  // by position
  Stats stats_;
};

}  // namespace candor::write_behind
