// The RESP server: makes a Session for each accepted connection and holds what they share. It owns no socket
// and no thread; the listener (or the simulator) calls accept() on the loop that the connection belongs to.
//
// Lives longer than all its sessions and their loops' work.
// Thread safety: accept() from several loops; the rest as commented.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/acceptor.h"
#include "base/mutex.h"
#include "server/command.h"
#include "server/counters.h"
#include "server/feature_table.h"
#include "server/loop_state.h"
#include "server/options.h"
#include "server/pubsub_hub.h"
#include "server/slow_log.h"
#include "server/users.h"

namespace candor::server {

class RespServer final : public ConnectionFactory {
 public:
  // Errors: a user that cannot be, a plain feature that is not one.
  [[nodiscard]] static Result<std::unique_ptr<RespServer>> make(ServerContext context);
  ~RespServer() override;
  RespServer(const RespServer&) = delete;
  RespServer& operator=(const RespServer&) = delete;

  [[nodiscard]] std::unique_ptr<ConnectionHandler> accept(Peer* peer) override;

  // Const after construction, or thread-safe.
  [[nodiscard]] CacheCore& cache() const { return *context_.cache; }
  [[nodiscard]] const ServerContext& context() const { return context_; }
  [[nodiscard]] const ServerOptions& options() const { return context_.options; }
  [[nodiscard]] const CommandTable& commands() const { return commands_; }
  [[nodiscard]] const FeatureTable& features() const { return features_; }
  [[nodiscard]] const Users& users() const { return users_; }
  [[nodiscard]] ServerCounters& counters() { return counters_; }
  [[nodiscard]] PubSubHub& pubsub() { return pubsub_; }
  [[nodiscard]] SlowLog& slow_log() { return slow_log_; }
  [[nodiscard]] std::size_t connections() const { return connections_.load(std::memory_order_relaxed); }
  [[nodiscard]] MonoTime started_at() const { return started_at_; }
  // Forty hexadecimal digits, another at each start.
  [[nodiscard]] const std::string& run_id() const { return run_id_; }

  // One place of password_checks_max; false if none is free.
  [[nodiscard]] bool begin_password_check();
  void end_password_check() { password_checks_.fetch_sub(1, std::memory_order_relaxed); }

  // True at most once in kForeignLogPeriod: hostile traffic must not fill the disk with log lines.
  [[nodiscard]] bool may_log_foreign(MonoTime now);
  static constexpr Duration kForeignLogPeriod = 10s;

  // Runs `visit` for every session, each on its own loop, and then `done` on some loop.
  void visit_sessions(std::function<void(Session&)> visit, Work done);

  void session_closed() { connections_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  RespServer(ServerContext context, Users users);
  [[nodiscard]] std::shared_ptr<LoopState> loop_of(Executor* executor);

  const ServerContext context_;
  const CommandTable commands_;
  const FeatureTable features_;
  const Users users_;
  const MonoTime started_at_;
  std::string run_id_;
  ServerCounters counters_;
  PubSubHub pubsub_;
  SlowLog slow_log_;
  std::atomic<std::size_t> connections_{0};
  std::atomic<unsigned> password_checks_{0};
  std::atomic<std::int64_t> foreign_logged_ns_{INT64_MIN};

  Mutex mutex_;
  std::vector<std::shared_ptr<LoopState>> loops_ CANDOR_GUARDED_BY(mutex_);
};

}  // namespace candor::server
