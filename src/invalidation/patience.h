// An answer, or a time-out: whichever is first. The work goes on; its late answer goes to `late`, if there is
// one.
#pragma once

#include <functional>
#include <utility>

#include "base/executor.h"
#include "base/result.h"
#include "base/task.h"

namespace candor {

template <class T>
Task<Result<T>> within(Executor* executor, Duration patience, Task<Result<T>> work) {
  OneShot<Result<T>> first;
  const TimerId timer = executor->schedule(executor->now() + patience, [first] {
    (void)first.set(fail(ErrorCode::kTimeout, "no answer in time"));
  });
  spawn(std::move(work), [first](Result<T> answer) { (void)first.set(std::move(answer)); });
  Result<T> result = co_await first;
  executor->cancel(timer);
  co_return result;
}

}  // namespace candor
