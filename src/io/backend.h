// What a loop needs from the kernel, in one interface with two implementations: epoll (readiness) and
// io_uring (completions). Everything above this line, connections, TLS, listener, is the same for both.
//
// A turn is poll() - dispatch() - (the loop runs timers and work) - send_output(). All calls belong to the
// loop's thread, except wake().
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "base/transport.h"

namespace candor {

// Who a connected socket belongs to. Nothing is called after Backend::close() of that socket.
class SocketOwner {
 public:
  virtual ~SocketOwner() = default;
  virtual void on_bytes(std::string_view bytes) = 0;
  // The peer closed, or the connection failed. The owner calls Backend::close(), now or later; it may die in
  // this call.
  virtual void on_end(const std::string& reason) = 0;
  // Everything that was queued has left, after a send that could not complete at once, or after
  // `notify_when_sent` was set. The owner may close the socket, and die, in this call.
  virtual void on_sent() = 0;
};

// One connected socket. Output has two buffers: owners append to `output`; `sending` belongs to the kernel's
// side, so that its bytes stay in place while an asynchronous send is under way.
struct Socket {
  int fd = -1;
  SocketOwner* owner = nullptr;  // null: closed, waiting to be freed
  std::string output;
  std::string sending;
  std::size_t sent = 0;  // of `sending`
  bool reading = true;
  bool dirty = false;             // in the list of sockets that send_output() visits
  bool notify_when_sent = false;  // on_sent() is due when the buffers are empty
  bool used = false;              // sent something since the last trim()

  [[nodiscard]] std::size_t unsent() const { return output.size() + sending.size() - sent; }
};

class Backend {
 public:
  virtual ~Backend() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;

  // The thread that runs the loop from here on.
  virtual void enter_thread() {}

  // Takes over `fd` (connected, non-blocking) and begins to read. The Socket lives until close().
  [[nodiscard]] virtual Socket* open(int fd, SocketOwner* owner) = 0;
  virtual void set_reading(Socket& socket, bool reading) = 0;
  // Sends `output` in this turn's send_output().
  virtual void flush(Socket& socket) = 0;
  // Tries once, without waiting, to send what is queued, then closes.
  virtual void close(Socket& socket) = 0;

  [[nodiscard]] virtual std::unique_ptr<FdWatch> watch(int fd, FdEvents events,
                                                       std::function<void(FdEvents)> on_ready) = 0;

  // Sends what was flushed in this turn.
  virtual void send_output() = 0;
  // Sleeps until something is ready, wake() is called, or `timeout` has passed (zero: does not sleep;
  // Duration::max(): no limit). Runs no callbacks.
  virtual void poll(Duration timeout) = 0;
  // Runs the callbacks of what the last poll() found.
  virtual void dispatch() = 0;
  // Ends a poll() that sleeps, now or the next one. Any thread.
  virtual void wake() = 0;
};

[[nodiscard]] std::unique_ptr<Backend> make_epoll_backend();
// An error when this kernel, or its administrator, refuses io_uring.
[[nodiscard]] Result<std::unique_ptr<Backend>> make_uring_backend();

// Bytes that one read takes at most. Large enough for the biggest pipelines seen in one segment train, small
// enough to stay in the L2 cache of a core together with what the handler touches.
inline constexpr std::size_t kReadBytes = std::size_t{64} << 10;

// An output buffer that grew past this is given back as soon as it is empty: one large value must not hold
// its size in every connection that ever fetched it.
inline constexpr std::size_t kOutputKeepBytes = std::size_t{256} << 10;
// An output buffer above this is given back when the connection sent nothing between two trims.
inline constexpr std::size_t kOutputIdleBytes = std::size_t{4} << 10;

// Empties a buffer and gives memory back by the rule above.
inline void recycle_output(std::string& buffer) {
  if (buffer.capacity() > kOutputKeepBytes) {
    std::string().swap(buffer);
  } else {
    buffer.clear();
  }
}

// Called about once a second: what an idle connection keeps.
inline void trim_output(Socket& socket) {
  if (!socket.used && socket.unsent() == 0) {
    if (socket.output.capacity() > kOutputIdleBytes) std::string().swap(socket.output);
    if (socket.sending.capacity() > kOutputIdleBytes) {
      std::string().swap(socket.sending);
      socket.sent = 0;
    }
  }
  socket.used = false;
}

}  // namespace candor
