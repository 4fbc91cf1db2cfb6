// SQLite as an origin: a blocking library behind a BlockingPool.
//
// Loads of one feature that wait together run as one job in one read transaction; writes that wait together
// share one transaction, so one flush to disk. One connection writes at a time, as SQLite allows; the others
// read.
//
// Invariant: jobs in flight <= max_concurrency, at most one of them a writer, each with a connection of its
// own.
#pragma once

#include <functional>
#include <memory>

#include "base/transport.h"
#include "origin/origin.h"
#include "origin/sql_desk.h"
#include "origin/sqlite_connection.h"

namespace candor {

class SqliteOrigin final : public Origin {
 public:
  // `pool` and `executor` outlive the origin.
  SqliteOrigin(SqliteFile file, SqlDesk::Options options, Executor& executor, BlockingPool& pool);
  ~SqliteOrigin() override;

  Result<std::unique_ptr<OriginFeature>> bind(OriginStatements statements) override;
  Task<Result<void>> prepare() override;
  // One read transaction for all that is asked in one turn, on a connection beside max_concurrency.
  Task<Result<OriginProbe>> probe(MonoTime deadline) override;
  void note_unheard(const std::vector<Unheard>& unheard) override;
  // On a connection of its own that only reads.
  Task<Result<std::vector<std::string>>> list_keys(std::string sql, std::size_t rows_max,
                                                   MonoTime deadline) override;
  // Called after each transaction of this process's own writes, whatever became of it: wakes the change feed.
  void on_written(std::function<void()> call);
  void protect(const OriginProtection& protection) override;
  [[nodiscard]] OriginStats stats() const override;
  [[nodiscard]] std::string describe() const override;

 private:
  class Desk;
  std::shared_ptr<Desk> desk_;
};

}  // namespace candor
