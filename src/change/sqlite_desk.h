// Who reads a SQLite change log, how far, and who leads: a small SQLite file beside the database,
// `<database>-candor`, that belongs to Candor alone. It is not in the database itself for three reasons: a
// confirmation must never wait for the user's writers nor make them wait; a restored backup must not restore
// the readers' positions with it (the difference is what shows the restore); and nothing is added to the
// user's schema.
//
// Leadership of one reader (a region): a row with a holder and a beat. Whoever leads raises the beat every
// kBeat; whoever stands by and sees no new beat for kSilence, by its own monotonic clock, takes the row over
// (compare-and-set). So a holder that dies is followed within kSilence, and so is one that is paused; when it
// wakes up it finds the row taken before it confirms anything, and what it handed out meanwhile is a
// duplicate. No clock is compared with another's.
//
// The file may be deleted at any time: readers then begin anew, with on_break. Blocking; one thread at a
// time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.h"
#include "origin/sqlite_handle.h"
#include "version/change.h"

namespace candor {

class SqliteDesk {
 public:
  static constexpr Duration kBeat = 500ms;
  static constexpr Duration kSilence = 3s;  // six beats: a busy disk delays one or two

  // How far a reader is: the row at `position` had this fingerprint. A log in which it has another, or is
  // gone, is not the log that was read.
  struct Checkpoint {
    Incarnation incarnation;
    Position position;
    std::uint64_t anchor = 0;  // 0: no row was there
    // Of the watched tables and their triggers, as they were: others now mean that changes may have been
    // missed. 0: not known.
    std::uint64_t shapes = 0;
    // A break that was noticed, and that the region may not have been told of; empty: none.
    std::string owed{};
    std::uint64_t break_id = 0;  // of the last break (FeedStatus); 0: none is known
  };

  [[nodiscard]] static Result<SqliteDesk> open(const std::string& database, std::string reader,
                                               std::uint64_t holder);

  // Leads, keeps leading, or stands by. Call it every kBeat.
  [[nodiscard]] Result<bool> lead(MonoTime now);
  // True while the last beat is younger than kSilence: nobody has taken over.
  [[nodiscard]] bool is_leading(MonoTime now) const { return leading_ && now - last_beat_ < kSilence; }
  [[nodiscard]] Result<std::optional<Checkpoint>> checkpoint();
  // Without effect when another one leads.
  [[nodiscard]] Result<void> save(const Checkpoint& checkpoint);
  // Others may lead at once.
  void leave();
  // The log below this is needed by no reader of this incarnation. Readers that were silent for a day are
  // forgotten.
  [[nodiscard]] Result<Position> needed_by_all(Incarnation incarnation);

 private:
  SqliteDesk(SqliteHandle db, std::string reader, std::uint64_t holder)
      : db_(std::move(db)), reader_(std::move(reader)), holder_(static_cast<std::int64_t>(holder >> 1)) {}

  SqliteHandle db_;
  std::string reader_;
  std::int64_t holder_;
  bool leading_ = false;
  MonoTime last_beat_;
  // Of the other one, while standing by.
  std::int64_t seen_holder_ = 0, seen_beat_ = -1;
  MonoTime seen_at_;
};

}  // namespace candor
