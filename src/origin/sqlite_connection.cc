#include "origin/sqlite_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/ids.h"
#include "origin/row_json.h"
#include "origin/sqlite_spelling.h"

namespace candor {
namespace {

// A row may hold the largest value and its key and companions; SQLite refuses longer ones before it builds
// them.
constexpr int kRowBytesMax = static_cast<int>(kValueBytesMax + (std::size_t{1} << 20));
// The longest single wait for somebody else's lock; deadlines are shorter as a rule.
constexpr Duration kLockWaitMax = 30s;

// Steps of SQLite's machine between two looks at stop(): about 100 microseconds of work, and too rare to
// measure.
constexpr int kStepsBetweenLooks = 10'000;

struct Failure {
  ErrorCode code;
  const char* advice;
  bool breaks_connection;
};

// What SQLite's primary result code means for us, and what the reader of the message can do.
Failure failure_of(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::kTimeout,
              "another writer holds the lock; nothing was written: retry, or shorten its transactions",
              false};
    case SQLITE_INTERRUPT:
      return {ErrorCode::kTimeout, "stopped at the deadline", false};
    case SQLITE_FULL:
      return {ErrorCode::kOriginDown,
              "the disk is full; nothing was written: free space on the database's file system", false};
    case SQLITE_READONLY:
      return {ErrorCode::kReadOnly, "give this process write permission on the file and its folder", false};
    case SQLITE_NOTADB:
      return {ErrorCode::kOriginDown, "the file is no SQLite database, or is encrypted: correct the url",
              true};
    case SQLITE_CORRUPT:
      return {ErrorCode::kOriginDown,
              "the file is damaged: check it with `pragma integrity_check`, restore a backup", true};
    case SQLITE_CANTOPEN:
      return {ErrorCode::kOriginDown, "check the path and the permissions of the file and its folder", true};
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {ErrorCode::kOriginDown, "check the permissions of the file and its folder", true};
    case SQLITE_IOERR:
      return {ErrorCode::kOriginDown, "reading or writing the file failed: check the disk and the system log",
              true};
    case SQLITE_NOMEM:
      return {ErrorCode::kOverloaded, "out of memory", false};
    case SQLITE_TOOBIG:
      return {ErrorCode::kLimit, "the row is larger than a value may be", false};
    case SQLITE_MISUSE:
      return {ErrorCode::kInternal, "a defect of Candor", true};
    default:
      return {ErrorCode::kRejected, "", false};
  }
}

// The row's value: one column as it is, several as a JSON object.
std::string_view column_text(sqlite3_stmt* row, int column) {
  const auto* text = sqlite3_column_text(row, column);
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(sqlite3_column_bytes(row, column))};
}
std::string_view column_bytes(sqlite3_stmt* row, int column) {
  const auto* bytes = sqlite3_column_blob(row, column);
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(row, column))};
}

std::optional<std::string> single_value(sqlite3_stmt* row) {
  switch (sqlite3_column_type(row, 0)) {
    case SQLITE_NULL:
      return std::nullopt;
    case SQLITE_BLOB:
      return std::string(column_bytes(row, 0));
    default:
      return std::string(column_text(row, 0));
  }
}

void add_column(RowJson& json, sqlite3_stmt* row, int column) {
  const std::string_view name = sqlite3_column_name(row, column);
  switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL:
      json.add_raw(name, "null");
      return;
    case SQLITE_INTEGER:
      json.add_raw(name, column_text(row, column));
      return;
    case SQLITE_FLOAT:
      // SQLite prints infinity as Inf, which is no JSON.
      if (std::isfinite(sqlite3_column_double(row, column))) {
        json.add_raw(name, column_text(row, column));
      } else {
        json.add_text(name, column_text(row, column));
      }
      return;
    case SQLITE_BLOB:
      json.add_bytes(name, column_bytes(row, column));
      return;
    default:
      json.add_text(name, column_text(row, column));
      return;
  }
}

std::optional<std::string> value_in_row(sqlite3_stmt* row) {
  const int columns = sqlite3_column_count(row);
  if (columns == 1) return single_value(row);
  RowJson json;
  for (int column = 0; column < columns; ++column) add_column(json, row, column);
  return json.take();
}

// Leaves a statement ready for its next use, and gives its locks and bound bytes back.
class StatementUse {
 public:
  explicit StatementUse(sqlite3_stmt* statement) : statement_(statement) {}
  ~StatementUse() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  StatementUse(const StatementUse&) = delete;
  StatementUse& operator=(const StatementUse&) = delete;

 private:
  sqlite3_stmt* statement_;
};

std::vector<Result<SqlAnswer>> all_fail(std::size_t count, const Error& error) {
  return std::vector<Result<SqlAnswer>>(count, std::unexpected(error));
}

}  // namespace

Result<SqliteFile> parse_sqlite_url(std::string_view origin, std::string_view url) {
  const auto problem = [&](std::string_view what) {
    return fail(ErrorCode::kConfiguration, fmt::format("origins.{}.url \"{}\" {}", origin, url, what));
  };
  constexpr std::string_view kScheme = "sqlite:";
  if (!url.starts_with(kScheme)) return problem("does not begin with sqlite:");
  SqliteFile file;
  file.origin = origin;
  std::string_view rest = url.substr(kScheme.size());
  const auto question = rest.find('?');
  file.path = rest.substr(0, question);
  if (file.path.empty()) return problem("names no file: write sqlite:PATH");
  if (file.path == ":memory:") {
    return problem("would be a new, empty database for every connection: name a file");
  }
  if (file.path.find('\0') != std::string::npos) return problem("holds a NUL byte");
  if (question == std::string_view::npos) return file;
  const auto query = rest.substr(question + 1);
  if (query == "mode=ro") {
    file.mode = SqliteMode::kReadOnly;
  } else if (query == "mode=rwc") {
    file.mode = SqliteMode::kReadWriteCreate;
  } else if (query != "mode=rw") {
    return problem("has an option that is not known: after `?` use mode=ro, mode=rw or mode=rwc");
  }
  return file;
}

SqliteConnection::~SqliteConnection() { close(); }

void SqliteConnection::close() {
  for (const auto& of_feature : statements_) {
    for (auto* statement : of_feature) sqlite3_finalize(statement);
  }
  statements_.clear();
  sqlite3_finalize(std::exchange(position_, nullptr));
  sqlite3_close(std::exchange(db_, nullptr));
}

// Somebody deleted, renamed or replaced the file: what is open is no longer what the path names, and a write
// to it would be acknowledged and lost. Costs one stat(2).
bool SqliteConnection::file_has_moved() const {
  int moved = 0;
  const int code = sqlite3_file_control(db_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  return code == SQLITE_OK && moved != 0;
}

Error SqliteConnection::error_of(int code, std::string_view what) {
  const auto failure = failure_of(code);
  last_code_ = code;
  broken_ = broken_ || failure.breaks_connection;
  const char* said = db_ != nullptr ? sqlite3_errmsg(db_) : sqlite3_errstr(code);
  std::string system;
  const int primary = code & 0xff;
  if (db_ != nullptr && (primary == SQLITE_CANTOPEN || primary == SQLITE_IOERR)) {
    if (const int number = sqlite3_system_errno(db_); number != 0)
      system = fmt::format(" ({})", std::strerror(number));
  }
  const char* advice = failure.advice;
  return Error{failure.code, fmt::format("sqlite origin {} ({}): {}: {}{}{}{}", file_.origin, file_.path,
                                         what, said, system, *advice != '\0' ? ": " : "", advice)};
}

Error SqliteConnection::stopped() const {
  return Error{ErrorCode::kTimeout,
               fmt::format("sqlite origin {} ({}): stopped at the deadline", file_.origin, file_.path)};
}

Result<void> SqliteConnection::open(Duration patience) {
  if (db_ != nullptr && file_has_moved()) close();
  if (db_ != nullptr) {
    sqlite3_busy_timeout(db_, static_cast<int>(std::clamp(patience, Duration{1ms}, kLockWaitMax) / 1ms));
    return {};
  }
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  switch (file_.mode) {
    case SqliteMode::kReadOnly:
      flags |= SQLITE_OPEN_READONLY;
      break;
    case SqliteMode::kReadWriteCreate:
      flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
      break;
    // Readers too: in WAL mode a reader that may not write cannot make the shared index file.
    case SqliteMode::kReadWrite:
      flags |= SQLITE_OPEN_READWRITE;
      break;
  }
  sqlite3* db = nullptr;
  const int code = sqlite3_open_v2(file_.path.c_str(), &db, flags, nullptr);
  db_ = db;
  if (code != SQLITE_OK) {
    auto error = error_of(code, "cannot open");
    if (file_.mode == SqliteMode::kReadWrite) error.message += "; to have the file made, add ?mode=rwc";
    broken_ = true;
    return std::unexpected(std::move(error));
  }
  sqlite3_limit(db, SQLITE_LIMIT_LENGTH, kRowBytesMax);
  sqlite3_busy_timeout(db, static_cast<int>(std::clamp(patience, Duration{1ms}, kLockWaitMax) / 1ms));
  sqlite3_progress_handler(
      db, kStepsBetweenLooks,
      [](void* stopped) { return static_cast<std::atomic<bool>*>(stopped)->load() ? 1 : 0; }, &stopped_);
  auto settled = settle();
  if (!settled) broken_ = true;
  return settled;
}

// Looks at the file (opening reads nothing yet), and prepares the connection for its role.
Result<void> SqliteConnection::settle() {
  if (auto looked = execute("pragma schema_version"); !looked) return looked;
  // Writers do not hold up readers then. It lasts in the file; where it cannot be (read-only folder, a file
  // system without shared memory) the old mode stays, and works.
  if (role_ == Role::kWriter && file_.mode != SqliteMode::kReadOnly)
    (void)execute("pragma journal_mode = wal");
  if (role_ == Role::kReader) return execute("pragma query_only = on");
  // What was answered must survive a power cut, in WAL mode too: FULL, not NORMAL.
  return execute("pragma synchronous = full");
}

Result<void> SqliteConnection::execute(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) return {};
  return std::unexpected(error_of(code, sql));
}

void SqliteConnection::roll_back() {
  // Some errors have rolled back by themselves.
  if (sqlite3_get_autocommit(db_) != 0) return;
  if (!execute("rollback")) broken_ = true;
}

Result<sqlite3_stmt*> SqliteConnection::compile(const std::string& sql, std::string_view what) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return std::unexpected(error_of(code, what));
  return statement;
}

Result<sqlite3_stmt*> SqliteConnection::prepared(const SqlFeature& feature, SqlVerb verb) {
  if (statements_.size() <= feature.index) statements_.resize(feature.index + 1u);
  auto& slot = statements_[feature.index][static_cast<std::size_t>(verb)];
  if (slot != nullptr) return slot;
  const auto role = verb == SqlVerb::kLoad    ? StatementRole::kLoad
                    : verb == SqlVerb::kStore ? StatementRole::kStore
                                              : StatementRole::kErase;
  const auto what = fmt::format("features.{}.{}", feature.name(), statement_role_name(role));
  auto statement = compile(feature.statement(verb).sql, what);
  if (!statement) return statement;
  if (verb == SqlVerb::kLoad &&
      (sqlite3_column_count(*statement) == 0 || sqlite3_stmt_readonly(*statement) == 0)) {
    sqlite3_finalize(*statement);
    return fail(ErrorCode::kRejected, what + " must be a query that returns a row and writes nothing");
  }
  slot = *statement;
  return slot;
}

Result<void> SqliteConnection::check(const SqlFeature& feature) {
  for (const auto verb : {SqlVerb::kLoad, SqlVerb::kStore, SqlVerb::kErase}) {
    if (!feature.statement(verb).exists()) continue;
    if (auto statement = prepared(feature, verb); !statement) return std::unexpected(statement.error());
  }
  return {};
}

Result<void> SqliteConnection::bind(sqlite3_stmt* statement, const SqlRequest& request) {
  const auto parts = split_key(request.feature->name(), request.key, request.feature->statements.key_parts);
  if (!parts) return std::unexpected(parts.error());
  int number = 0;
  for (const auto& parameter : request.feature->statement(request.verb).parameters) {
    const auto bytes = parameter_bytes(request, parameter, *parts);
    // Keys are text, so that the column's affinity turns "42" into 42. Values are text when they can be, else
    // a blob: a text with a NUL or broken UTF-8 in it would come back cut or changed from SQL functions.
    const bool as_text = parameter.kind != SqlParameter::Kind::kValue ||
                         (bytes.find('\0') == std::string_view::npos && is_utf8(bytes));
    const char* data = bytes.data() != nullptr ? bytes.data() : "";
    ++number;
    // The request outlives the statement's use: no copy.
    const int code =
        as_text ? sqlite3_bind_text64(statement, number, data, bytes.size(), SQLITE_STATIC, SQLITE_UTF8)
                : sqlite3_bind_blob64(statement, number, data, bytes.size(), SQLITE_STATIC);
    if (code != SQLITE_OK) return std::unexpected(error_of(code, "features." + request.feature->name()));
  }
  return {};
}

Result<SqlAnswer> SqliteConnection::load_one(const SqlRequest& request) {
  if (stopped_) return std::unexpected(stopped());
  auto statement = prepared(*request.feature, SqlVerb::kLoad);
  if (!statement) return std::unexpected(statement.error());
  const StatementUse use(*statement);
  if (auto bound = bind(*statement, request); !bound) return std::unexpected(bound.error());
  const int code = sqlite3_step(*statement);
  SqlAnswer answer;
  if (code == SQLITE_DONE) return answer;
  if (code != SQLITE_ROW) {
    return std::unexpected(error_of(code, "features." + request.feature->name() + ".load"));
  }
  answer.value = value_in_row(*statement);
  if (answer.value && answer.value->size() > kValueBytesMax) {
    return fail(ErrorCode::kLimit,
                fmt::format("features.{}.load: the row is larger than a value may be ({} bytes)",
                            request.feature->name(), kValueBytesMax));
  }
  return answer;
}

Result<ChangeId> SqliteConnection::read_position() {
  ChangeId position;
  if (file_.position_query.empty()) return position;
  if (position_ == nullptr) {
    auto statement = compile(file_.position_query, "reading the change log's position");
    // No log yet: nothing is known. It is asked again with the next job, for `candor feed install` may come.
    if (!statement && statement.error().code == ErrorCode::kRejected) return position;
    if (!statement) return std::unexpected(statement.error());
    position_ = *statement;
  }
  const StatementUse use(position_);
  const int code = sqlite3_step(position_);
  if (code != SQLITE_ROW && code != SQLITE_DONE) {
    return std::unexpected(error_of(code, "reading the change log's position"));
  }
  if (code == SQLITE_ROW) position.value = static_cast<std::uint64_t>(sqlite3_column_int64(position_, 0));
  return position;
}

// Nobody hears of a row's changes under another spelling of its key.
bool SqliteConnection::may_stamp(const SqlRequest& request) {
  const FeatureStatements& feature = request.feature->statements;
  if (!feature.is_watched()) return true;
  const auto columns = static_cast<std::uint8_t>(feature.watch_columns.size());
  const auto parts = split_key(request.feature->name(), request.key, columns);
  return parts && is_spelled_as_its_row(db_, feature.watch_table, feature.watch_columns, *parts);
}

std::vector<Result<SqlAnswer>> SqliteConnection::load(const std::vector<SqlRequestPtr>& requests) {
  // One transaction: all rows, and the position that stamps them, come from one snapshot.
  const bool in_transaction = requests.size() > 1 || !file_.position_query.empty();
  if (in_transaction) {
    if (auto begun = execute("begin"); !begun) return all_fail(requests.size(), begun.error());
  }
  const auto position = read_position();
  if (!position) {
    roll_back();
    return all_fail(requests.size(), position.error());
  }
  std::vector<Row> answers;
  answers.reserve(requests.size());
  for (const auto& request : requests) {
    const bool hopeless = !answers.empty() && !answers.back() &&
                          (broken_ || answers.back().error().code == ErrorCode::kTimeout);
    // A lock that did not come, or a broken file: the next key would wait for the same.
    if (hopeless) {
      answers.push_back(answers.back());
      continue;
    }
    answers.push_back(load_one(*request));
    if (answers.back() && position->value != 0 && may_stamp(*request))
      answers.back()->stamp.up_to = *position;
  }
  if (in_transaction) roll_back();  // nothing was written: ends the snapshot
  return answers;
}

Result<SqlAnswer> SqliteConnection::write_one(const SqlRequest& request) {
  if (stopped_) return std::unexpected(stopped());
  auto statement = prepared(*request.feature, request.verb);
  if (!statement) return std::unexpected(statement.error());
  const StatementUse use(*statement);
  if (auto bound = bind(*statement, request); !bound) return std::unexpected(bound.error());
  const auto before = sqlite3_total_changes64(db_);
  int code = SQLITE_ROW;
  while (code == SQLITE_ROW) code = sqlite3_step(*statement);  // `returning` makes rows
  if (code != SQLITE_DONE) {
    const auto role = request.verb == SqlVerb::kStore ? "store" : "erase";
    return std::unexpected(error_of(code, fmt::format("features.{}.{}", request.feature->name(), role)));
  }
  SqlAnswer answer;
  // total_changes counts triggers as well; changes() alone would repeat an older figure when nothing matched.
  const bool changed = sqlite3_total_changes64(db_) != before;
  answer.rows = changed ? static_cast<std::uint64_t>(sqlite3_changes64(db_)) : 0;
  const auto position = read_position();
  if (!position) return std::unexpected(position.error());
  answer.change = *position;
  return answer;
}

Result<SqlAnswer> SqliteConnection::write_alone(const SqlRequest& request) {
  if (auto begun = execute("begin immediate"); !begun) return std::unexpected(begun.error());
  auto answer = write_one(request);
  if (!answer) {
    roll_back();
    return answer;
  }
  if (auto committed = execute("commit"); !committed) {
    roll_back();
    return std::unexpected(committed.error());
  }
  return answer;
}

// One transaction and one flush to disk for all. An error anywhere rolls all of it back, and is the result.
Result<std::vector<Result<SqlAnswer>>> SqliteConnection::write_together(
    const std::vector<SqlRequestPtr>& requests) {
  if (auto begun = execute("begin immediate"); !begun) return std::unexpected(begun.error());
  std::vector<Row> answers;
  answers.reserve(requests.size());
  for (const auto& request : requests) {
    answers.push_back(write_one(*request));
    if (!answers.back()) {
      roll_back();
      return std::unexpected(answers.back().error());
    }
  }
  if (auto committed = execute("commit"); !committed) {
    roll_back();
    return std::unexpected(committed.error());
  }
  return answers;
}

std::vector<Result<SqlAnswer>> SqliteConnection::write(const std::vector<SqlRequestPtr>& requests) {
  if (requests.size() > 1) {
    auto together = write_together(requests);
    if (together) return std::move(*together);
    // Locked, out of time or broken: alone it would go no better. Nothing was committed.
    if (broken_ || together.error().code == ErrorCode::kTimeout)
      return all_fail(requests.size(), together.error());
  }
  std::vector<Row> answers;
  answers.reserve(requests.size());
  for (const auto& request : requests) answers.push_back(write_alone(*request));
  return answers;
}

}  // namespace candor
