#include "io/thread_pool.h"

#include <pthread.h>

#include <utility>

#include "base/assert.h"

namespace candor {

ThreadPool::ThreadPool(std::size_t threads, const std::string& name) {
  CANDOR_ASSERT(threads > 0);
  for (std::size_t i = 0; i < threads; ++i) {
    // The kernel keeps 15 characters; the number must be among them.
    threads_.emplace_back([this, label = name.substr(0, 11) + "-" + std::to_string(i % 1000)] {
      ::pthread_setname_np(::pthread_self(), label.c_str());
      serve();
    });
  }
}

ThreadPool::~ThreadPool() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void ThreadPool::run(std::move_only_function<void()> work) {
  {
    const MutexLock lock(mutex_);
    queue_.push_back(std::move(work));
  }
  queued_.fetch_add(1, std::memory_order_relaxed);
  changed_.notify_one();
}

void ThreadPool::serve() {
  while (auto work = next()) work();
}

std::move_only_function<void()> ThreadPool::next() {
  const MutexLock lock(mutex_);
  while (queue_.empty() && !stopping_) changed_.wait(mutex_);
  if (queue_.empty()) return nullptr;
  auto work = std::move(queue_.front());
  queue_.pop_front();
  queued_.fetch_sub(1, std::memory_order_relaxed);
  return work;
}

}  // namespace candor
