#include "io/running_loop.h"

#include <pthread.h>

#include <future>
#include <utility>

#include "base/assert.h"

namespace candor {
namespace {
constexpr std::size_t kThreadNameMax = 15;
}

RunningLoop::RunningLoop(const std::string& name, LoopOptions options) {
  // Made on its own thread, so that no other ever is its owner; this one waits until it runs there.
  // The promise moves to that thread: it is still busy inside set_value() when the waiting ends.
  std::promise<void> made;
  auto is_made = made.get_future();
  thread_ = std::thread(
      [this, &options, made = std::move(made), short_name = name.substr(0, kThreadNameMax)]() mutable {
        ::pthread_setname_np(::pthread_self(), short_name.c_str());
        loop_ = std::make_unique<Loop>(std::move(options));
        Loop* const loop = loop_.get();
        made.set_value();
        loop->run();
      });
  is_made.wait();
}

RunningLoop::~RunningLoop() { stop(); }

void RunningLoop::stop() {
  if (!thread_.joinable()) return;
  loop_->stop();
  thread_.join();
  loop_->adopt_by_this_thread();
}

void RunningLoop::run_there(Work work) {
  CANDOR_ASSERT(!loop_->is_current());
  std::promise<void> done;
  const auto is_done = done.get_future();
  loop_->post([&work, done = std::move(done)]() mutable {
    work();
    done.set_value();
  });
  is_done.wait();
}

}  // namespace candor
