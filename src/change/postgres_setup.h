// What the PostgreSQL feed asks of a server before and while it reads: may it read changes, are the watched
// tables published, whose is the slot. SQL texts, and what their answers mean; the feed runs them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "change/feed.h"
#include "change/postgres_changes.h"
#include "change/postgres_session.h"

namespace candor {

struct PostgresNames {
  std::string slot_prefix;  // "candor_eu_shop"
  std::string publication;  // "candor_shop"
};

struct PostgresServerFacts {
  std::string problem;  // a person must act; empty: none
  Position position;    // the end of its log
  std::uint32_t timeline = 0;
  std::uint64_t next_xid = 0;
  bool unflushed = false;  // the log's end is not on disk yet, and so not sent
};
[[nodiscard]] std::string postgres_server_sql();
[[nodiscard]] PostgresServerFacts read_server_facts(const PostgresRows& rows, const PostgresNames& names);

struct PostgresSlot {
  std::string name;
  bool active = false;
  bool lost = false;  // the WAL that it needs is gone
  std::string pid;    // of the server's process that serves it
  Position confirmed;
  std::uint64_t lag_bytes = 0;
};
[[nodiscard]] std::string postgres_slots_sql(const PostgresNames& names);
[[nodiscard]] std::vector<PostgresSlot> read_slots(const PostgresRows& rows);

struct PostgresTablesFacts {
  std::string problem;  // no table at all can be watched; empty: some can
  std::vector<PostgresTable> tables;
  // Features whose tables cannot be watched; the others are read.
  std::vector<Unheard> unheard;
  // What must be run so that everything is published; empty: all is well.
  std::string publish_sql;
  bool publication_is_new = false;
  // Changes when what stands behind the watched names does (another table, other columns, other partitions),
  // when one of them leaves the publication, or cannot be watched any more.
  std::string fingerprint;
};
[[nodiscard]] std::string postgres_tables_sql(const PostgresNames& names, const std::vector<Watch>& watches);
[[nodiscard]] PostgresTablesFacts read_tables_facts(const PostgresRows& rows, const PostgresNames& names,
                                                    const std::vector<Watch>& watches);

}  // namespace candor
