// Signals as calls on a loop, where they may do anything, instead of as interrupts, where they may do
// nothing.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

#include "base/result.h"
#include "io/descriptor.h"
#include "io/loop.h"

namespace candor {

// Keeps these signals from the calling thread and from all that it starts later. Call it first in main(),
// before there are threads: a signal goes to any thread that does not block it, and would end the process
// there.
void block_signals(std::initializer_list<int> signals);

// Writing to a connection or pipe that is gone is an error to be handled where it happens, not a death.
void ignore_broken_pipes();

class SignalWatch {
 public:
  // `on_signal` runs on `loop`, once per signal received (several of one kind in a row may be one). The
  // signals must have been blocked by block_signals(). Make and destroy it on the loop's thread.
  [[nodiscard]] static Result<std::unique_ptr<SignalWatch>> open(Loop& loop,
                                                                 std::initializer_list<int> signals,
                                                                 std::function<void(int signal)> on_signal);

 private:
  SignalWatch(Descriptor descriptor, std::function<void(int)> on_signal)
      : descriptor_(std::move(descriptor)), on_signal_(std::move(on_signal)) {}
  void take();

  Descriptor descriptor_;
  std::function<void(int)> on_signal_;
  std::unique_ptr<FdWatch> watch_;
};

}  // namespace candor
