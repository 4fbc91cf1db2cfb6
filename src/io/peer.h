// Accepted connections of one listener on one loop: the real Peer, and the set that owns them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/acceptor.h"
#include "io/address.h"
#include "io/backend.h"
#include "io/descriptor.h"
#include "io/listener.h"
#include "io/tls.h"

namespace candor {

class Loop;
class PeerSet;

// What the peers of all loops of a listener share.
struct ListenerShared {
  ListenerOptions options;
  ConnectionFactory* factory = nullptr;
  ListenerStats stats;
};

// States: (handshake) -> open -> finishing (no more input; output leaves) -> lingering -> gone.
class TcpPeer final : public Peer, SocketOwner {
 public:
  TcpPeer(PeerSet* set, Descriptor socket, const SocketAddress& address);
  ~TcpPeer() override;

  // False: refused by the factory, or TLS could not begin. With TLS the handler is made after the handshake.
  [[nodiscard]] bool begin();
  void tick(MonoTime now);
  void request_drain();
  // The end: tells the handler. The set destroys the peer afterwards.
  void finish();

  [[nodiscard]] std::string& output() override { return tls_ ? plain_ : socket_->output; }
  void flush() override;
  [[nodiscard]] std::size_t unsent_bytes() const override { return plain_.size() + socket_->unsent(); }
  void pause_reading(bool paused) override;
  void close_after_flush() override;
  void abort(const char* reason) override;
  [[nodiscard]] Executor& executor() override;
  [[nodiscard]] std::string_view address() const override { return address_; }
  [[nodiscard]] std::uint64_t id() const override { return id_; }
  [[nodiscard]] bool is_tls() const override { return tls_ != nullptr; }

  std::size_t place = 0;  // in the set

 private:
  void on_bytes(std::string_view bytes) override;
  void on_end(const std::string& reason) override;
  void on_sent() override;
  [[nodiscard]] bool make_handler();
  void deliver(std::string_view bytes);
  void read_tls();
  void encrypt();
  void arm_drained();
  void linger();
  void end(std::string reason);
  [[nodiscard]] Backend& backend();

  PeerSet* set_;
  Socket* socket_;
  std::unique_ptr<ConnectionHandler> handler_;
  std::unique_ptr<TlsSession> tls_;
  std::string plain_;  // output before encryption
  std::string address_;
  std::uint64_t id_;
  MonoTime handshake_deadline_ = MonoTime::max();
  TimerId linger_timer_;
  TimerId resume_timer_;
  std::string end_reason_;
  bool paused_ = false;
  bool finishing_ = false;
  bool ended_ = false;
};

// Lives on its loop: all calls on the loop's thread, or when the loop does not run.
class PeerSet : public std::enable_shared_from_this<PeerSet> {
 public:
  PeerSet(Loop* loop, std::shared_ptr<ListenerShared> shared) : loop_(loop), shared_(std::move(shared)) {}
  ~PeerSet();

  void start_ticking();
  void adopt(Descriptor socket, const SocketAddress& address);
  void request_drain();
  void abort_all(const char* reason);
  // Ends and destroys `peer` in a later step of the loop, never inside a call of its handler.
  void end_later(TcpPeer* peer);

  [[nodiscard]] Loop& loop() { return *loop_; }
  [[nodiscard]] ListenerShared& shared() { return *shared_; }
  void close_now();

 private:
  void tick();
  void sweep();
  void destroy(TcpPeer* peer);

  Loop* loop_;
  std::shared_ptr<ListenerShared> shared_;
  std::vector<std::unique_ptr<TcpPeer>> peers_;
  std::vector<TcpPeer*> ended_;
  bool sweep_posted_ = false;
  bool draining_ = false;
};

}  // namespace candor
