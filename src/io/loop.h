// An event loop: one thread, its sockets, timers and work. It is the real Executor and the real Transport.
//
// A turn: sleep until something is ready - refresh now() - what the kernel reported - timers that are due -
// posted work - at_end_of_turn work - send everything that was flushed. Replies of one turn therefore leave
// together.
//
// Invariants
//   - posted work runs in the order of post(); work posted while a turn runs its work waits for the next
//   turn,
//     so that work that posts itself cannot starve the sockets;
//   - work that throws is a defect and ends the process.
// Thread safety: post(), stop(), coarse_ms() and is_current() from any thread, all else on the loop's thread
// (before run(): the thread that made the loop).
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "base/transport.h"
#include "io/backend.h"
#include "io/clock.h"
#include "io/resolver.h"
#include "io/timers.h"
#include "io/tls.h"

namespace candor {

enum class LoopBackend : std::uint8_t {
  kAuto,  // what docs/decisions/0002-event-loop.md chose by measurement
  kEpoll,
  kUring,  // falls back to epoll, with a line in the log, when the kernel refuses
};

struct LoopOptions {
  LoopBackend backend = LoopBackend::kAuto;
  // For outgoing connections with Endpoint::tls; null: made on first use, verifies against the system's
  // store.
  std::shared_ptr<const TlsContext> client_tls;
};

class Loop final : public Executor, public Transport {
 public:
  explicit Loop(LoopOptions options = {});
  // Streams, watches and listeners of this loop must be gone. Work that has not run is dropped.
  ~Loop() override;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs turns on the calling thread until stop(). May be called again after it returned.
  void run();
  // Ends run() after the current turn.
  void stop();
  // After run() returned on another thread: this thread goes on, to take down what lives on the loop.
  void adopt_by_this_thread();
  // One turn that sleeps at most `sleep_max`. For tests and for programs with their own main loop.
  void turn(Duration sleep_max) noexcept;

  void post(Work work) override;
  void at_end_of_turn(Work work) override;
  TimerId schedule(MonoTime at, Work work) override;
  void cancel(TimerId timer) override;
  [[nodiscard]] MonoTime now() const override { return now_; }
  [[nodiscard]] bool is_current() const override {
    return thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  [[nodiscard]] std::unique_ptr<Stream> connect(const Endpoint& endpoint, StreamHandler* handler,
                                                Duration connect_timeout) override;
  [[nodiscard]] std::unique_ptr<FdWatch> watch(int fd, FdEvents events,
                                               std::function<void(FdEvents)> on_ready) override;
  [[nodiscard]] std::unique_ptr<FileWatch> watch_files(const std::vector<std::string>& paths,
                                                       std::function<void()> on_change) override;

  // now() in milliseconds, for other threads; as old as this loop's current turn or sleep.
  [[nodiscard]] const std::atomic<std::int64_t>& coarse_ms() const { return coarse_ms_; }
  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] std::string_view backend_name() const { return backend_->name(); }
  [[nodiscard]] const std::shared_ptr<ResolverHome>& resolver_home() const { return resolver_home_; }
  // The context for outgoing TLS; an error when it cannot be made.
  [[nodiscard]] Result<std::shared_ptr<const TlsContext>> client_tls();

 private:
  [[nodiscard]] Duration sleep_time(Duration sleep_max) const;
  void refresh_now();
  void take_inbox();
  void run_timers();
  void run_posted();
  void run_end_of_turn();

  LoopOptions options_;
  SystemClock clock_;
  MonoTime now_;
  Timers timers_;
  std::unique_ptr<Backend> backend_;
  std::vector<Work> posted_;
  std::vector<Work> end_of_turn_;
  std::shared_ptr<ResolverHome> resolver_home_;
  std::atomic<std::thread::id> thread_;

  // Shared with other threads, on lines of their own.
  alignas(64) std::atomic<std::int64_t> coarse_ms_{0};
  std::atomic<bool> stopping_{false};
  alignas(64) std::atomic<bool> sleeping_{false};
  std::atomic<bool> inbox_used_{false};
  Mutex inbox_mutex_;
  std::vector<Work> inbox_ CANDOR_GUARDED_BY(inbox_mutex_);
};

}  // namespace candor
