// An Executor in virtual time, for unit tests and the simulator: nothing runs until somebody says so, time
// moves only when told, and the same calls give the same order every time. It is its own Clock.
//
// Thread safety: none, but post() may come from any thread, as every Executor's (a test's pool thread).
// is_current() is always true.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/time.h"

namespace candor {

class VirtualExecutor final : public Executor, public Clock {
 public:
  explicit VirtualExecutor(MonoTime start = MonoTime{1'000'000'000}) : now_(start) {}

  void post(Work work) override {
    const MutexLock lock(mutex_);
    ready_.push_back(std::move(work));
  }
  void at_end_of_turn(Work work) override { end_of_turn_.push_back(std::move(work)); }
  TimerId schedule(MonoTime at, Work work) override {
    const TimerId id{++last_timer_};
    timers_.emplace(std::pair{at.ns, id.value}, std::move(work));
    return id;
  }
  void cancel(TimerId timer) override {
    std::erase_if(timers_, [timer](const auto& item) { return item.first.second == timer.value; });
  }
  [[nodiscard]] MonoTime now() const override { return now_; }
  [[nodiscard]] WallTime wall() const override { return WallTime{now_.ns}; }
  [[nodiscard]] bool is_current() const override { return true; }

  // Runs turns until nothing is ready. Timers that are due run; time does not move.
  void run_ready() {
    while (run_turn()) {
    }
  }

  // Moves time forward, stopping at every timer on the way.
  void advance(Duration by) {
    const MonoTime until = now_ + by;
    run_ready();
    while (!timers_.empty() && timers_.begin()->first.first <= until.ns) {
      now_ = MonoTime{std::max(now_.ns, timers_.begin()->first.first)};
      run_ready();
    }
    now_ = until;
    run_ready();
  }

  [[nodiscard]] std::size_t timers() const { return timers_.size(); }

 private:
  // One turn: what was ready at its start, due timers, then what asked for the end of the turn.
  bool run_turn() {
    bool ran = false;
    for (std::deque<Work> ready = take_ready(); !ready.empty(); ready.pop_front()) {
      ready.front()();
      ran = true;
    }
    while (!timers_.empty() && timers_.begin()->first.first <= now_.ns) {
      Work work = std::move(timers_.extract(timers_.begin()).mapped());
      work();
      ran = true;
    }
    for (auto batch = std::exchange(end_of_turn_, {}); auto& work : batch) {
      work();
      ran = true;
    }
    return ran;
  }

  std::deque<Work> take_ready() {
    const MutexLock lock(mutex_);
    return std::exchange(ready_, {});
  }

  MonoTime now_;
  std::uint64_t last_timer_ = 0;
  Mutex mutex_;
  std::deque<Work> ready_ CANDOR_GUARDED_BY(mutex_);
  std::vector<Work> end_of_turn_;
  std::map<std::pair<std::int64_t, std::uint64_t>, Work> timers_;
};

}  // namespace candor
