// Task<T>: the one idiom of the miss path. A lazily started coroutine that runs on one executor from start to
// end and never moves to another thread; awaiting is single-threaded, so none of this has a lock or an
// atomic.
//
//   Task<Result<Value>> load(Key key) {
//     auto row = co_await origin.load(key);
//     ...
//     co_return value;
//   }
//
// Rules (they keep g++ 12's coroutine defects away, GCC PR 95599, 99576 and relatives):
//   - an awaited expression has no braced aggregate temporaries: name arguments first, then await;
//   - coroutines take parameters by value or by pointer, never by reference to a temporary;
//   - a capturing lambda is never itself a coroutine.
// See docs/decisions/0001-async-idiom.md.
#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/executor.h"

namespace candor {

template <class T>
class Task;

namespace detail {

struct TaskPromiseBase {
  std::coroutine_handle<> continuation;

  struct FinalAwaiter {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> self) const noexcept {
      auto next = self.promise().continuation;
      return next ? next : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };
  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }
  // Exceptions do not cross our interfaces: one that reaches a task's edge is a defect.
  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
};

template <class T>
struct TaskPromise : TaskPromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& v) {
    value.emplace(std::forward<U>(v));
  }
  T take() { return std::move(*value); }
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object();
  void return_void() {}
  void take() {}
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, {});
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  struct Awaiter {
    Handle handle;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) noexcept {
      handle.promise().continuation = awaiting;
      return handle;
    }
    T await_resume() { return handle.promise().take(); }
  };
  Awaiter operator co_await() && noexcept { return Awaiter{handle_}; }
  Awaiter operator co_await() & noexcept { return Awaiter{handle_}; }

 private:
  Handle handle_;
};

namespace detail {
template <class T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}

struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    [[noreturn]] void unhandled_exception() { std::terminate(); }
  };
};
inline Detached run_detached(Task<void> task) { co_await task; }
template <class T, class Done>
Detached run_detached_with(Task<T> task, Done done) {
  T value = co_await task;
  done(std::move(value));
}
}  // namespace detail

// Starts `task` now, on the calling thread, and lets it run to its end on its own.
inline void spawn(Task<void> task) { detail::run_detached(std::move(task)); }

// As spawn(), and calls `done` with the result.
template <class T, class Done>
void spawn(Task<T> task, Done done) {
  detail::run_detached_with(std::move(task), std::move(done));
}

// A value that will be set once; awaited by at most one task. Copyable handle; the first set() wins and says
// so, which makes "answer or timeout" a race without cancellation. Single-threaded, like everything here.
//
// The waiter resumes inside set(): callers treat set() as a call that may run anything, and make it last.
template <class T>
class OneShot {
 public:
  OneShot() : state_(std::make_shared<State>()) {}

  // False if it was set before. Resumes the waiter, if there is one, before it returns.
  bool set(T value) const {
    auto state = state_;
    if (state->value || state->taken) return false;
    state->value.emplace(std::move(value));
    if (auto waiter = std::exchange(state->waiter, {})) waiter.resume();
    return true;
  }
  [[nodiscard]] bool is_set() const { return state_->value.has_value() || state_->taken; }

  struct Awaiter {
    OneShot shot;
    [[nodiscard]] bool await_ready() const noexcept { return shot.state_->value.has_value(); }
    void await_suspend(std::coroutine_handle<> awaiting) const noexcept {
      CANDOR_ASSERT(!shot.state_->waiter);
      shot.state_->waiter = awaiting;
    }
    T await_resume() const {
      shot.state_->taken = true;
      T value = std::move(*shot.state_->value);
      shot.state_->value.reset();
      return value;
    }
  };
  Awaiter operator co_await() const { return Awaiter{*this}; }

 private:
  struct State {
    std::optional<T> value;
    std::coroutine_handle<> waiter;
    bool taken = false;
  };
  std::shared_ptr<State> state_;
};

// Awaits `duration` on `executor`.
struct SleepAwaiter {
  Executor* executor;
  Duration duration;
  [[nodiscard]] bool await_ready() const noexcept { return duration <= Duration::zero(); }
  void await_suspend(std::coroutine_handle<> awaiting) const {
    executor->schedule(executor->now() + duration, [awaiting] { awaiting.resume(); });
  }
  void await_resume() const noexcept {}
};
[[nodiscard]] inline SleepAwaiter sleep_for(Executor& executor, Duration duration) {
  return SleepAwaiter{&executor, duration};
}

}  // namespace candor
