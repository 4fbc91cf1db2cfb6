// One connection to a SQLite file. Blocking: every call but stop() belongs on a BlockingPool thread, and
// one thread at a time uses a connection.
#pragma once

#include <sqlite3.h>

#include <array>
#include <atomic>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "origin/sql_request.h"

namespace candor {

enum class SqliteMode : std::uint8_t {
  kReadWrite,        // the file must exist
  kReadWriteCreate,  // ?mode=rwc
  kReadOnly,         // ?mode=ro
};

struct SqliteFile {
  std::string origin;  // the origin's name, for messages
  std::string path;
  SqliteMode mode = SqliteMode::kReadWrite;
  // Reads the position that stamps loads and writes, inside their transaction: one row, one integer. Empty:
  // nothing is known, the stamp stays 0. The change log of the change feed gives its query here.
  std::string position_query;
};

// Parses `sqlite:PATH[?mode=ro|rw|rwc]`. The path is taken as it stands, relative to the working directory.
[[nodiscard]] Result<SqliteFile> parse_sqlite_url(std::string_view origin, std::string_view url);

class SqliteConnection {
 public:
  enum class Role : std::uint8_t { kReader, kWriter };

  SqliteConnection(SqliteFile file, Role role) : file_(std::move(file)), role_(role) {}
  ~SqliteConnection();
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  // Opens the file if it is not open, and again if the path names another file by now. `patience` bounds
  // every wait for a lock from now on.
  Result<void> open(Duration patience);
  // Compiles every statement of the feature.
  Result<void> check(const SqlFeature& feature);
  // Loads of one feature, in one read transaction.
  std::vector<Result<SqlAnswer>> load(const std::vector<SqlRequestPtr>& requests);
  // Writes, in one transaction as long as all goes well: what fails, fails alone.
  std::vector<Result<SqlAnswer>> write(const std::vector<SqlRequestPtr>& requests);

  // All of the batch and its position, in one transaction, or nothing.
  WriteBatchOutcome apply(const WriteBatch& batch, const std::vector<SqlRequestPtr>& requests);
  // Makes the table of positions and the log's row where they are missing.
  Result<std::uint64_t> applied_position(const std::string& log_id);

  // Any thread: what runs ends soon, with kTimeout, and what comes next does not begin. Not
  // sqlite3_interrupt(), which is forgotten when it arrives between two statements.
  void stop() { stopped_ = true; }
  // For the next job.
  void clear_stop() { stopped_ = false; }
  // Something is wrong with the file or the connection itself: use it no more.
  [[nodiscard]] bool is_broken() const { return broken_; }

 private:
  using Row = Result<SqlAnswer>;

  Result<sqlite3_stmt*> prepared(const SqlFeature& feature, SqlVerb verb);
  Result<sqlite3_stmt*> compile(const std::string& sql, std::string_view what);
  Result<void> settle();
  void close();
  [[nodiscard]] bool file_has_moved() const;
  Row load_one(const SqlRequest& request);
  [[nodiscard]] bool may_stamp(const SqlRequest& request);
  Row write_one(const SqlRequest& request);
  Row write_alone(const SqlRequest& request);
  Result<std::vector<Row>> write_together(const std::vector<SqlRequestPtr>& requests);
  Result<void> bind(sqlite3_stmt* statement, const SqlRequest& request);
  Result<ChangeId> read_position();
  Result<bool> move_position(const WriteBatch& batch);
  Result<std::optional<std::uint64_t>> find_position(const std::string& log_id);
  WriteBatchOutcome apply_begun(const WriteBatch& batch, const std::vector<SqlRequestPtr>& requests);
  // Would the same write fail again, whatever else happens? Of the last error.
  [[nodiscard]] bool is_for_good(const Error& error) const;
  Result<void> execute(const char* sql);
  void roll_back();
  [[nodiscard]] Error stopped() const;
  Error error_of(int code, std::string_view what);

  SqliteFile file_;
  Role role_;
  sqlite3* db_ = nullptr;
  std::vector<std::array<sqlite3_stmt*, 3>> statements_;  // by feature index and verb
  sqlite3_stmt* position_ = nullptr;
  std::atomic<bool> stopped_{false};
  bool broken_ = false;
  int last_code_ = 0;  // SQLite's, of the last error
};

}  // namespace candor
