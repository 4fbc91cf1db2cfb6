// Reads, trims and watches over one SQLite change log: the blocking half of SqliteFeed. One turn() is a short
// visit on a pool thread: keep or take leadership, look whether somebody wrote, read a batch, save what was
// confirmed, trim a little.
//
// How a log that lies is noticed. The last row that was handed over (the anchor) is read again with every
// batch, and must have the same fingerprint (seq, watch, key, time): a restored backup, a log that was
// emptied or trimmed under us shows itself even when its seq has caught up since. Then, in one transaction,
// the file gets a new incarnation and its seq goes on above everything seen before.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "change/feed.h"
#include "change/sqlite_desk.h"
#include "origin/sqlite_connection.h"
#include "origin/sqlite_handle.h"

namespace candor {

struct SqliteLogOptions {
  SqliteFile file;
  // Who reads, for leadership and checkpoint: the region, where its nodes share L2 and stream; region and
  // node where they do not (`memory:`), for then each must hear of each change.
  std::string reader;
  std::vector<Watch> watches;
  std::string install_command = "candor feed install CONFIG";
  std::uint64_t holder = 0;  // random for each process
  // A batch: at 2 µs a row it takes a few milliseconds, and keys of 4 KiB each stay below 1 MiB.
  std::size_t rows_max = 2000;
  std::size_t bytes_max = std::size_t{512} << 10;
};

class SqliteLog {
 public:
  explicit SqliteLog(SqliteLogOptions options) : options_(std::move(options)) {}

  struct Visit {
    MonoTime now;
    bool may_read = false;  // the sink has taken the last batch
    Position confirmed;
    bool leave = false;
  };
  struct Break {
    Incarnation incarnation;
    Position from;
    std::string reason;
  };
  struct Found {
    FeedStatus::State state = FeedStatus::State::kConnecting;
    std::string problem;
    bool soon = false;  // somebody held a lock: look again in a moment
    std::optional<Break> broke;
    std::vector<Change> changes;
    Position up_to;     // 0: nothing was read
    bool more = false;  // the batch was full
    std::uint64_t lag_rows = 0;
    Incarnation incarnation;
    Position saved;  // confirmed, and stored
    // Watches of tables that nothing logs; nothing: not looked.
    std::optional<std::vector<Unheard>> unheard;
    std::uint64_t break_id = 0;
  };
  [[nodiscard]] Found turn(const Visit& visit);

 private:
  struct WatchPlace {
    std::int64_t id = 0;  // 0: triggers are missing
    std::string shape;    // the table's definition and place; empty: there is no such table
    // Its triggers were made while we read: what they announce, a change of every key, lies at or below this.
    Position heard_from{};
  };

  [[nodiscard]] Result<void> open();
  void close();
  [[nodiscard]] Result<bool> keep_leading(MonoTime now);
  [[nodiscard]] Result<void> read(const Visit& visit, Found* found);
  [[nodiscard]] Result<void> read_snapshot(Found* found);
  [[nodiscard]] Result<void> take_rows(Found* found);
  [[nodiscard]] Result<void> look_at_schema(Found* found);
  [[nodiscard]] Result<std::string> find_fault();
  [[nodiscard]] Result<void> begin_again(Found* found, const std::string& reason, bool is_new_history);
  [[nodiscard]] Result<std::uint64_t> fingerprint_at(Position position);
  [[nodiscard]] Result<void> save(Position confirmed, Found* found);
  [[nodiscard]] Result<void> trim(MonoTime now);
  void note_watches(Found* found) const;
  [[nodiscard]] std::string why_unheard(std::size_t watch) const;

  SqliteLogOptions options_;
  std::optional<SqliteHandle> db_;
  std::optional<SqliteDesk> desk_;
  MonoTime led_at_{INT64_MIN / 2}, trimmed_at_{INT64_MIN / 2};
  bool was_leading_ = false;
  bool positioned_ = false;  // last_, anchor_ and incarnation_ say where this leadership stands
  bool replaced_ = false;    // the path names another file than before
  std::int64_t data_version_ = -1, schema_version_ = -1;
  bool caught_up_ = false;
  Incarnation incarnation_;
  Position last_, saved_;
  std::uint64_t anchor_ = 0;
  std::uint64_t shapes_ = 0;       // of places_
  std::uint64_t kept_shapes_ = 0;  // beside the database; 0: none, or not known
  bool handed_over_ = false;       // anything, in this leadership
  std::string owed_;               // the last break's reason, until the region has it for certain
  Position owed_at_;  // a confirmation from here on says so; of what came before it, only one above
  bool owed_strictly_ = false;
  std::uint64_t break_id_ = 0;  // of the last break; kept beside the database, for whoever leads next
  std::uint64_t breaks_ = 0;    // drawn by this process
  std::vector<WatchPlace> places_;
  std::map<std::int64_t, std::vector<std::size_t>> by_id_;  // watch number to our watches
};

}  // namespace candor
