// The triggers that write a SQLite table's changes into the change log. Pure: the table's shape in, SQL out.
//
//   insert, delete   the row's key
//   update           the old key, and the new one if it differs
//   replace          INSERT OR REPLACE and UPDATE OR REPLACE delete rows that stand in the way of any unique
//                    index, and SQLite fires no delete trigger for them (unless recursive_triggers is on). So
//                    a BEFORE trigger logs the keys of all rows that the new one collides with. It may log a
//                    row that stays after all (OR IGNORE): a reload, no lie.
//
// A null among the key columns: nothing is logged, for no key of Candor can name that row.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace candor {

struct SqliteTableShape {
  struct UniqueColumn {
    std::string name, collation;
  };
  std::string table;
  // Each unique index, and the primary key; those on expressions are left out (see the installer).
  std::vector<std::vector<UniqueColumn>> uniques;
};

struct SqliteTrigger {
  std::string name, sql;
};

[[nodiscard]] std::vector<SqliteTrigger> sqlite_triggers(std::int64_t watch, const SqliteTableShape& shape,
                                                         const std::vector<std::string>& key_columns);

// Makes the log's tables where they are missing.
[[nodiscard]] const char* sqlite_log_tables();

}  // namespace candor
