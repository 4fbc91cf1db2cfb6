#include "origin/postgres_error.h"

namespace candor {

PostgresFailure classify_sqlstate(std::string_view sqlstate) {
  const auto is_class = [sqlstate](std::string_view prefix) { return sqlstate.starts_with(prefix); };
  // No code: the connection broke. 08: connection exception. 57P: shutdown, crash, not yet accepting. Both
  // can strike between a commit and its answer (a shutdown ends the wait for a synchronous standby after the
  // local commit).
  if (sqlstate.empty() || is_class("08") || is_class("57P")) {
    return {.code = ErrorCode::kOriginDown, .retry_load = true, .unknown_write = true};
  }
  // Serialization failure and deadlock: rolled back, and gone when tried again.
  if (sqlstate == "40001" || sqlstate == "40P01") return {.code = ErrorCode::kOriginDown, .retry_load = true};
  if (sqlstate == "40003") return {.code = ErrorCode::kTimeout, .retry_load = true, .unknown_write = true};
  // 57014: statement_timeout, or somebody cancelled it. 55P03: lock_timeout.
  if (sqlstate == "57014" || sqlstate == "55P03") return {.code = ErrorCode::kTimeout};
  // 26000: the statement is not there (a pooler gave us another backend, DISCARD ALL). 0A000 with a prepared
  // statement: "cached plan must not change result type", after an alter table.
  if (sqlstate == "26000" || sqlstate == "0A000") {
    return {.code = ErrorCode::kRejected, .retry_load = true, .stale_plan = true};
  }
  // 53100 disk full: the origin fails. Other 53: too many connections, out of memory, a limit.
  if (sqlstate == "53100") return {.code = ErrorCode::kOriginDown};
  if (is_class("53")) return {.code = ErrorCode::kOverloaded};
  // 58: system error (I/O), XX: internal error or corruption. 25006: a standby, or a read-only transaction.
  if (is_class("58") || is_class("XX")) return {.code = ErrorCode::kOriginDown};
  if (sqlstate == "25006") return {.code = ErrorCode::kReadOnly};
  // 28: who are you. 3D: no such database. No statement can succeed.
  if (is_class("28") || is_class("3D")) return {.code = ErrorCode::kOriginDown};
  return {.code = ErrorCode::kRejected};
}

}  // namespace candor
