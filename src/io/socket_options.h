// What every TCP connection of ours has set.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "io/descriptor.h"

namespace candor {

// Not open when the process or the system has no descriptors left; errno says which.
[[nodiscard]] inline Descriptor make_tcp_socket(int family) {
  return Descriptor(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

inline void set_socket_option(int fd, int level, int name, int value) {
  (void)::setsockopt(fd, level, name, &value, sizeof value);
}

// No delay: we gather a turn's replies ourselves. Keepalive: a peer whose machine vanished is noticed after
// 60 + 3 * 10 seconds, so that its connection does not count against the limits for ever.
inline void set_tcp_options(int fd) {
  set_socket_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_socket_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_socket_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set_socket_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set_socket_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

}  // namespace candor
