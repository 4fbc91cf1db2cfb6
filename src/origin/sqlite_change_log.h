// The tables that `candor feed install` puts into a SQLite file, as loads, probes and the change feed know
// them.
//
//   candor_feed     one row: the format and the incarnation
//   candor_watches  one row for each (table, key columns) that is watched, and how many triggers it has
//   candor_changes  the log: seq, watch, key (null: any key of the watch), time
//
// Every seq is given out inside the transaction of its change, and SQLite has one writer: what a reader sees
// of the log is complete up to the highest seq.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "origin/sqlite_handle.h"
#include "version/change.h"

namespace candor {

// The highest seq ever given out, also when the log was trimmed since.
inline constexpr const char* kSqlitePositionQuery =
    "select seq from sqlite_sequence where name = 'candor_changes'";

// A proof reads at most so many rows of the log, about 1 ms; with more changes since a stamp the caller
// loads. So many confirmed rows are kept for it.
inline constexpr std::uint64_t kSqliteProofRows = 10'000;

// How candor_watches names a table and its key columns: lower case (SQLite's names have none), columns
// quoted. kConfiguration: another schema than main.
[[nodiscard]] Result<std::string> sqlite_watch_table(std::string_view table);
[[nodiscard]] std::string sqlite_watch_columns(const std::vector<std::string>& columns);

// The number of the watch if all its triggers are there, else 0. kRejected: there is no log at all.
[[nodiscard]] Result<std::int64_t> find_sqlite_watch(SqliteHandle& db, const std::string& table,
                                                     const std::string& columns);

}  // namespace candor
