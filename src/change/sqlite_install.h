// Installs, checks and removes the change log's triggers in a SQLite file: what `candor feed` does. The
// daemon never calls it: it does not change anybody's schema unasked. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "change/feed.h"

namespace candor {

struct SqliteWatchState {
  std::string table, columns;
  bool installed = false;
  std::string problem;  // why it cannot be installed; empty: it is or can be
  std::vector<std::string> warnings;
};

struct SqliteFeedState {
  bool has_log = false;
  Incarnation incarnation;
  Position position;
  std::uint64_t log_rows = 0;
  std::vector<SqliteWatchState> watches;
};

// One transaction; what is there already stays. Triggers that are made anew are announced in the log as a
// change of every key: rows may have changed while there were none. Errors: views, virtual tables, tables or
// columns that do not exist; then nothing was done.
[[nodiscard]] Result<SqliteFeedState> install_sqlite_feed(const std::string& path,
                                                          const std::vector<Watch>& watches);
[[nodiscard]] Result<SqliteFeedState> sqlite_feed_state(const std::string& path,
                                                        const std::vector<Watch>& watches);
// Takes everything away. The only trace is SQLite's own, empty, sqlite_sequence table. Stop daemons first.
[[nodiscard]] Result<void> remove_sqlite_feed(const std::string& path);

}  // namespace candor
