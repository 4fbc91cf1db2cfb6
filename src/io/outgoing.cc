#include "io/outgoing.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "io/descriptor.h"
#include "io/errors.h"
#include "io/loop.h"
#include "io/resolver.h"
#include "io/socket_options.h"

namespace candor {
namespace {

// One outgoing connection: resolving -> connecting -> (handshake) -> open -> closed.
//
// The handler may destroy the stream inside any call to it. So a call to the handler is the last thing a
// function does, or is followed by a look at `alive`, which the function copied before.
class OutgoingStream final : public Stream, SocketOwner {
 public:
  OutgoingStream(Loop& loop, const Endpoint& endpoint, StreamHandler* handler, Duration timeout);
  ~OutgoingStream() override;

  void write(std::string_view bytes) override;
  [[nodiscard]] std::size_t unsent_bytes() const override;

 private:
  void begin();
  void connect_to(Result<std::vector<SocketAddress>> addresses);
  void connect_next();
  bool start_connect(const SocketAddress& address);
  void on_connect_ready();
  void on_tcp_connected();
  void on_open();
  void send_pending();
  void send_wire();
  void close(const std::string& reason);

  void on_bytes(std::string_view bytes) override;
  void on_end(const std::string& reason) override { close(reason); }
  void on_sent() override {}
  void on_tls_bytes(std::string_view bytes);

  // Work for later that must not run when the stream is gone.
  template <class F>
  auto if_alive(F run) {
    return [alive = alive_, run = std::move(run)](auto&&... arguments) mutable {
      if (*alive) run(std::forward<decltype(arguments)>(arguments)...);
    };
  }

  Loop& loop_;
  const Endpoint endpoint_;
  StreamHandler* handler_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::vector<SocketAddress> addresses_;
  std::size_t next_address_ = 0;
  std::string last_failure_ = "no address";
  TimerId deadline_;
  Descriptor connecting_;
  std::unique_ptr<FdWatch> connect_watch_;
  Socket* socket_ = nullptr;
  std::unique_ptr<TlsSession> tls_;
  std::string pending_;  // plaintext that cannot go to the socket yet
  bool open_ = false;
  bool closed_ = false;
  bool send_scheduled_ = false;
};

OutgoingStream::OutgoingStream(Loop& loop, const Endpoint& endpoint, StreamHandler* handler, Duration timeout)
    : loop_(loop), endpoint_(endpoint), handler_(handler) {
  deadline_ = loop_.schedule(loop_.now() + timeout, [this, timeout] {
    close(fmt::format("not connected within {} ms", timeout.count() / 1'000'000));
  });
  loop_.post(if_alive([this] { begin(); }));
}

OutgoingStream::~OutgoingStream() {
  *alive_ = false;
  loop_.cancel(deadline_);
  if (socket_ != nullptr) loop_.backend().close(*socket_);
}

void OutgoingStream::begin() {
  if (closed_) return;
  auto addresses = known_addresses(endpoint_.host, endpoint_.port);
  if (!addresses.empty()) return connect_to(std::move(addresses));
  resolve(loop_.resolver_home(), endpoint_.host, endpoint_.port,
          if_alive([this](Result<std::vector<SocketAddress>> found) { connect_to(std::move(found)); }));
}

void OutgoingStream::connect_to(Result<std::vector<SocketAddress>> addresses) {
  if (closed_) return;
  if (!addresses) return close(addresses.error().message);
  addresses_ = std::move(*addresses);
  connect_next();
}

void OutgoingStream::connect_next() {
  while (next_address_ < addresses_.size()) {
    if (start_connect(addresses_[next_address_++])) return;
  }
  close(last_failure_);
}

bool OutgoingStream::start_connect(const SocketAddress& address) {
  connecting_ = make_tcp_socket(address.family());
  if (!connecting_.is_open()) {
    last_failure_ = error_text(errno);
    return false;
  }
  set_tcp_options(connecting_.get());
  if (::connect(connecting_.get(), address.get(), address.length) != 0 && errno != EINPROGRESS) {
    last_failure_ = error_text(errno);
    return false;
  }
  // A connection that is there at once shows as writable at once: one way for both.
  connect_watch_ = loop_.watch(connecting_.get(), FdEvents::kWrite, [this](FdEvents) { on_connect_ready(); });
  return true;
}

void OutgoingStream::on_connect_ready() {
  connect_watch_.reset();
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(connecting_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error == 0) return on_tcp_connected();
  last_failure_ = error_text(error);
  connect_next();
}

void OutgoingStream::on_tcp_connected() {
  socket_ = loop_.backend().open(connecting_.release(), this);
  if (!endpoint_.tls) return on_open();
  auto context = loop_.client_tls();
  if (!context) return close(context.error().message);
  auto session = TlsSession::connect(*context, endpoint_.host);
  if (!session) return close(session.error().message);
  tls_ = std::move(*session);
  send_wire();
}

void OutgoingStream::on_open() {
  loop_.cancel(deadline_);
  open_ = true;
  send_pending();
  if (!closed_) handler_->on_connected();
}

void OutgoingStream::write(std::string_view bytes) {
  if (closed_) return;
  if (open_ && !tls_) {
    socket_->output.append(bytes);
    loop_.backend().flush(*socket_);
    return;
  }
  pending_.append(bytes);
  if (!open_ || send_scheduled_) return;
  // TLS: what one turn writes becomes one record, not many.
  send_scheduled_ = true;
  loop_.at_end_of_turn(if_alive([this] { send_pending(); }));
}

void OutgoingStream::send_pending() {
  send_scheduled_ = false;
  if (closed_ || pending_.empty()) return;
  if (tls_) {
    if (!tls_->write(pending_, socket_->output)) return close(tls_->error());
  } else {
    socket_->output.append(pending_);
  }
  recycle_output(pending_);
  loop_.backend().flush(*socket_);
}

void OutgoingStream::send_wire() {
  tls_->take_output(socket_->output);
  loop_.backend().flush(*socket_);
}

std::size_t OutgoingStream::unsent_bytes() const {
  return pending_.size() + (socket_ == nullptr ? 0 : socket_->unsent());
}

void OutgoingStream::on_bytes(std::string_view bytes) {
  if (tls_) return on_tls_bytes(bytes);
  handler_->on_data(bytes);
}

void OutgoingStream::on_tls_bytes(std::string_view bytes) {
  const auto alive = alive_;
  tls_->feed(bytes);
  std::array<char, std::size_t{16} << 10> plain;  // one TLS record
  while (true) {
    std::size_t got = 0;
    const auto status = tls_->read(plain, got);
    send_wire();
    if (status == TlsSession::Status::kFailed) return close(tls_->error());
    if (!open_ && tls_->is_established()) {
      on_open();
      if (!*alive || closed_) return;
    }
    if (status == TlsSession::Status::kMore) return;
    if (status == TlsSession::Status::kClosed) return close("the other side closed the connection");
    handler_->on_data({plain.data(), got});
    if (!*alive || closed_) return;
  }
}

void OutgoingStream::close(const std::string& reason) {
  if (closed_) return;
  closed_ = true;
  loop_.cancel(deadline_);
  connect_watch_.reset();
  connecting_.reset();
  if (socket_ != nullptr) loop_.backend().close(*std::exchange(socket_, nullptr));
  handler_->on_closed(endpoint_.to_string() + ": " + reason);
}

}  // namespace

std::unique_ptr<Stream> begin_connect(Loop& loop, const Endpoint& endpoint, StreamHandler* handler,
                                      Duration timeout) {
  return std::make_unique<OutgoingStream>(loop, endpoint, handler, timeout);
}

}  // namespace candor
