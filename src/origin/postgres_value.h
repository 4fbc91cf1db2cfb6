// Between our bytes and libpq's: parameters with the type that the server inferred, and rows as values. Pure.
#pragma once

#include <libpq-fe.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "origin/sql_request.h"

namespace candor {

// Parameters in the three arrays that libpq wants. Views into the requests, which outlive the call.
struct PostgresParameters {
  std::vector<std::string> owned;  // texts that need their NUL terminator, or were composed
  std::vector<const char*> values;
  std::vector<int> lengths;
  std::vector<int> formats;
};

// `types` are the parameters' types as the server described them. Text and bytea travel in binary form, which
// for them is the bytes as they are; everything else as text, so that the server parses "42".
[[nodiscard]] Result<PostgresParameters> bind_parameters(const SqlRequest& request,
                                                         const SqlStatement& statement,
                                                         const std::vector<Oid>& types);

// The keys as one array literal, {"a","b\"c"}. Keys hold no NUL.
[[nodiscard]] std::string array_literal(const std::vector<SqlRequestPtr>& requests);

// Columns from `first_column` on: one as it is, several as a JSON object.
[[nodiscard]] std::optional<std::string> row_value(const PGresult* rows, int row, int first_column);

// True when each value of this type has one spelling only and `key` is it: a key that a query by value did
// not find by its text is then truly not there.
[[nodiscard]] bool has_one_spelling(Oid type, std::string_view key);

}  // namespace candor
