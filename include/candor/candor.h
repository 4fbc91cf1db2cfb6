// Candor as a library: a read-through cache inside your process, in front of a database or of a function of
// yours.
//
//   auto cache = candor::Cache::open({
//       .memory_bytes = 64 << 20,
//       .features = {{.name = "user", .ttl = 30s, .load = [](std::string_view id) { return fetch_user(id);
//       }}},
//   });
//   auto user = cache->get("user:42");            // blocking; a hit takes no lock and makes no system call
//   auto same = co_await cache->read("user:42");  // coroutine; resumes on the cache's own thread
//
// Keys are `feature:key`. What a read promises, and what each option means, is in docs/library.md.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candor {

// What a read gave.
struct Reading {
  std::optional<std::string> value;  // nullopt: the origin has no such row
  std::string_view tier;             // where it was answered: l1, l2 or origin
  std::chrono::nanoseconds age{0};   // since the load that brought it began
  std::string degraded;              // empty, or why an old value was served
};

// A key space and where it loads from: functions of yours instead of SQL.
struct FunctionFeature {
  std::string name;
  std::chrono::nanoseconds ttl = std::chrono::seconds(60);
  std::chrono::nanoseconds negative_ttl = std::chrono::seconds(5);
  // How long past its ttl a value may be served while loads fail; 0: such reads are errors.
  std::chrono::nanoseconds serve_stale{0};

  // Called on a thread of the cache's pool, for at most one caller per key at a time. nullopt: no such row.
  // Required. May block; must not throw, and must not call back into the cache.
  std::function<Result<std::optional<std::string>>(std::string_view key)> load;
  // What set() and erase() do at the authority, before the cache changes. Without them: kReadOnly.
  std::function<Result<void>(std::string_view key, std::string_view value)> store;
  std::function<Result<void>(std::string_view key)> erase;
};

struct CacheOptions {
  // A configuration file of the daemon: its [l1], [l2], [origins] and [features]. Listeners in it are not
  // opened. Empty: none.
  std::string config_file;
  // A hard limit on all that the memory tier holds. 0: the file's, or 64 MiB without a file.
  std::uint64_t memory_bytes = 0;
  // Besides the file's.
  std::vector<FunctionFeature> features;
  // Threads that run loads which block.
  unsigned load_threads = 4;
};

// Thread safety: all members may be called from any thread, except that blocking calls must not be made from
// a callback or a coroutine that runs on the cache's thread (they assert).
class Cache {
 public:
  using Done = std::move_only_function<void(Result<Reading>)>;

  // Errors say which file, line, feature or origin is wrong.
  [[nodiscard]] static Result<Cache> open(CacheOptions options);
  [[nodiscard]] static Result<Cache> open(const std::string& config_file);

  Cache(Cache&&) noexcept;
  Cache& operator=(Cache&&) noexcept;
  // Waits for what is under way; blocking calls of other threads must have returned.
  ~Cache();

  // ---- blocking ----
  [[nodiscard]] Result<Reading> get(std::string_view key);
  // Writes to the authority first, then to the tiers. Once it returned, no read of this cache gives the old
  // value.
  Result<void> set(std::string_view key, std::string_view value);
  Result<void> erase(std::string_view key);
  // Drops what is cached; the next read loads. Never touches the authority.
  Result<void> invalidate(std::string_view key);

  // ---- without blocking ----
  // A hit calls `done` at once, on this thread; a miss later, on the cache's thread.
  void get(std::string_view key, Done done);

  class Awaiter;
  // `co_await cache.read(key)`: a hit continues at once, a miss resumes on the cache's thread.
  [[nodiscard]] Awaiter read(std::string key);

  struct Stats {
    std::uint64_t hits = 0, loads = 0, load_errors = 0;
    std::uint64_t memory_bytes = 0, memory_limit_bytes = 0;
  };
  [[nodiscard]] Stats stats() const;

 private:
  struct Engine;
  explicit Cache(std::unique_ptr<Engine> engine);
  // True and `out` set: answered now.
  bool try_now(std::string_view key, Result<Reading>* out);
  void start_read(std::string key, Done done);

  std::unique_ptr<Engine> engine_;
};

class Cache::Awaiter {
 public:
  Awaiter(Cache* cache, std::string key) : cache_(cache), key_(std::move(key)) {}
  [[nodiscard]] bool await_ready() { return cache_->try_now(key_, &result_); }
  void await_suspend(std::coroutine_handle<> waiting) {
    cache_->start_read(std::move(key_), [this, waiting](Result<Reading> result) {
      result_ = std::move(result);
      waiting.resume();
    });
  }
  [[nodiscard]] Result<Reading> await_resume() { return std::move(result_); }

 private:
  Cache* cache_;
  std::string key_;
  Result<Reading> result_;
};

}  // namespace candor
