#include "origin/postgres_keys.h"

#include <fmt/format.h>

#include <utility>

namespace candor {
namespace {

// A statement with a sort of its own is not merged into the one around it, so that its order stays.
std::string limited(std::string_view sql, std::size_t rows_max) {
  while (!sql.empty() && (sql.back() == ';' || sql.back() == ' ' || sql.back() == '\n' || sql.back() == '\t'))
    sql.remove_suffix(1);
  return fmt::format("select * from (\n{}\n) as candor_warm limit {}", sql, rows_max);
}

std::vector<std::string> listed_keys(const PGresult* rows) {
  std::vector<std::string> keys;
  for (int row = 0; row < PQntuples(rows); ++row) {
    std::string key;
    bool has_null = false;
    for (int column = 0; column < PQnfields(rows); ++column) {
      has_null = has_null || PQgetisnull(rows, row, column) != 0;
      if (column > 0) key += ':';
      key.append(PQgetvalue(rows, row, column), static_cast<std::size_t>(PQgetlength(rows, row, column)));
    }
    if (!has_null) keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace

PostgresKeys::PostgresKeys(std::shared_ptr<const PostgresTarget> target, std::string sql,
                           std::size_t rows_max, Executor& executor)
    : target_(std::move(target)), sql_(limited(sql, rows_max)), executor_(executor) {}

void PostgresKeys::ask(Transport& transport, BlockingPool& pool, MonoTime deadline,
                       OneShot<Result<std::vector<std::string>>> done) {
  done_ = std::move(done);
  deadline_ = executor_.schedule(deadline, [self = shared_from_this()] {
    self->deadline_ = {};
    self->answer(fail(ErrorCode::kTimeout, "not done by the deadline"));
  });
  connection_ = std::make_shared<PostgresConnection>(target_, this, executor_, transport, pool);
  connection_->connect();
}

void PostgresKeys::close(const std::string& reason) { answer(fail(ErrorCode::kOriginDown, reason)); }

void PostgresKeys::on_ready(PostgresConnection& connection) {
  connection.ask(sql_, {}, [self = shared_from_this()](Result<const PGresult*> rows) {
    if (!rows) return self->answer(std::unexpected(rows.error()));
    self->answer(listed_keys(*rows));
  });
  connection.flush();
}

void PostgresKeys::on_lost(PostgresConnection&, const Error& reason, std::vector<PostgresJob>,
                           std::vector<PostgresJob>) {
  answer(std::unexpected(reason));
}

void PostgresKeys::answer(Result<std::vector<std::string>> keys) {
  if (done_.is_set()) return;
  const auto self = shared_from_this();  // the timer may be the last to hold us
  if (!keys) {
    keys = fail(keys.error().code,
                fmt::format("origin {}: the query of keys: {}", target_->origin, keys.error().message));
  }
  executor_.cancel(deadline_);
  // Not within its own call; its owner is kept until then.
  executor_.post([self] { self->connection_->close(); });
  done_.set(std::move(keys));
}

}  // namespace candor
