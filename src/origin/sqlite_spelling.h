// Is a key spelled as the change log spells the row that it finds? `profile:007` loads row 7, whose changes
// name `profile:7`: what was loaded under another spelling hears of no change, and may not be stamped.
//
// A column decides by two things what text finds a row: its affinity, which turns '007' into 7 and '7' into
// 7.0, and its collation, for which 'Ada' may equal 'ada'. Affinity is told from the text alone. What a
// collation equates is told from the row, in the snapshot of the load: it must be there, be spelled as the
// key, and a unique index must keep others from being equal to it later.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace candor {

enum class SqliteAffinity : std::uint8_t { kText, kInteger, kReal, kNumeric, kBlob };
// By SQLite's rules for declared types. Pure.
[[nodiscard]] SqliteAffinity sqlite_affinity(std::string_view declared_type);

enum class SqliteSpelling : std::uint8_t {
  kOwn,        // every row that it finds is spelled so
  kAnothers,   // a row that it finds is spelled otherwise
  kAskTheRow,  // the collation knows
};
// Of one column's text in a key. Pure.
[[nodiscard]] SqliteSpelling sqlite_spelling(SqliteAffinity affinity, std::string_view collation,
                                             std::string_view text);

// Inside the load's transaction. `parts`: of the key, one for each column. False whenever in doubt: the table
// is not there, or cannot be asked.
[[nodiscard]] bool is_spelled_as_its_row(sqlite3* db, const std::string& table,
                                         const std::vector<std::string>& columns,
                                         const std::vector<std::string_view>& parts);

}  // namespace candor
