// A write-behind batch on its way through a PostgresConnection. Only for the files of PostgresConnection.
#pragma once

#include <memory>
#include <utility>

#include "origin/postgres_connection.h"

namespace candor {

struct PostgresConnection::BatchRun {
  std::shared_ptr<const SqlFeature> feature;
  std::size_t writes = 0;
  WriteBatchOutcome outcome;
  bool has_failed = false;
  BatchDone done;

  void fail_with(WriteBatchOutcome::Kind kind, std::size_t index, Error error) {
    if (has_failed) return;
    has_failed = true;
    outcome.kind = kind;
    outcome.index = index;
    outcome.error = std::move(error);
  }
  void finish() {
    if (auto told = std::exchange(done, {})) told(std::move(outcome));
  }
};

}  // namespace candor
