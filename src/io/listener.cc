#include "io/listener.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "base/assert.h"
#include "io/address.h"
#include "io/descriptor.h"
#include "io/errors.h"
#include "io/loop.h"
#include "io/peer.h"
#include "io/socket_options.h"

namespace candor {
namespace {

// Connections taken in one turn: a flood of them must not keep those that are open waiting.
constexpr int kAcceptsPerTurn = 64;

// How long accepting stops when the process has no descriptors or the kernel no memory. The queue of the
// kernel stays ready meanwhile: trying at once again would only spin.
constexpr Duration kAcceptPause = 100ms;
// One line in the log per this time, however often accepting fails.
constexpr Duration kAcceptLogPeriod = 10s;

// How often a drain looks whether everything is closed.
constexpr Duration kDrainPoll = 5ms;
// After the deadline: how long the loops may take to close what was cut off.
constexpr Duration kCutOffPatience = 1s;

bool is_exhausted(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

Error bind_error(const ListenerOptions& options, const SocketAddress& address, int error) {
  std::string advice = "check " + options.setting;
  if (error == EADDRINUSE) {
    advice = fmt::format("another process listens there; stop it or change {}", options.setting);
  } else if (error == EACCES) {
    advice = fmt::format("ports below 1024 need a privilege; change {}", options.setting);
  } else if (error == EADDRNOTAVAIL) {
    advice = fmt::format("no interface of this machine has that address; change {}", options.setting);
  }
  return {ErrorCode::kConfiguration,
          fmt::format("{}: {}; {}", address.to_string(), error_text(error), advice)};
}

Result<Descriptor> listen_on(const ListenerOptions& options, const SocketAddress& address) {
  Descriptor socket = make_tcp_socket(address.family());
  if (!socket.is_open()) return std::unexpected(bind_error(options, address, errno));
  // So that a restart need not wait for connections of the last run to leave TIME_WAIT.
  set_socket_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  if (::bind(socket.get(), address.get(), address.length) != 0 ||
      ::listen(socket.get(), options.backlog) != 0) {
    return std::unexpected(bind_error(options, address, errno));
  }
  return socket;
}

SocketAddress bound_address(int fd) {
  SocketAddress address;
  address.length = sizeof address.storage;
  CANDOR_ASSERT(::getsockname(fd, address.get(), &address.length) == 0);
  return address;
}

}  // namespace

// The listening socket; lives on the first loop.
class AcceptingSocket : public std::enable_shared_from_this<AcceptingSocket> {
 public:
  AcceptingSocket(Descriptor socket, std::vector<std::shared_ptr<PeerSet>> sets,
                  std::shared_ptr<ListenerShared> shared)
      : socket_(std::move(socket)), sets_(std::move(sets)), shared_(std::move(shared)) {}

  void begin();
  void drain(Duration patience, std::move_only_function<void(DrainReport)> done);
  void close();
  [[nodiscard]] const ListenerStats& stats() const { return shared_->stats; }

 private:
  [[nodiscard]] Loop& loop() { return sets_.front()->loop(); }
  [[nodiscard]] std::size_t open_count() const { return shared_->stats.open.load(std::memory_order_acquire); }
  void accept_some();
  void hand_over(Descriptor socket, const SocketAddress& address);
  void refuse(const Descriptor& socket);
  void pause(int error);
  void check_drain();
  void cut_off();
  void later(Duration delay, void (AcceptingSocket::*step)());

  Descriptor socket_;
  std::vector<std::shared_ptr<PeerSet>> sets_;
  std::shared_ptr<ListenerShared> shared_;
  std::unique_ptr<FdWatch> watch_;
  std::size_t next_set_ = 0;
  MonoTime next_log_{};
  MonoTime drain_deadline_{};
  bool was_cut_off_ = false;
  DrainReport report_;
  std::move_only_function<void(DrainReport)> drained_;
};

void AcceptingSocket::begin() {
  if (!socket_.is_open()) return;  // closed before the loop came to it
  watch_ = loop().watch(socket_.get(), FdEvents::kRead, [this](FdEvents) { accept_some(); });
}

void AcceptingSocket::later(Duration delay, void (AcceptingSocket::*step)()) {
  loop().schedule(loop().now() + delay, [weak = weak_from_this(), step] {
    if (const auto self = weak.lock()) ((*self).*step)();
  });
}

void AcceptingSocket::accept_some() {
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    SocketAddress address;
    address.length = sizeof address.storage;
    Descriptor socket(::accept4(socket_.get(), address.get(), &address.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.is_open()) {
      hand_over(std::move(socket), address);
    } else if (is_exhausted(errno)) {
      return pause(errno);
    } else if (errno == EAGAIN) {
      return;
    }  // anything else happened to one connection before we took it: on to the next
  }
}

void AcceptingSocket::hand_over(Descriptor socket, const SocketAddress& address) {
  ListenerStats& stats = shared_->stats;
  if (open_count() >= shared_->options.connections_max) return refuse(socket);
  stats.accepted.fetch_add(1, std::memory_order_relaxed);
  stats.open.fetch_add(1, std::memory_order_relaxed);
  set_tcp_options(socket.get());
  const auto& set = sets_[next_set_];
  next_set_ = (next_set_ + 1) % sets_.size();
  if (set->loop().is_current()) return set->adopt(std::move(socket), address);
  set->loop().post(
      [set, socket = std::move(socket), address]() mutable { set->adopt(std::move(socket), address); });
}

void AcceptingSocket::refuse(const Descriptor& socket) {
  shared_->stats.refused.fetch_add(1, std::memory_order_relaxed);
  const std::string& text = shared_->options.refusal;
  if (!text.empty() && !shared_->options.tls) {
    (void)::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

void AcceptingSocket::pause(int error) {
  shared_->stats.accept_failures.fetch_add(1, std::memory_order_relaxed);
  watch_->set_events(FdEvents::kNone);
  later(kAcceptPause, &AcceptingSocket::begin);
  if (loop().now() < next_log_) return;
  next_log_ = loop().now() + kAcceptLogPeriod;
  spdlog::warn(
      "{}: no connections are accepted for now: {}; raise the limit of open files (ulimit -n) or lower the "
      "number of connections",
      bound_address(socket_.get()).to_string(), error_text(error));
}

void AcceptingSocket::close() {
  watch_.reset();
  socket_.reset();
}

void AcceptingSocket::drain(Duration patience, std::move_only_function<void(DrainReport)> done) {
  close();
  drained_ = std::move(done);
  drain_deadline_ = loop().now() + patience;
  for (const auto& set : sets_) {
    set->loop().post([set] { set->request_drain(); });
  }
  check_drain();
}

void AcceptingSocket::check_drain() {
  const bool patience_ended = loop().now() >= drain_deadline_;
  if (open_count() == 0 || (patience_ended && was_cut_off_)) {
    loop().post([done = std::move(drained_), report = report_]() mutable { done(report); });
    return;
  }
  if (patience_ended) cut_off();
  later(kDrainPoll, &AcceptingSocket::check_drain);
}

void AcceptingSocket::cut_off() {
  was_cut_off_ = true;
  report_.cut_off = open_count();
  drain_deadline_ = loop().now() + kCutOffPatience;
  for (const auto& set : sets_) {
    set->loop().post([set] { set->abort_all("the listener is closing"); });
  }
}

Result<std::unique_ptr<Listener>> Listener::open(ListenerOptions options, std::vector<Loop*> loops,
                                                 ConnectionFactory* factory) {
  CANDOR_ASSERT(!loops.empty() && factory != nullptr);
  const auto addresses = known_addresses(options.host, options.port);
  if (addresses.empty()) {
    return fail(ErrorCode::kConfiguration,
                fmt::format("{}: \"{}\" is not an address; use a numeric one, or localhost", options.setting,
                            options.host));
  }
  auto socket = listen_on(options, addresses.front());
  if (!socket) return std::unexpected(socket.error());

  std::unique_ptr<Listener> made(new Listener());
  const SocketAddress bound = bound_address(socket->get());
  made->port_ = bound.port();
  made->address_ = bound.to_string();
  made->loops_ = std::move(loops);
  auto shared = std::make_shared<ListenerShared>();
  shared->options = std::move(options);
  shared->factory = factory;
  for (Loop* loop : made->loops_) {
    const auto& set = made->sets_.emplace_back(std::make_shared<PeerSet>(loop, shared));
    loop->post([set] { set->start_ticking(); });
  }
  made->accepting_ = std::make_shared<AcceptingSocket>(std::move(*socket), made->sets_, std::move(shared));
  made->loops_.front()->post([accepting = made->accepting_] { accepting->begin(); });
  return made;
}

Listener::~Listener() {
  accepting_->close();
  for (const auto& set : sets_) set->close_now();
}

const ListenerStats& Listener::stats() const { return accepting_->stats(); }

void Listener::drain(Duration patience, std::move_only_function<void(DrainReport)> done) {
  loops_.front()->post([accepting = accepting_, patience, done = std::move(done)]() mutable {
    accepting->drain(patience, std::move(done));
  });
}

}  // namespace candor
