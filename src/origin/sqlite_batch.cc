// SqliteConnection and write-behind batches: the position of the log moves in the transaction of its writes.
#include <fmt/format.h>

#include "origin/sqlite_connection.h"

namespace candor {
namespace {

constexpr const char* kMakeSqliteTable =
    "create table if not exists candor_write_behind(log_id text primary key, position integer not null)";

class Statement {
 public:
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  [[nodiscard]] sqlite3_stmt* get() const { return statement_; }

 private:
  sqlite3_stmt* statement_;
};

void bind_text(sqlite3_stmt* statement, int number, const std::string& text) {
  sqlite3_bind_text64(statement, number, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

WriteBatchOutcome failed(Error error) {
  WriteBatchOutcome outcome;
  outcome.error = std::move(error);
  return outcome;
}

}  // namespace

bool SqliteConnection::is_for_good(const Error& error) const {
  if (error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kLimit) return true;
  // A missing table or a syntax error says nothing of the row: somebody may be in the middle of a migration.
  const int primary = last_code_ & 0xff;
  return error.code == ErrorCode::kRejected && (primary == SQLITE_CONSTRAINT || primary == SQLITE_MISMATCH);
}

Result<std::optional<std::uint64_t>> SqliteConnection::find_position(const std::string& log_id) {
  auto compiled =
      compile("select position from candor_write_behind where log_id = ?1", "candor_write_behind");
  if (!compiled) return std::unexpected(compiled.error());
  const Statement statement(*compiled);
  bind_text(statement.get(), 1, log_id);
  const int code = sqlite3_step(statement.get());
  if (code == SQLITE_DONE) return std::nullopt;
  if (code != SQLITE_ROW) return std::unexpected(error_of(code, "candor_write_behind"));
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement.get(), 0));
}

Result<std::uint64_t> SqliteConnection::applied_position(const std::string& log_id) {
  auto found = find_position(log_id);
  if (found && *found) return **found;
  if (!found && found.error().code != ErrorCode::kRejected) return std::unexpected(found.error());
  if (!found) {
    if (auto made = execute(kMakeSqliteTable); !made) {
      made.error().message +=
          fmt::format("; write-behind keeps its position there: run \"{}\"", kMakeSqliteTable);
      return std::unexpected(made.error());
    }
  }
  auto compiled =
      compile("insert into candor_write_behind(log_id, position) values (?1, 0) on conflict do nothing",
              "candor_write_behind");
  if (!compiled) return std::unexpected(compiled.error());
  const Statement statement(*compiled);
  bind_text(statement.get(), 1, log_id);
  const int code = sqlite3_step(statement.get());
  if (code != SQLITE_DONE) return std::unexpected(error_of(code, "candor_write_behind"));
  return 0;
}

// False: it is not where it was expected.
Result<bool> SqliteConnection::move_position(const WriteBatch& batch) {
  auto compiled = compile("update candor_write_behind set position = ?3 where log_id = ?1 and position = ?2",
                          "candor_write_behind");
  if (!compiled) return std::unexpected(compiled.error());
  const Statement statement(*compiled);
  bind_text(statement.get(), 1, batch.log_id);
  sqlite3_bind_int64(statement.get(), 2, static_cast<std::int64_t>(batch.expected));
  sqlite3_bind_int64(statement.get(), 3, static_cast<std::int64_t>(batch.position));
  const int code = sqlite3_step(statement.get());
  if (code != SQLITE_DONE) return std::unexpected(error_of(code, "candor_write_behind"));
  return sqlite3_changes64(db_) == 1;
}

WriteBatchOutcome SqliteConnection::apply_begun(const WriteBatch& batch,
                                                const std::vector<SqlRequestPtr>& requests) {
  WriteBatchOutcome outcome;
  auto moved = move_position(batch);
  if (!moved) return failed(std::move(moved.error()));
  if (!*moved) {
    outcome.kind = WriteBatchOutcome::Kind::kMoved;
    return outcome;
  }
  for (std::size_t i = 0; i < requests.size(); ++i) {
    auto answer = write_one(*requests[i]);
    if (answer) {
      outcome.changes.push_back(answer->change);
      continue;
    }
    outcome.error = std::move(answer.error());
    if (is_for_good(outcome.error)) {
      outcome.kind = WriteBatchOutcome::Kind::kRefused;
      outcome.index = i;
    }
    return outcome;
  }
  if (auto committed = execute("commit"); !committed) {
    outcome.error = std::move(committed.error());
    // A deferred constraint: nobody says whose.
    if (is_for_good(outcome.error)) outcome.kind = WriteBatchOutcome::Kind::kRefused;
    return outcome;
  }
  outcome.kind = WriteBatchOutcome::Kind::kApplied;
  return outcome;
}

WriteBatchOutcome SqliteConnection::apply(const WriteBatch& batch,
                                          const std::vector<SqlRequestPtr>& requests) {
  if (auto begun = execute("begin immediate"); !begun) return failed(std::move(begun.error()));
  WriteBatchOutcome outcome = apply_begun(batch, requests);
  if (outcome.kind != WriteBatchOutcome::Kind::kApplied) roll_back();
  return outcome;
}

}  // namespace candor
