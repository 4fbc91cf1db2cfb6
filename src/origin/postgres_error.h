// What a PostgreSQL error code (SQLSTATE) means for us. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace candor {

struct PostgresFailure {
  ErrorCode code;
  bool retry_load = false;     // the same load, once more, may well succeed
  bool stale_plan = false;     // the prepared statement must be made again
  bool unknown_write = false;  // a write may have happened all the same
};

// `sqlstate` has five characters, or none when libpq itself failed.
[[nodiscard]] PostgresFailure classify_sqlstate(std::string_view sqlstate);

}  // namespace candor
