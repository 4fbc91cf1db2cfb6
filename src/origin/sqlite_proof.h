// Answers probes and confirmations from the change log of a SQLite file. Blocking; one thread at a time.
//
// A proof is refused when a watched table lacks its triggers: its changes would go unseen, and "everything up
// to position P was applied" would be true and worth nothing. Features that are known to be unheard do not
// count: nothing is proven of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "origin/sqlite_change_log.h"
#include "origin/sqlite_handle.h"
#include "version/change.h"
#include "version/stamp.h"

namespace candor {

class SqliteProof {
 public:
  struct Watch {
    std::string table;
    std::vector<std::string> columns;
  };
  struct Question {
    std::vector<Watch> watches;      // all must have their triggers
    std::optional<std::string> key;  // confirm this key of the one watch; else only probe
    StampBound stamp;
    // Answers.
    OriginProbe probe;
    bool confirmed = false;
    std::optional<Error> failed;
  };

  explicit SqliteProof(std::string path) : path_(std::move(path)) {}

  // All in one read transaction. An error is everybody's.
  [[nodiscard]] Result<void> answer(const std::vector<Question*>& questions);

 private:
  [[nodiscard]] Result<void> open();
  [[nodiscard]] Result<void> answer_in_snapshot(const std::vector<Question*>& questions);
  [[nodiscard]] Result<OriginProbe> read_probe();
  [[nodiscard]] Result<std::int64_t> watch_number(const Watch& watch);
  // Changes came since its stamp: were they of its key?
  struct Doubt {
    Question* question = nullptr;
    std::int64_t watch = 0;
  };
  [[nodiscard]] Result<void> settle(const std::vector<Doubt>& doubts);

  std::string path_;
  std::optional<SqliteHandle> db_;
  Incarnation incarnation_;
  Position highest_;  // of this incarnation
};

}  // namespace candor
