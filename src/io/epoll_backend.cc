// Readiness by epoll, level-triggered: one recv per ready socket and turn, so that no connection starves
// another, and no second recv only to hear EAGAIN.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "io/backend.h"
#include "io/descriptor.h"
#include "io/errors.h"
#include "io/readiness.h"
#include "io/wake_event.h"

namespace candor {
namespace {

// Events taken per turn. More ready sockets than this wait for the next turn, which does not sleep.
constexpr std::size_t kEventsPerTurn = 512;

// What epoll's user data points to.
class Target {
 public:
  virtual ~Target() = default;
  virtual void on_events(std::uint32_t events) = 0;
  std::uint32_t armed = 0;
  bool dead = false;  // freed when no event of this turn can point here any more
};

class EpollBackend;

struct EpollSocket final : Socket, Target {
  explicit EpollSocket(EpollBackend* backend_in) : backend(backend_in) {}
  void on_events(std::uint32_t events) override;
  EpollBackend* backend;
};

struct WatchTarget final : Target {
  void on_events(std::uint32_t events) override;
  int fd = -1;
  std::function<void(FdEvents)> on_ready;
};

class EpollBackend final : public Backend {
 public:
  EpollBackend();

  [[nodiscard]] std::string_view name() const override { return "epoll"; }
  [[nodiscard]] Socket* open(int fd, SocketOwner* owner) override;
  void set_reading(Socket& socket, bool reading) override;
  void flush(Socket& socket) override;
  void close(Socket& socket) override;
  [[nodiscard]] std::unique_ptr<FdWatch> watch(int fd, FdEvents events,
                                               std::function<void(FdEvents)> on_ready) override;
  void send_output() override;
  void poll(Duration timeout) override;
  void dispatch() override;
  void wake() override;

  void receive(EpollSocket& socket);
  void send_now(EpollSocket& socket);
  void arm(Target& target, int fd, std::uint32_t events) const;
  void bury(std::unique_ptr<Target> target);

 private:
  Descriptor epoll_;
  WakeEvent wake_{WakeEvent::Mode::kNonBlocking};
  std::array<epoll_event, kEventsPerTurn> events_{};
  std::size_t event_count_ = 0;
  std::vector<EpollSocket*> dirty_;
  std::vector<std::unique_ptr<Target>> graveyard_;
  std::vector<char> read_buffer_ = std::vector<char>(kReadBytes);
};

class EpollWatch final : public FdWatch {
 public:
  EpollWatch(EpollBackend* backend, std::unique_ptr<WatchTarget> target)
      : backend_(backend), target_(std::move(target)) {}
  ~EpollWatch() override {
    backend_->arm(*target_, target_->fd, 0);
    backend_->bury(std::move(target_));
  }
  void set_events(FdEvents events) override;

 private:
  EpollBackend* backend_;
  std::unique_ptr<WatchTarget> target_;
};

void EpollWatch::set_events(FdEvents events) { backend_->arm(*target_, target_->fd, readiness_bits(events)); }

void WatchTarget::on_events(std::uint32_t events) {
  if (const FdEvents ready = readiness_of(events, armed); ready != FdEvents::kNone) on_ready(ready);
}

void EpollSocket::on_events(std::uint32_t events) {
  const bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;
  if (events & EPOLLOUT) backend->send_now(*this);
  if (owner == nullptr) return;
  if (reading && (broken || (events & EPOLLIN))) {
    backend->receive(*this);
  } else if (broken) {
    // Not reading, and both directions are gone: no reply can arrive any more. Ending here also keeps a
    // paused connection from waking the loop for ever, for epoll always reports these two.
    owner->on_end("the connection was reset");
  }
}

EpollBackend::EpollBackend() : epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  CANDOR_ASSERT(epoll_.is_open() && wake_.is_open());
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  CANDOR_ASSERT(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.fd(), &event) == 0);
}

Socket* EpollBackend::open(int fd, SocketOwner* owner) {
  auto* socket = new EpollSocket(this);  // freed through bury()
  socket->fd = fd;
  socket->owner = owner;
  arm(*socket, fd, EPOLLIN);
  return socket;
}

void EpollBackend::set_reading(Socket& socket, bool reading) {
  auto& self = static_cast<EpollSocket&>(socket);
  self.reading = reading;
  arm(self, self.fd, reading ? self.armed | EPOLLIN : self.armed & ~static_cast<std::uint32_t>(EPOLLIN));
}

void EpollBackend::flush(Socket& socket) {
  if (socket.dirty) return;
  socket.dirty = true;
  dirty_.push_back(static_cast<EpollSocket*>(&socket));
}

void EpollBackend::close(Socket& socket) {
  auto& self = static_cast<EpollSocket&>(socket);
  self.owner = nullptr;
  if (!self.sending.empty() || !self.output.empty()) send_now(self);
  ::close(self.fd);  // leaves the epoll set by itself: nobody else holds this description
  self.fd = -1;
  bury(std::unique_ptr<Target>(&self));
}

std::unique_ptr<FdWatch> EpollBackend::watch(int fd, FdEvents events,
                                             std::function<void(FdEvents)> on_ready) {
  auto target = std::make_unique<WatchTarget>();
  target->fd = fd;
  target->on_ready = std::move(on_ready);
  arm(*target, fd, readiness_bits(events));
  return std::make_unique<EpollWatch>(this, std::move(target));
}

void EpollBackend::arm(Target& target, int fd, std::uint32_t events) const {
  if (events == target.armed) return;
  const int operation = target.armed == 0 ? EPOLL_CTL_ADD : (events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD);
  epoll_event event{.events = events, .data = {.ptr = &target}};
  // Fails only for a descriptor that its owner (a database library) has closed already: nothing left to
  // watch.
  (void)::epoll_ctl(epoll_.get(), operation, fd, &event);
  target.armed = events;
}

void EpollBackend::bury(std::unique_ptr<Target> target) {
  target->dead = true;
  graveyard_.push_back(std::move(target));
}

void EpollBackend::receive(EpollSocket& socket) {
  const ssize_t got = ::recv(socket.fd, read_buffer_.data(), read_buffer_.size(), 0);
  if (got > 0) {
    socket.owner->on_bytes({read_buffer_.data(), static_cast<std::size_t>(got)});
  } else if (got == 0) {
    socket.owner->on_end("the other side closed the connection");
  } else if (errno != EAGAIN && errno != EINTR) {
    socket.owner->on_end(error_text(errno));
  }
}

void EpollBackend::send_now(EpollSocket& socket) {
  while (true) {
    if (socket.sending.empty()) {
      if (socket.output.empty()) break;
      socket.sending.swap(socket.output);
    }
    const ssize_t put = ::send(socket.fd, socket.sending.data() + socket.sent,
                               socket.sending.size() - socket.sent, MSG_NOSIGNAL);
    if (put < 0) {
      if (errno == EINTR) continue;
      if (socket.owner == nullptr) return;
      if (errno != EAGAIN) return socket.owner->on_end(error_text(errno));
      socket.notify_when_sent = true;
      return arm(socket, socket.fd, socket.armed | EPOLLOUT);
    }
    socket.used = true;
    socket.sent += static_cast<std::size_t>(put);
    if (socket.sent == socket.sending.size()) {
      socket.sent = 0;
      recycle_output(socket.sending);
    }
  }
  if (socket.owner == nullptr) return;
  if (socket.armed & EPOLLOUT) arm(socket, socket.fd, socket.armed & ~static_cast<std::uint32_t>(EPOLLOUT));
  if (!socket.notify_when_sent) return;
  socket.notify_when_sent = false;
  socket.owner->on_sent();
}

void EpollBackend::send_output() {
  // By index: on_sent() and on_end() may append to other connections' output.
  for (std::size_t i = 0; i < dirty_.size(); ++i) {
    EpollSocket& socket = *dirty_[i];
    socket.dirty = false;
    if (socket.owner == nullptr) continue;
    // While EPOLLOUT is armed the kernel's buffer is full; trying again would only cost a system call.
    if (!(socket.armed & EPOLLOUT)) send_now(socket);
  }
  dirty_.clear();
  // Here nothing points at the closed ones any more: dispatch() is over, and `dirty_` is empty. Moved out
  // first, for a callback that dies may own another watch.
  const auto dead = std::exchange(graveyard_, {});
}

void EpollBackend::poll(Duration timeout) {
  timespec limit{};
  if (timeout != Duration::max()) {
    limit.tv_sec = timeout.count() / 1'000'000'000;
    limit.tv_nsec = timeout.count() % 1'000'000'000;
  }
  const int ready = ::epoll_pwait2(epoll_.get(), events_.data(), static_cast<int>(events_.size()),
                                   timeout == Duration::max() ? nullptr : &limit, nullptr);
  CANDOR_ASSERT(ready >= 0 || errno == EINTR);
  event_count_ = ready > 0 ? static_cast<std::size_t>(ready) : 0;
}

void EpollBackend::dispatch() {
  for (std::size_t i = 0; i < event_count_; ++i) {
    auto* target = static_cast<Target*>(events_[i].data.ptr);
    if (target == nullptr) {
      wake_.clear();
    } else if (!target->dead) {
      target->on_events(events_[i].events);
    }
  }
  event_count_ = 0;
}

void EpollBackend::wake() { wake_.wake(); }

}  // namespace

std::unique_ptr<Backend> make_epoll_backend() { return std::make_unique<EpollBackend>(); }

}  // namespace candor
