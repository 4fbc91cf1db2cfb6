#include "origin/sqlite_handle.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace candor {
namespace {

Error error_of(sqlite3* db, int code) {
  const int primary = code & 0xff;
  const ErrorCode kind = primary == SQLITE_BUSY || primary == SQLITE_LOCKED ? ErrorCode::kTimeout
                         : primary == SQLITE_ERROR                          ? ErrorCode::kRejected
                         : primary == SQLITE_READONLY                       ? ErrorCode::kReadOnly
                                                                            : ErrorCode::kOriginDown;
  return Error{kind, db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code)};
}

}  // namespace

SqliteQuery& SqliteQuery::bind(int number, std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), number, value);
  return *this;
}

SqliteQuery& SqliteQuery::bind(int number, std::string_view text) {
  const char* data = text.data() != nullptr ? text.data() : "";
  sqlite3_bind_text64(statement_.get(), number, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Result<bool> SqliteQuery::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return std::unexpected(error_of(sqlite3_db_handle(statement_.get()), code));
}

std::int64_t SqliteQuery::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string_view SqliteQuery::text(int column) const {
  const auto* text = sqlite3_column_text(statement_.get(), column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

bool SqliteQuery::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

Result<SqliteHandle> SqliteHandle::open(const std::string& path, Mode mode, Duration patience) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  flags |= mode == Mode::kReadOnly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  if (mode == Mode::kCreate) flags |= SQLITE_OPEN_CREATE;
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
  SqliteHandle handle(db);
  if (code != SQLITE_OK) return std::unexpected(error_of(db, code));
  sqlite3_busy_timeout(db, static_cast<int>(patience / 1ms));
  // Opening reads nothing yet: a file that is no database shows itself here.
  if (auto looked = handle.number("pragma schema_version"); !looked) return std::unexpected(looked.error());
  return handle;
}

Result<void> SqliteHandle::execute(const std::string& sql) {
  const int code = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return {};
  return std::unexpected(error_of(db_.get(), code));
}

Result<SqliteQuery> SqliteHandle::query(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v2(db_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (code != SQLITE_OK) return std::unexpected(error_of(db_.get(), code));
  return SqliteQuery(statement);
}

Result<std::int64_t> SqliteHandle::number(const std::string& sql) {
  auto rows = query(sql);
  if (!rows) return std::unexpected(rows.error());
  const auto row = rows->step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return fail(ErrorCode::kNotFound, "no row");
  return rows->integer(0);
}

void SqliteHandle::roll_back() {
  if (sqlite3_get_autocommit(db_.get()) == 0) (void)execute("rollback");
}

void SqliteHandle::stop_when(const std::atomic<bool>* flag) {
  constexpr int kInstructions = 10'000;  // between two looks: well under a millisecond
  const auto look = [](void* of) { return static_cast<const std::atomic<bool>*>(of)->load() ? 1 : 0; };
  sqlite3_progress_handler(db_.get(), kInstructions, look, const_cast<std::atomic<bool>*>(flag));
}

bool SqliteHandle::has_moved() const {
  int moved = 0;
  return sqlite3_file_control(db_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

std::string quoted_sql_name(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

}  // namespace candor
