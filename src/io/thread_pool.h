// Threads for work that blocks (SQLite, files): the real BlockingPool.
//
// Work starts in the order in which it came. The queue itself has no limit: callers bound what they have
// under way (BlockingPool's contract), and queued() shows it. Thread safety: all of it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/transport.h"

namespace candor {

class ThreadPool final : public BlockingPool {
 public:
  // Threads appear as `name`-0, `name`-1, … in `top -H`.
  ThreadPool(std::size_t threads, const std::string& name);
  // Finishes what is queued, then joins: somebody waits for each result.
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void run(std::move_only_function<void()> work) override;
  [[nodiscard]] std::size_t queued() const { return queued_.load(std::memory_order_relaxed); }

 private:
  void serve();
  [[nodiscard]] std::move_only_function<void()> next();

  Mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::move_only_function<void()>> queue_ CANDOR_GUARDED_BY(mutex_);
  bool stopping_ CANDOR_GUARDED_BY(mutex_) = false;
  std::atomic<std::size_t> queued_{0};
  std::vector<std::thread> threads_;
};

}  // namespace candor
