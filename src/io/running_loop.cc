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
  std::promise<void> made;
  thread_ = std::thread([&, short_name = name.substr(0, kThreadNameMax)] {
    ::pthread_setname_np(::pthread_self(), short_name.c_str());
    loop_ = std::make_unique<Loop>(std::move(options));
    Loop* const loop = loop_.get();
    made.set_value();
    loop->run();
  });
  made.get_future().wait();
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
  loop_->post([&work, &done] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

}  // namespace candor
