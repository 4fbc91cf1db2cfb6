// Where work runs. One Executor is one thread (or, in the simulator, one simulated thread): everything posted
// to it runs there, one at a time, in order. The miss path lives on one executor and therefore needs no
// locks.
#pragma once

#include <cstdint>
#include <functional>

#include "base/time.h"

namespace candor {

using Work = std::move_only_function<void()>;

struct TimerId {
  std::uint64_t value = 0;  // 0: no timer
  friend constexpr bool operator==(TimerId, TimerId) = default;
};

class Executor {
 public:
  virtual ~Executor() = default;

  // Runs `work` on this executor soon, after the work already posted. Any thread may call it.
  virtual void post(Work work) = 0;

  // As post(), but only from this executor's own thread: runs `work` when everything that is ready in this
  // turn of the loop has run. This is where requests that arrive together are gathered into one batch.
  virtual void at_end_of_turn(Work work) = 0;

  // Runs `work` at `at` or a little later, never earlier. Only from this executor's own thread.
  virtual TimerId schedule(MonoTime at, Work work) = 0;
  // Forgets a timer that has not run; harmless if it has. Only from this executor's own thread.
  virtual void cancel(TimerId timer) = 0;

  // The time of this executor's clock; cheap.
  [[nodiscard]] virtual MonoTime now() const = 0;
  // True on this executor's own thread.
  [[nodiscard]] virtual bool is_current() const = 0;
};

}  // namespace candor
