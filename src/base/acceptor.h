// The seam for connections that others open to us. io drives it with real sockets, the simulator with its
// own. Everything here belongs to one loop and is called on its thread, unless a comment says otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/executor.h"

namespace candor {

// The transport's side of one accepted connection. Valid until the handler's on_closed() returns.
class Peer {
 public:
  virtual ~Peer() = default;
  // The output buffer. Append replies here, then call flush(); what several calls append in one turn leaves
  // in one write.
  [[nodiscard]] virtual std::string& output() = 0;
  virtual void flush() = 0;
  // Bytes appended and not yet taken by the kernel.
  [[nodiscard]] virtual std::size_t unsent_bytes() const = 0;
  // Stops or resumes reading: backpressure while too many requests of this connection are on their way.
  virtual void pause_reading(bool paused) = 0;
  // Sends what is in the buffer, then closes. No more on_data() after this.
  virtual void close_after_flush() = 0;
  // Closes now; what is unsent is lost. on_closed() follows in a later turn.
  virtual void abort(const char* reason) = 0;
  [[nodiscard]] virtual Executor& executor() = 0;
  [[nodiscard]] virtual std::string_view address() const = 0;  // "127.0.0.1:54321"
  [[nodiscard]] virtual std::uint64_t id() const = 0;          // unique in the process
  [[nodiscard]] virtual bool is_tls() const = 0;
};

class ConnectionHandler {
 public:
  virtual ~ConnectionHandler() = default;
  // Bytes as they arrived; the view ends with the call.
  virtual void on_data(std::string_view bytes) = 0;
  // unsent_bytes() fell back to zero after a flush that could not complete at once.
  virtual void on_drained() {}
  // About once a second: deadlines of header, command and idleness. `now` is the loop's clock.
  virtual void on_tick(MonoTime /*now*/) {}
  // The listener is draining: finish what is under way, then close_after_flush().
  virtual void on_drain_requested() {}
  // The connection is over; the handler is destroyed after this call. `reason` is for people and logs.
  virtual void on_closed(const std::string& reason) = 0;
};

class ConnectionFactory {
 public:
  virtual ~ConnectionFactory() = default;
  // Null: refused (too many connections); the transport closes it. May be called from several loops' threads.
  [[nodiscard]] virtual std::unique_ptr<ConnectionHandler> accept(Peer* peer) = 0;
};

}  // namespace candor
