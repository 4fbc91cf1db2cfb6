// A thin hold on a SQLite database, for the change log's own reading and writing: open, execute, query.
// Blocking: belongs on a BlockingPool thread, one thread at a time.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace candor {

class SqliteQuery {
 public:
  explicit SqliteQuery(sqlite3_stmt* statement) : statement_(statement) {}

  SqliteQuery& bind(int number, std::int64_t value);
  // Borrowed until the next step() that returns false, or the query's end.
  SqliteQuery& bind(int number, std::string_view text);
  // True: a row. kTimeout: somebody holds a lock.
  [[nodiscard]] Result<bool> step();
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string_view text(int column) const;
  [[nodiscard]] bool is_null(int column) const;
  [[nodiscard]] int columns() const { return sqlite3_column_count(statement_.get()); }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

class SqliteHandle {
 public:
  enum class Mode : std::uint8_t { kReadOnly, kReadWrite, kCreate };

  // `patience` bounds each wait for somebody else's lock.
  [[nodiscard]] static Result<SqliteHandle> open(const std::string& path, Mode mode, Duration patience);

  [[nodiscard]] Result<void> execute(const std::string& sql);
  [[nodiscard]] Result<SqliteQuery> query(const std::string& sql);
  // The only column of the only row. kNotFound: no row.
  [[nodiscard]] Result<std::int64_t> number(const std::string& sql);
  void roll_back();
  // What runs ends soon once the flag is set, with an error; it outlives this.
  void stop_when(const std::atomic<bool>* flag);
  // The path names another file by now, or none.
  [[nodiscard]] bool has_moved() const;
  [[nodiscard]] std::int64_t changes() const { return sqlite3_changes64(db_.get()); }

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
  };
  explicit SqliteHandle(sqlite3* db) : db_(db) {}
  std::unique_ptr<sqlite3, Close> db_;
};

// "profile", with the double quotes that SQL wants around names.
[[nodiscard]] std::string quoted_sql_name(std::string_view name);

}  // namespace candor
