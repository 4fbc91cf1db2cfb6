// The write-behind log of one feature: segments on disk, appended to, and removed once the origin has what
// they hold.
//
// Invariants
//   - append() answers well only when every record of it is in the file and, with Fsync::kAlways, synced.
//   - After an append that failed the file ends where it ended before; where that cannot be made sure, the
//   log is broken and
//     takes nothing more: a record of which the writer was told that it failed must not be applied after a
//     restart.
//   - Positions of writes rise by one, and each start begins a new range of them: what a power cut took from
//   the end of the log
//     may be at the origin all the same, under a position that is then never given again. A segment is
//     removed only when every record in it is applied.
// Blocking; one thread at a time, on a BlockingPool.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/append_store.h"
#include "cache/write_behind_format.h"

namespace candor::write_behind {

class Log {
 public:
  enum class Fsync : std::uint8_t {
    kAlways,    // before an append is acknowledged
    kInterval,  // by sync(), now and then: a power cut loses what came since, a crash of the process nothing
  };
  struct Options {
    Fsync fsync = Fsync::kAlways;
    // A new file is begun beyond it: small enough that what is applied goes soon, large enough that files are
    // rare.
    std::uint64_t segment_bytes = std::uint64_t{16} << 20;
    // Of all segments together, at a start: above it something else has written here.
    std::uint64_t bytes_max = std::uint64_t{4} << 30;
    std::uint64_t dead_letters_max = 10'000;
    std::uint64_t dead_bytes_max = std::uint64_t{256} << 20;
  };

  Log(std::unique_ptr<AppendStore> store, Options options) : store_(std::move(store)), options_(options) {}

  // Starts are counted in the bits above; 2^23 of them fit into the origin's signed 64 bits.
  static constexpr int kPositionBits = 40;

  struct Recovered {
    LogId id;
    std::uint64_t last = 0;      // the highest position that was found
    std::uint64_t next = 1;      // position of the next write
    std::uint64_t applied = 0;   // the last hint: the origin has at least this
    std::vector<Record> writes;  // above `applied`, by position
    std::vector<DeadLetter> dead;
    // What is wrong with what was found: lines for people. Empty: nothing.
    std::vector<std::string> problems;
    std::uint64_t lost = 0;  // positions whose records are gone
  };
  // Reads what is there, cuts a torn tail, begins a new segment. `fresh`: the id, if there is no log yet.
  // Once, first.
  [[nodiscard]] Result<Recovered> recover(const LogId& fresh);

  [[nodiscard]] Result<void> append(const std::vector<Record>& records);
  [[nodiscard]] Result<void> sync();
  // The origin has everything up to `position`: leaves a hint, and removes segments.
  [[nodiscard]] Result<void> applied(std::uint64_t position);

  // Dead letters: a file beside the segments, each synced before anything goes on without its write.
  [[nodiscard]] Result<void> bury(const DeadLetter& letter);
  [[nodiscard]] Result<void> resolve(std::uint64_t position);

  // Why nothing is taken any more; nothing: it is not broken.
  [[nodiscard]] const std::optional<Error>& broken() const { return broken_; }
  [[nodiscard]] std::uint64_t bytes() const;
  [[nodiscard]] std::uint64_t syncs() const { return syncs_; }

  // What a log holds, for looking only: nothing is cut, begun or locked.
  [[nodiscard]] static Result<Recovered> look(AppendStore& store, const Options& options);

 private:
  // A segment that is not written to any more.
  struct Closed {
    std::uint64_t bytes = 0;
    std::uint64_t last = 0;  // position of its last write; 0: it has none
  };
  struct Found {
    Recovered recovered;
    std::optional<LogId> id;
    std::map<std::string, Closed> segments;
    std::string torn;  // the last segment, if its tail is torn
    std::uint64_t torn_at = 0;
    std::optional<std::uint64_t> dead_torn_at;
    std::vector<std::string> headless;  // begun, and nothing in them
    std::vector<std::string> damaged;
  };
  static Result<Found> read_all(AppendStore& store, const Options& options);
  static void take_segment(Found& found, const std::string& name, const SegmentScan& scan, bool is_last,
                           std::uint64_t bytes, const AppendStore& store);
  static void note_gaps(Found& found);
  static Result<void> read_dead(AppendStore& store, const Options& options, Found& found);
  Result<void> keep_damaged(const Found& found);
  Result<void> begin_segment(std::uint64_t first);
  Result<void> put(AppendFile& file, std::string_view bytes);
  Result<void> put_hint(std::uint64_t applied);
  Result<void> put_dead(const Record& record);

  std::unique_ptr<AppendStore> store_;
  Options options_;
  LogId id_;
  std::uint64_t next_ = 1;
  std::unique_ptr<AppendFile> segment_;
  std::uint64_t segment_first_ = 1;
  std::map<std::string, Closed> closed_;  // older segments, by name
  std::unique_ptr<AppendFile> dead_;
  std::uint64_t dead_open_ = 0;  // letters that are not resolved
  std::optional<Error> broken_;
  std::uint64_t syncs_ = 0;
};

}  // namespace candor::write_behind
