// A check of many statements that is answered once. Only for the files of PostgresConnection.
#pragma once

#include <optional>
#include <utility>

#include "origin/postgres_connection.h"

namespace candor {

struct PostgresConnection::CheckRun {
  std::size_t pending = 0;
  std::optional<Error> error;
  Check done;

  void one_done(const Error* failed) {
    if (failed != nullptr && !error) error = *failed;
    if (--pending > 0 || !done) return;
    auto report = std::exchange(done, {});
    report(error ? Result<void>(std::unexpected(*error)) : Result<void>{});
  }
};

}  // namespace candor
