// A hand-driven executor and blocking pools for the tests of this room.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/task.h"
#include "base/transport.h"

namespace candor::testing_world {

// Time moves only when a test says so.
class HandExecutor final : public Executor {
 public:
  void post(Work work) override {
    const MutexLock lock(mutex_);
    posted_.push_back(std::move(work));
  }
  void at_end_of_turn(Work work) override { end_of_turn_.push_back(std::move(work)); }
  TimerId schedule(MonoTime at, Work work) override {
    const TimerId id{++timers_made_};
    timers_.emplace(std::pair{at.ns, id.value}, std::move(work));
    return id;
  }
  void cancel(TimerId timer) override {
    std::erase_if(timers_, [timer](const auto& entry) { return entry.first.second == timer.value; });
  }
  [[nodiscard]] MonoTime now() const override { return now_; }
  [[nodiscard]] bool is_current() const override { return true; }

  // Runs everything that is ready; true if there was anything.
  bool turn() {
    bool ran = false;
    while (auto work = next()) {
      (*work)();
      ran = true;
    }
    auto ends = std::exchange(end_of_turn_, {});
    for (auto& work : ends) work();
    return ran || !ends.empty();
  }
  void settle() {
    while (turn()) {
    }
  }
  void advance(Duration by) {
    const MonoTime until = now_ + by;
    settle();
    while (!timers_.empty() && timers_.begin()->first.first <= until.ns) {
      auto node = timers_.extract(timers_.begin());
      now_ = MonoTime{node.key().first};
      node.mapped()();
      settle();
    }
    now_ = until;
    settle();
  }
  [[nodiscard]] std::size_t timers() const { return timers_.size(); }

 private:
  std::optional<Work> next() {
    const MutexLock lock(mutex_);
    if (posted_.empty()) return std::nullopt;
    auto work = std::move(posted_.front());
    posted_.pop_front();
    return work;
  }

  Mutex mutex_;
  std::deque<Work> posted_ CANDOR_GUARDED_BY(mutex_);
  std::deque<Work> end_of_turn_;
  std::map<std::pair<std::int64_t, std::uint64_t>, Work> timers_;
  std::uint64_t timers_made_ = 0;
  MonoTime now_{1'000'000'000};
};

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
  HandExecutor executor;
  HeldPool pool;

  void settle() {
    do {
      executor.settle();
    } while (pool.run_one() || executor.turn());
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
