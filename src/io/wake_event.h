// What ends a loop's sleep from another thread: an eventfd.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "io/descriptor.h"

namespace candor {

class WakeEvent {
 public:
  // Blocking or not: io_uring waits by a read of its own, epoll by readiness.
  enum class Mode : std::uint8_t { kBlocking = 0, kNonBlocking = 1 };
  explicit WakeEvent(Mode mode)
      : event_(::eventfd(0, EFD_CLOEXEC | (mode == Mode::kNonBlocking ? EFD_NONBLOCK : 0))) {}

  [[nodiscard]] bool is_open() const { return event_.is_open(); }
  [[nodiscard]] int fd() const { return event_.get(); }
  // Any thread. A full counter means that waking is under way already.
  void wake() const {
    const std::uint64_t one = 1;
    (void)!::write(event_.get(), &one, sizeof one);
  }
  // Of a non-blocking one, after it reported readiness.
  void clear() const {
    std::uint64_t count = 0;
    (void)!::read(event_.get(), &count, sizeof count);
  }

 private:
  Descriptor event_;
};

}  // namespace candor
