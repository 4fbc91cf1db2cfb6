#include "io/peer.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"
#include "io/loop.h"

namespace candor {
namespace {

// How long a connection that we closed may go on sending into the void. Closing a socket that holds unread
// input resets it, and a reset destroys the last reply (an error message, mostly) before the client has read
// it.
constexpr Duration kLinger = 250ms;

// How often handlers get on_tick(), and idle buffers are given back.
constexpr Duration kTickPeriod = 1s;

std::uint64_t next_peer_id() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

TcpPeer::TcpPeer(PeerSet* set, Descriptor socket, const SocketAddress& address)
    : set_(set), address_(address.to_string()), id_(next_peer_id()) {
  socket_ = backend().open(socket.release(), this);
}

TcpPeer::~TcpPeer() {
  set_->loop().cancel(linger_timer_);
  set_->loop().cancel(resume_timer_);
  backend().close(*socket_);
  // Release: whoever sees zero sees all that this connection did.
  set_->shared().stats.open.fetch_sub(1, std::memory_order_release);
}

Backend& TcpPeer::backend() { return set_->loop().backend(); }
Executor& TcpPeer::executor() { return set_->loop(); }

bool TcpPeer::begin() {
  const ListenerOptions& options = set_->shared().options;
  if (!options.tls) return make_handler();
  auto session = TlsSession::accept(options.tls);
  if (!session) return false;
  tls_ = std::move(*session);
  handshake_deadline_ = set_->loop().now() + options.tls_handshake_timeout;
  return true;
}

bool TcpPeer::make_handler() {
  handler_ = set_->shared().factory->accept(this);
  if (!handler_) set_->shared().stats.refused.fetch_add(1, std::memory_order_relaxed);
  return handler_ != nullptr;
}

void TcpPeer::tick(MonoTime now) {
  trim_output(*socket_);
  if (ended_) return;
  if (handler_ && !finishing_) handler_->on_tick(now);
  if (!handler_ && now >= handshake_deadline_) end("no TLS handshake in time");
}

void TcpPeer::request_drain() {
  if (ended_ || finishing_) return;
  if (handler_) return handler_->on_drain_requested();
  end("the listener is closing");
}

void TcpPeer::finish() {
  if (handler_) handler_->on_closed(end_reason_);
  handler_.reset();
}

void TcpPeer::end(std::string reason) {
  if (ended_) return;
  ended_ = true;
  end_reason_ = std::move(reason);
  set_->end_later(this);
}

void TcpPeer::flush() {
  if (ended_) return;
  if (tls_) encrypt();
  arm_drained();
  backend().flush(*socket_);
}

// Whoever pauses because output is waiting must hear when it has left, even if it leaves at once; and what
// waits may become output only during the pause.
void TcpPeer::arm_drained() {
  if (paused_ && unsent_bytes() > 0) socket_->notify_when_sent = true;
}

void TcpPeer::encrypt() {
  if (plain_.empty() || !tls_->is_established()) return;
  if (!tls_->write(plain_, socket_->output)) end(tls_->error());
  recycle_output(plain_);
}

void TcpPeer::pause_reading(bool paused) {
  if (paused_ == paused || ended_ || finishing_) return;
  paused_ = paused;
  backend().set_reading(*socket_, !paused);
  arm_drained();
  if (paused || !tls_) return;
  // What arrived before the pause sits in the session, and no socket event will mention it again.
  set_->loop().cancel(resume_timer_);
  resume_timer_ = set_->loop().schedule(set_->loop().now(), [this] { read_tls(); });
}

void TcpPeer::close_after_flush() {
  if (ended_ || finishing_) return;
  if (paused_) backend().set_reading(*socket_, true);  // to notice the other side's end
  finishing_ = true;
  if (tls_) {
    encrypt();
    tls_->close(socket_->output);
  }
  socket_->notify_when_sent = true;
  backend().flush(*socket_);
}

void TcpPeer::linger() {
  if (ended_ || linger_timer_ != TimerId{}) return;
  ::shutdown(socket_->fd, SHUT_WR);
  Loop& loop = set_->loop();
  linger_timer_ = loop.schedule(loop.now() + kLinger, [this] { end("closed"); });
}

void TcpPeer::abort(const char* reason) {
  if (ended_) return;
  // Lost on purpose: an abort must not deliver half a reply as if it were one.
  socket_->output.clear();
  end(reason);
}

void TcpPeer::on_bytes(std::string_view bytes) {
  if (ended_ || finishing_) return;
  if (!tls_) return deliver(bytes);
  tls_->feed(bytes);
  read_tls();
}

void TcpPeer::deliver(std::string_view bytes) {
  if (!ended_ && !finishing_) handler_->on_data(bytes);
}

void TcpPeer::read_tls() {
  std::array<char, std::size_t{16} << 10> plain;  // one TLS record
  while (!ended_ && !finishing_ && !paused_) {
    std::size_t got = 0;
    const auto status = tls_->read(plain, got);
    tls_->take_output(socket_->output);
    backend().flush(*socket_);
    if (status == TlsSession::Status::kFailed) {
      set_->shared().stats.tls_failures.fetch_add(1, std::memory_order_relaxed);
      return end(tls_->error());
    }
    if (!handler_ && tls_->is_established() && !make_handler()) return end("refused");
    if (status == TlsSession::Status::kClosed) return end("the other side closed the connection");
    if (status == TlsSession::Status::kMore) return;
    deliver({plain.data(), got});
  }
}

void TcpPeer::on_end(const std::string& reason) { end(reason); }

void TcpPeer::on_sent() {
  if (ended_) return;
  if (finishing_) return linger();
  if (handler_) handler_->on_drained();
}

PeerSet::~PeerSet() { close_now(); }

void PeerSet::start_ticking() {
  loop_->schedule(loop_->now() + kTickPeriod, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->tick();
    self->start_ticking();
  });
}

void PeerSet::tick() {
  // By index: nothing is destroyed in here (ends are swept later), and nothing is added.
  for (std::size_t i = 0; i < peers_.size(); ++i) peers_[i]->tick(loop_->now());
}

void PeerSet::adopt(Descriptor socket, const SocketAddress& address) {
  auto peer = std::make_unique<TcpPeer>(this, std::move(socket), address);
  if (!peer->begin()) return;
  peer->place = peers_.size();
  peers_.push_back(std::move(peer));
  if (draining_) peers_.back()->request_drain();
}

void PeerSet::request_drain() {
  draining_ = true;
  for (std::size_t i = 0; i < peers_.size(); ++i) peers_[i]->request_drain();
}

void PeerSet::abort_all(const char* reason) {
  for (std::size_t i = 0; i < peers_.size(); ++i) peers_[i]->abort(reason);
}

void PeerSet::end_later(TcpPeer* peer) {
  ended_.push_back(peer);
  if (std::exchange(sweep_posted_, true)) return;
  loop_->post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->sweep();
  });
}

void PeerSet::sweep() {
  sweep_posted_ = false;
  for (TcpPeer* peer : std::exchange(ended_, {})) destroy(peer);
}

void PeerSet::destroy(TcpPeer* peer) {
  peer->finish();
  CANDOR_ASSERT(peers_[peer->place].get() == peer);
  std::swap(peers_[peer->place], peers_.back());
  std::swap(peers_[peer->place]->place, peer->place);
  // Out of the list first: its destructor lowers the count that a drain waits for.
  const auto last = std::move(peers_.back());
  peers_.pop_back();
}

void PeerSet::close_now() {
  abort_all("the listener is closed");
  while (!ended_.empty()) sweep();
}

}  // namespace candor
