// A loop on a thread of its own.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "io/loop.h"

namespace candor {

class RunningLoop {
 public:
  // `name` is what `top -H` and debuggers show; the kernel keeps 15 characters.
  explicit RunningLoop(const std::string& name, LoopOptions options = {});
  // Stops and joins. Listeners of the loop must be destroyed between stop() and this.
  ~RunningLoop();
  RunningLoop(const RunningLoop&) = delete;
  RunningLoop& operator=(const RunningLoop&) = delete;

  [[nodiscard]] Loop& loop() { return *loop_; }
  // Ends the loop's run() and joins its thread; the loop stays, for what must be taken down with it.
  // Idempotent.
  void stop();
  // Runs `work` on the loop and waits for it. Not from the loop's own thread.
  void run_there(Work work);

 private:
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace candor
