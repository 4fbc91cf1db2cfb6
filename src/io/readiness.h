// FdEvents and the kernel's bits for them, the same for epoll and io_uring's poll.
#pragma once

#include <poll.h>
#include <sys/epoll.h>

#include <cstdint>

#include "base/transport.h"

namespace candor {

static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR && EPOLLHUP == POLLHUP);

[[nodiscard]] constexpr std::uint32_t readiness_bits(FdEvents events) {
  const auto asked = static_cast<unsigned>(events);
  std::uint32_t bits = 0;
  if (asked & static_cast<unsigned>(FdEvents::kRead)) bits |= POLLIN;
  if (asked & static_cast<unsigned>(FdEvents::kWrite)) bits |= POLLOUT;
  return bits;
}

// What of `wanted` the kernel's report answers. An error or a hang-up shows as readiness for whatever was
// asked: the owner's next call then meets it.
[[nodiscard]] constexpr FdEvents readiness_of(std::uint32_t reported, std::uint32_t wanted) {
  constexpr auto kBroken = static_cast<std::uint32_t>(POLLERR | POLLHUP | POLLNVAL);
  const std::uint32_t ready = (reported & kBroken) ? wanted : reported & wanted;
  unsigned events = 0;
  if (ready & POLLIN) events |= static_cast<unsigned>(FdEvents::kRead);
  if (ready & POLLOUT) events |= static_cast<unsigned>(FdEvents::kWrite);
  return static_cast<FdEvents>(events);
}

}  // namespace candor
