#include "tests/support/tcp_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "tests/support/process.h"

namespace candor::testing {
namespace {

using std::chrono::steady_clock;

void prepare(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

}  // namespace

TcpProxy::TcpProxy(std::uint16_t server_port, std::uint64_t seed) : server_port_(server_port), random_(seed) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  CANDOR_ASSERT(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  CANDOR_ASSERT(::listen(listener_, 128) == 0);
  CANDOR_ASSERT(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port_ = ntohs(address.sin_port);
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CANDOR_ASSERT(wake_ >= 0);
  thread_ = std::thread([this] { run(); });
}

TcpProxy::~TcpProxy() {
  stopping_ = true;
  ::eventfd_write(wake_, 1);
  thread_.join();
  close_all();
  ::close(listener_);
  ::close(wake_);
}

void TcpProxy::set(const Link& link) {
  {
    const std::lock_guard lock(mutex_);
    wanted_ = link;
  }
  ::eventfd_write(wake_, 1);
}

void TcpProxy::cut() {
  {
    const std::lock_guard lock(mutex_);
    cut_wanted_ = true;
  }
  ::eventfd_write(wake_, 1);
}

TcpProxy::Counts TcpProxy::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

// ---- the proxy's own thread ----

void TcpProxy::run() {
  while (!stopping_) turn();
}

void TcpProxy::turn() {
  take_orders();
  const Time now = steady_clock::now();
  Time wake = now + std::chrono::hours(1);
  polled_.clear();
  polled_.push_back({wake_, POLLIN, 0});
  polled_.push_back({listener_, POLLIN, 0});
  for (Connection& c : connections_) {
    watch(c.up, link_.hold_to_server, now, &wake);
    watch(c.down, link_.hold_to_client, now, &wake);
  }
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(wake - now).count();
  ::poll(polled_.data(), polled_.size(), static_cast<int>(std::max<long>(0, wait)));
  if (polled_[0].revents != 0) {
    eventfd_t ignored = 0;
    ::eventfd_read(wake_, &ignored);
    return;  // orders first
  }
  const Time later = steady_clock::now();
  for (Connection& c : connections_) {
    receive(c.up, later);
    receive(c.down, later);
    deliver(c, c.up, link_.hold_to_server, later);
    deliver(c, c.down, link_.hold_to_client, later);
  }
  connections_.remove_if([](Connection& c) {
    if (!c.dead && !(c.up.delivered && c.down.delivered)) return false;
    close_connection(c);
    return true;
  });
  if ((polled_[1].revents & POLLIN) != 0) accept_one();
}

void TcpProxy::take_orders() {
  bool cut = false;
  {
    const std::lock_guard lock(mutex_);
    link_ = wanted_;
    cut = std::exchange(cut_wanted_, false);
    if (cut) counts_.cut += connections_.size();
  }
  if (cut) close_all();
}

void TcpProxy::accept_one() {
  const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  int server = -1;
  if (!link_.refuse && connections_.size() < kConnectionsMax) {
    server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(server_port_);
    if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      ::close(server);
      server = -1;
    }
  }
  const std::lock_guard lock(mutex_);
  if (server < 0) {
    ++counts_.refused;
    ::close(client);
    return;
  }
  ++counts_.accepted;
  prepare(client);
  prepare(server);
  Connection& c = connections_.emplace_back();
  c.client = c.up.from = c.down.to = client;
  c.server = c.up.to = c.down.from = server;
}

void TcpProxy::watch(Pipe& pipe, bool held, Time now, Time* wake) {
  if (!pipe.ended && pipe.queued < kOnTheWayMax) polled_.push_back({pipe.from, POLLIN, 0});
  if (held || pipe.delivered) return;
  if (pipe.chunks.empty()) {
    if (pipe.ended) *wake = now;  // the end itself is to be passed on
  } else if (pipe.chunks.front().due > now) {
    *wake = std::min(*wake, pipe.chunks.front().due);
  } else {
    polled_.push_back({pipe.to, POLLOUT, 0});
  }
}

bool TcpProxy::is_ready(int fd, short events) const {
  return std::ranges::any_of(polled_, [&](const pollfd& p) {
    return p.fd == fd && (p.events & events) != 0 && (p.revents & (events | POLLERR | POLLHUP)) != 0;
  });
}

void TcpProxy::receive(Pipe& pipe, Time now) {
  if (pipe.ended || !is_ready(pipe.from, POLLIN)) return;
  char bytes[16384];
  const ssize_t n = ::recv(pipe.from, bytes, sizeof bytes, 0);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
  if (n <= 0) {
    pipe.ended = true;
    return;
  }
  Time due = now + link_.delay;
  if (link_.jitter.count() > 0)
    due += std::chrono::microseconds(random_() % static_cast<std::uint64_t>(link_.jitter.count() * 1000));
  if (link_.bytes_per_second > 0) {
    const auto takes =
        std::chrono::nanoseconds(static_cast<std::uint64_t>(n) * 1'000'000'000 / link_.bytes_per_second);
    pipe.free_at = std::max(pipe.free_at, now) + takes;
    due = std::max(due, pipe.free_at);
  }
  if (!pipe.chunks.empty()) due = std::max(due, pipe.chunks.back().due);
  pipe.chunks.push_back({due, std::string(bytes, static_cast<std::size_t>(n)), 0, due > now});
  pipe.queued += static_cast<std::size_t>(n);
}

void TcpProxy::deliver(Connection& connection, Pipe& pipe, bool held, Time now) {
  if (held) {
    for (Chunk& chunk : pipe.chunks) chunk.late = true;
    return;
  }
  while (!pipe.delivered && !pipe.chunks.empty() && pipe.chunks.front().due <= now) {
    Chunk& chunk = pipe.chunks.front();
    const ssize_t n =
        ::send(pipe.to, chunk.bytes.data() + chunk.sent, chunk.bytes.size() - chunk.sent, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    if (n < 0) {  // the other end is gone: nothing can be passed on either way
      connection.dead = true;
      return;
    }
    chunk.sent += static_cast<std::size_t>(n);
    pipe.queued -= static_cast<std::size_t>(n);
    {
      const std::lock_guard lock(mutex_);
      counts_.bytes += static_cast<std::uint64_t>(n);
      if (chunk.late) counts_.bytes_late += static_cast<std::uint64_t>(n);
    }
    if (chunk.sent < chunk.bytes.size()) return;
    pipe.chunks.pop_front();
  }
  if (pipe.ended && pipe.chunks.empty() && !pipe.delivered) {
    ::shutdown(pipe.to, SHUT_WR);
    pipe.delivered = true;
  }
}

void TcpProxy::close_connection(Connection& connection) {
  ::close(connection.client);
  ::close(connection.server);
}

void TcpProxy::close_all() {
  for (Connection& c : connections_) close_connection(c);
  connections_.clear();
}

}  // namespace candor::testing
