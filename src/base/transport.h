// The seam for the network, for connections that Candor opens (L2, Redis origins) and for database client
// libraries that bring their own sockets. io has the real one; the simulator has one with faults.
// Everything here belongs to one executor and is called on its thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace candor {

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  bool tls = false;
  [[nodiscard]] std::string to_string() const { return host + ":" + std::to_string(port); }
};

// What a stream tells its owner. No call arrives after on_closed(), nor after the stream was destroyed.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual void on_connected() = 0;
  virtual void on_data(std::string_view bytes) = 0;
  // The connection failed or ended, or never came to be. `reason` is for people.
  virtual void on_closed(const std::string& reason) = 0;
};

// One outgoing connection. Destroying it closes the socket.
class Stream {
 public:
  virtual ~Stream() = default;
  // Queues bytes; they leave when the socket takes them. Allowed before on_connected().
  virtual void write(std::string_view bytes) = 0;
  // Bytes queued and not yet taken by the kernel: the caller's backpressure.
  [[nodiscard]] virtual std::size_t unsent_bytes() const = 0;
};

enum class FdEvents : std::uint8_t { kNone = 0, kRead = 1, kWrite = 2, kReadWrite = 3 };

// A registration of someone else's descriptor (libpq's socket). Destroying it ends the watch.
class FdWatch {
 public:
  virtual ~FdWatch() = default;
  virtual void set_events(FdEvents events) = 0;
};

// Tells of changes to files until it is destroyed.
class FileWatch {
 public:
  virtual ~FileWatch() = default;
};

class Transport {
 public:
  virtual ~Transport() = default;
  // Begins to connect; the outcome arrives at the handler, never inside this call. `connect_timeout` bounds
  // it.
  [[nodiscard]] virtual std::unique_ptr<Stream> connect(const Endpoint& endpoint, StreamHandler* handler,
                                                        Duration connect_timeout) = 0;
  [[nodiscard]] virtual std::unique_ptr<FdWatch> watch(int fd, FdEvents events,
                                                       std::function<void(FdEvents ready)> on_ready) = 0;
  // Calls `on_change` soon after one of these files was written, made, replaced or removed, by any process.
  // Several changes may be one call, and a call may come without a change. A hint, never a promise (network
  // file systems tell nothing): whoever relies on it looks by itself now and then. Null: this world cannot
  // tell.
  [[nodiscard]] virtual std::unique_ptr<FileWatch> watch_files(const std::vector<std::string>& paths,
                                                               std::function<void()> on_change) {
    (void)paths, (void)on_change;
    return nullptr;
  }
};

// Runs blocking work (SQLite, file I/O) on other threads. `work` runs on a pool thread; the caller brings the
// result home with Executor::post(). The queue is bounded by the callers' own limits.
class BlockingPool {
 public:
  virtual ~BlockingPool() = default;
  virtual void run(std::move_only_function<void()> work) = 0;
};

}  // namespace candor
