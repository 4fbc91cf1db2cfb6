#include "change/sqlite_desk.h"

#include <fmt/format.h>

#include <utility>

namespace candor {
namespace {

// Only daemons use this file, for microseconds at a time.
constexpr Duration kDeskPatience = 200ms;
constexpr const char* kSchema =
    "pragma journal_mode = wal; pragma synchronous = normal;"
    "create table if not exists readers (reader text primary key, holder integer not null default 0, beat "
    "integer not null default 0, incarnation integer not null default 0, position integer not null default "
    "0, anchor integer not null default 0, seen integer not null default 0, shapes integer not null default "
    "0, owed text not null default '', break_id integer not null default 0) without rowid";
// Of files from before the column was there: what is added when the first is missing.
struct Widening {
  const char* missing;
  const char* sql;
};
constexpr Widening kWidenings[] = {
    {"owed",
     "alter table readers add column shapes integer not null default 0;"
     "alter table readers add column owed text not null default ''"},
    {"break_id", "alter table readers add column break_id integer not null default 0"},
};
constexpr int kForgetSeconds = 86'400;

}  // namespace

Result<SqliteDesk> SqliteDesk::open(const std::string& database, std::string reader, std::uint64_t holder) {
  auto db = SqliteHandle::open(database + "-candor", SqliteHandle::Mode::kCreate, kDeskPatience);
  if (!db) return std::unexpected(db.error());
  if (auto made = db->execute(kSchema); !made) return std::unexpected(made.error());
  for (const Widening& one : kWidenings) {
    const auto is_wide = db->number(
        fmt::format("select count(*) from pragma_table_info('readers') where name = '{}'", one.missing));
    if (!is_wide) return std::unexpected(is_wide.error());
    if (*is_wide != 0) continue;
    if (auto made = db->execute(one.sql); !made) return std::unexpected(made.error());
  }
  SqliteDesk desk(std::move(*db), std::move(reader), holder);
  auto row = desk.db_.query("insert or ignore into readers (reader) values (?1)");
  if (!row) return std::unexpected(row.error());
  if (auto done = row->bind(1, desk.reader_).step(); !done) return std::unexpected(done.error());
  return desk;
}

Result<bool> SqliteDesk::lead(MonoTime now) {
  if (db_.has_moved()) return fail(ErrorCode::kOriginDown, "the file of readers was removed");
  auto rows = db_.query("select holder, beat from readers where reader = ?1");
  if (!rows) return std::unexpected(rows.error());
  const auto found = rows->bind(1, reader_).step();
  if (!found) return std::unexpected(found.error());
  if (!*found) return fail(ErrorCode::kOriginDown, "this reader was forgotten");
  const std::int64_t holder = rows->integer(0), beat = rows->integer(1);
  rows = db_.query("select 1");  // ends the read
  if (holder != holder_ && holder != 0) {
    if (holder != seen_holder_ || beat != seen_beat_) {
      seen_holder_ = holder;
      seen_beat_ = beat;
      seen_at_ = now;
    }
    leading_ = false;
    if (now - seen_at_ < kSilence) return false;
  }
  auto taken = db_.query(
      "update readers set holder = ?1, beat = beat + 1, seen = cast(strftime('%s', 'now') as integer) where "
      "reader = ?2 and holder = ?3 and beat = ?4");
  if (!taken) return std::unexpected(taken.error());
  const auto done = taken->bind(1, holder_).bind(2, reader_).bind(3, holder).bind(4, beat).step();
  if (!done) return std::unexpected(done.error());
  leading_ = db_.changes() == 1;
  if (leading_) last_beat_ = now;
  return leading_;
}

Result<std::optional<SqliteDesk::Checkpoint>> SqliteDesk::checkpoint() {
  auto rows = db_.query(
      "select incarnation, position, anchor, shapes, owed, break_id from readers where reader = ?1");
  if (!rows) return std::unexpected(rows.error());
  const auto found = rows->bind(1, reader_).step();
  if (!found) return std::unexpected(found.error());
  if (!*found || rows->integer(0) == 0) return std::optional<Checkpoint>{};
  return Checkpoint{Incarnation{static_cast<std::uint64_t>(rows->integer(0))},
                    Position{static_cast<std::uint64_t>(rows->integer(1))},
                    static_cast<std::uint64_t>(rows->integer(2)),
                    static_cast<std::uint64_t>(rows->integer(3)),
                    std::string(rows->text(4)),
                    static_cast<std::uint64_t>(rows->integer(5))};
}

Result<void> SqliteDesk::save(const Checkpoint& checkpoint) {
  auto row = db_.query(
      "update readers set incarnation = ?1, position = ?2, anchor = ?3, shapes = ?6, owed = ?7, "
      "break_id = ?8 "
      "where reader = ?4 and holder = ?5");
  if (!row) return std::unexpected(row.error());
  row->bind(1, static_cast<std::int64_t>(checkpoint.incarnation.value))
      .bind(2, static_cast<std::int64_t>(checkpoint.position.value))
      .bind(3, static_cast<std::int64_t>(checkpoint.anchor))
      .bind(4, reader_)
      .bind(5, holder_)
      .bind(6, static_cast<std::int64_t>(checkpoint.shapes))
      .bind(7, checkpoint.owed)
      .bind(8, static_cast<std::int64_t>(checkpoint.break_id));
  const auto done = row->step();
  if (!done) return std::unexpected(done.error());
  return {};
}

void SqliteDesk::leave() {
  leading_ = false;
  auto row = db_.query("update readers set holder = 0 where reader = ?1 and holder = ?2");
  if (row) (void)row->bind(1, reader_).bind(2, holder_).step();
}

Result<Position> SqliteDesk::needed_by_all(Incarnation incarnation) {
  const auto forgotten = db_.execute(
      fmt::format("delete from readers where seen < cast(strftime('%s', 'now') as integer) - {} and seen > 0",
                  kForgetSeconds));
  if (!forgotten) return std::unexpected(forgotten.error());
  const auto lowest =
      db_.number(fmt::format("select coalesce(min(position), 0) from readers where incarnation = {}",
                             static_cast<std::int64_t>(incarnation.value)));
  if (!lowest) return std::unexpected(lowest.error());
  return Position{static_cast<std::uint64_t>(*lowest)};
}

}  // namespace candor
