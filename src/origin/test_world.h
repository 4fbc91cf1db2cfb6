// Virtual time and a blocking pool that waits for the test, for the tests of this room.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "base/task.h"
#include "base/transport.h"
#include "base/virtual_executor.h"

namespace candor::testing_world {

// Keeps work until the test lets it run, on the test's own thread.
class HeldPool final : public BlockingPool {
 public:
  void run(std::move_only_function<void()> work) override { held_.push_back(std::move(work)); }
  bool run_one() {
    if (held_.empty()) return false;
    auto work = std::move(held_.front());
    held_.pop_front();
    work();
    return true;
  }
  [[nodiscard]] std::size_t held() const { return held_.size(); }

 private:
  std::deque<std::move_only_function<void()>> held_;
};

// Both together.
class World {
 public:
  VirtualExecutor executor;
  HeldPool pool;

  void settle() {
    do {
      executor.run_ready();
    } while (pool.run_one());
  }
  [[nodiscard]] MonoTime in(Duration d) const { return executor.now() + d; }

  // Starts the task; the result lands in `slot`.
  template <class T>
  void start(Task<T> task, std::optional<T>* slot) {
    spawn(std::move(task), [slot](T value) { slot->emplace(std::move(value)); });
  }
  template <class T>
  T run(Task<T> task) {
    std::optional<T> slot;
    start(std::move(task), &slot);
    settle();
    CANDOR_ASSERT(slot.has_value());
    return std::move(*slot);
  }
};

}  // namespace candor::testing_world
