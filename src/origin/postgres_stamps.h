// What PostgreSQL is asked so that loads carry stamps, nodes know where it stands, and a copy can be
// confirmed. SQL texts and what their answers mean; pure.
#pragma once

#include <libpq-fe.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "origin/postgres_history.h"
#include "origin/sql_request.h"
#include "version/change.h"

namespace candor {

// `load` with the snapshot that it was read in: columns 0 (snapshot) and 1 (null: there was no row), then its
// own. At least one row. One statement, so one snapshot: nothing can come between.
[[nodiscard]] std::string stamped_sql(std::string_view load);
inline constexpr int kStampColumns = 2;

// Of the first row; unknown when it cannot be read.
[[nodiscard]] Stamp stamp_of_rows(const PGresult* rows);

// May what was loaded under this key be found by a change of its row? Only when the key is spelled as the
// database spells it: the change of row 7 names "7", and a copy under "007" would never hear of it.
[[nodiscard]] bool is_spelled_as_the_row(const SqlRequest& request, const SqlStatement& statement,
                                         const std::vector<Oid>& types);

// Where the server stands. Any role may ask. `slot_prefix` empty: the incarnation stays unknown.
//   next: a snapshot's upper end is behind the last transaction that *ended*; those that are under way above
//   it hold a lock on their own id, as soon as they have written anything.
[[nodiscard]] std::string probe_sql(std::string_view slot_prefix);
[[nodiscard]] Result<OriginProbe> read_probe(const PGresult* rows, std::string_view slot_prefix);
// The same answer as evidence of the history.
[[nodiscard]] Result<PostgresPlace> read_probe_place(const PGresult* rows);

// What a new connection is asked first: PostgresPlace. A standby may be asked too.
[[nodiscard]] std::string place_sql(std::string_view slot_prefix);
[[nodiscard]] Result<PostgresPlace> read_place(const PGresult* rows);

// The versions of the rows behind keys of a watched feature.
//   columns: snapshot, "the key is unique", the key's text (null: no row), xmin, timeline, slot
// One key column: $1 is the array of keys. Several: $1, $2, … are the columns of the first key, then of the
// next.
[[nodiscard]] std::string confirm_sql(const FeatureStatements& feature, std::size_t keys,
                                      std::string_view slot_prefix);

struct Confirmation {
  std::string key;
  HeldRow held;
};
// Nothing, when a key has too few parts.
[[nodiscard]] std::optional<std::vector<std::string>> confirm_parameters(
    const FeatureStatements& feature, const std::vector<Confirmation>& asked);
// By key: true only when nothing has changed for certain.
[[nodiscard]] std::vector<bool> read_confirmations(const PGresult* rows,
                                                   const std::vector<Confirmation>& asked,
                                                   std::string_view slot_prefix);

}  // namespace candor
