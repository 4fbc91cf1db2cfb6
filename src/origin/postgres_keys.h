// One query of keys, on a connection of its own: what takes seconds there holds up no load.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/task.h"
#include "origin/postgres_connection.h"

namespace candor {

class PostgresKeys final : public PostgresConnection::Owner,
                           public std::enable_shared_from_this<PostgresKeys> {
 public:
  PostgresKeys(std::shared_ptr<const PostgresTarget> target, std::string sql, std::size_t rows_max,
               Executor& executor);
  // Once. `done` is set by the deadline at the latest, and the connection is closed by then.
  void ask(Transport& transport, BlockingPool& pool, MonoTime deadline,
           OneShot<Result<std::vector<std::string>>> done);
  // Answers with an error, if there is no answer yet.
  void close(const std::string& reason);
  [[nodiscard]] bool is_done() const { return done_.is_set(); }

 private:
  void on_ready(PostgresConnection& connection) override;
  void on_done(PostgresConnection&, PostgresJob, PostgresOutcome) override {}
  void on_quiet(PostgresConnection&) override {}
  void on_lost(PostgresConnection& connection, const Error& reason, std::vector<PostgresJob> sent,
               std::vector<PostgresJob> unsent) override;
  void answer(Result<std::vector<std::string>> keys);

  std::shared_ptr<const PostgresTarget> target_;
  std::string sql_;
  Executor& executor_;
  std::shared_ptr<PostgresConnection> connection_;
  TimerId deadline_;
  OneShot<Result<std::vector<std::string>>> done_;
};

}  // namespace candor
