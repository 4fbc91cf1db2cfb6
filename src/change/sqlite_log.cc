#include "change/sqlite_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "base/ids.h"
#include "base/random.h"
#include "origin/sqlite_change_log.h"

namespace candor {
namespace {

// Writers come first: what does not get its lock in this time looks again soon.
constexpr Duration kLogPatience = 5ms;
// A step of trimming deletes a range of rows in a transaction of about 2 ms, ten times a second at most.
constexpr std::uint64_t kTrimRows = 4000;
constexpr Duration kTrimPeriod = 100ms;
// Fewer rows than this are not worth a transaction in the user's file, for a while.
constexpr std::uint64_t kTrimWorthwhile = 1000;
constexpr Duration kTrimPatience = 30s;

std::uint64_t fingerprint(std::int64_t seq, std::int64_t watch, std::string_view key, std::int64_t at) {
  const auto word = [](std::int64_t n) { return static_cast<std::uint64_t>(n); };
  const std::uint64_t hash = hash_bytes(key, mix64(word(seq)) ^ mix64(word(watch) + 1) ^ mix64(word(at) + 2));
  return (hash >> 1) | 1;  // fits SQLite's integers; 0 means none
}

}  // namespace

Result<void> SqliteLog::open() {
  if (db_ && db_->has_moved()) {
    db_.reset();
    replaced_ = true;
  }
  if (!db_) {
    const auto mode = options_.file.mode == SqliteMode::kReadOnly ? SqliteHandle::Mode::kReadOnly
                                                                  : SqliteHandle::Mode::kReadWrite;
    auto db = SqliteHandle::open(options_.file.path, mode, kLogPatience);
    if (!db) return std::unexpected(db.error());
    // A trim that a power failure undoes is done again.
    (void)db->execute("pragma synchronous = normal");
    db_.emplace(std::move(*db));
    data_version_ = schema_version_ = -1;
  }
  if (!desk_) {
    auto desk = SqliteDesk::open(options_.file.path, options_.reader, options_.holder);
    if (!desk)
      return fail(desk.error().code, fmt::format("{}-candor, where readers keep their place: {}; Candor must "
                                                 "be able to write it",
                                                 options_.file.path, desk.error().message));
    desk_.emplace(std::move(*desk));
    led_at_ = MonoTime{INT64_MIN / 2};
  }
  return {};
}

void SqliteLog::close() {
  db_.reset();
  desk_.reset();
}

Result<bool> SqliteLog::keep_leading(MonoTime now) {
  if (now - led_at_ < SqliteDesk::kBeat && (was_leading_ ? desk_->is_leading(now) : true))
    return was_leading_;
  auto leads = desk_->lead(now);
  if (!leads) {
    if (leads.error().code == ErrorCode::kTimeout) return was_leading_ && desk_->is_leading(now);
    desk_.reset();
    return leads;
  }
  led_at_ = now;
  if (*leads != was_leading_) positioned_ = false;
  was_leading_ = *leads;
  return was_leading_;
}

SqliteLog::Found SqliteLog::turn(const Visit& visit) {
  Found found;
  const auto failed = [&](const Error& error) {
    if (error.code == ErrorCode::kTimeout) {
      found.soon = true;
      found.state = was_leading_ ? FeedStatus::State::kLeading : FeedStatus::State::kConnecting;
    } else {
      found.state = FeedStatus::State::kConnecting;
      found.problem = fmt::format("sqlite {}: {}", options_.file.path, error.message);
      db_.reset();
    }
    return std::move(found);
  };
  if (auto opened = open(); !opened) return failed(opened.error());
  if (visit.leave) {
    if (positioned_) (void)save(visit.confirmed, &found);
    desk_->leave();
    close();
    was_leading_ = positioned_ = false;
    found.state = FeedStatus::State::kOff;
    return found;
  }
  const auto leads = keep_leading(visit.now);
  if (!leads) return failed(leads.error());
  found.state = *leads ? FeedStatus::State::kLeading : FeedStatus::State::kStandby;
  if (!*leads) return found;
  if (auto done = read(visit, &found); !done) {
    db_->roll_back();
    found.changes.clear();
    found.up_to = Position{};
    found.broke.reset();
    return failed(done.error());
  }
  note_watches(&found);
  return found;
}

Result<void> SqliteLog::read(const Visit& visit, Found* found) {
  found->incarnation = incarnation_;
  found->saved = saved_;
  if (visit.may_read) {
    const auto version = db_->number("pragma data_version");
    if (!version) return std::unexpected(version.error());
    if (*version != data_version_ || !caught_up_ || !positioned_ || replaced_) {
      if (auto begun = db_->execute("begin"); !begun) return begun;
      auto done = read_snapshot(found);
      db_->roll_back();
      if (!done) {
        positioned_ = positioned_ && done.error().code == ErrorCode::kTimeout;
        return done;
      }
      data_version_ = *version;
    }
  }
  found->lag_rows = last_.value - std::min(saved_.value, last_.value);
  // What was confirmed so far was not confirmed by anybody who has heard of the break.
  if (found->broke) return {};
  if (auto done = save(visit.confirmed, found); !done && done.error().code != ErrorCode::kTimeout)
    return done;
  if (auto done = trim(visit.now); !done && done.error().code != ErrorCode::kTimeout) return done;
  return {};
}

Result<std::uint64_t> SqliteLog::fingerprint_at(Position position) {
  auto rows = db_->query("select watch, key, at from candor_changes where seq = ?1");
  if (!rows) return std::unexpected(rows.error());
  const auto seq = static_cast<std::int64_t>(position.value);
  const auto row = rows->bind(1, seq).step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return 0;
  return fingerprint(seq, rows->integer(0), rows->text(1), rows->integer(2));
}

// Why the log cannot be what was read before; empty: it can.
Result<std::string> SqliteLog::find_fault() {
  if (replaced_) return "the database file was replaced";
  const auto position = db_->number(kSqlitePositionQuery);
  if (!position) return std::unexpected(position.error());
  if (static_cast<std::uint64_t>(*position) < last_.value)
    return fmt::format("the change log stands at {} and stood at {}: the database was restored", *position,
                       last_.value);
  if (anchor_ == 0) return "";
  const auto now = fingerprint_at(last_);
  if (!now) return std::unexpected(now.error());
  if (*now == 0)
    return fmt::format("the change log was trimmed at or above {} by somebody else", last_.value);
  if (*now != anchor_)
    return fmt::format("the change log's entry {} is another than before: the database was restored",
                       last_.value);
  return "";
}

// The log goes on from its end; nothing before is known. In a new history (restored, replaced) the seq also
// goes on above all that was seen, so that no stamp of the old one seems to include a change of the new one.
Result<void> SqliteLog::begin_again(Found* found, const std::string& reason, bool is_new_history) {
  if (is_new_history && options_.file.mode != SqliteMode::kReadOnly) {
    db_->roll_back();
    if (auto begun = db_->execute("begin immediate"); !begun) return begun;
    auto done = db_->execute(fmt::format(
        "update candor_feed set incarnation = (random() & 9223372036854775806) | 1;"
        "update sqlite_sequence set seq = max(seq, {}) where name = 'candor_changes';"
        "insert into candor_changes (watch, key, at) values (0, null, cast((julianday('now') - 2440587.5) * "
        "86400000.0 as integer));"
        "commit;begin",
        static_cast<std::int64_t>(last_.value)));
    if (!done) return done;
  }
  const auto incarnation = db_->number("select incarnation from candor_feed");
  const auto position = db_->number(kSqlitePositionQuery);
  if (!incarnation) return std::unexpected(incarnation.error());
  if (!position) return std::unexpected(position.error());
  incarnation_ = Incarnation{static_cast<std::uint64_t>(*incarnation)};
  last_ = Position{static_cast<std::uint64_t>(*position)};
  auto anchor = fingerprint_at(last_);
  if (!anchor) return std::unexpected(anchor.error());
  anchor_ = *anchor;
  positioned_ = true;
  replaced_ = false;
  saved_ = Position{};
  found->broke = Break{incarnation_, last_, reason};
  found->incarnation = incarnation_;
  break_id_ = (mix64(options_.holder + ++breaks_) >> 1) | 1;  // fits SQLite's integers, and is never 0
  owed_ = reason;
  owed_at_ = last_;
  owed_strictly_ = handed_over_;
  // Stored at once, with what is owed: whoever leads next begins with it. Not stored, it finds the old place,
  // and from there the same break.
  kept_shapes_ = shapes_;
  if (auto stored = desk_->save({incarnation_, last_, anchor_, shapes_, owed_, break_id_}); stored)
    saved_ = last_;
  return {};
}

Result<void> SqliteLog::read_snapshot(Found* found) {
  const auto incarnation = db_->number("select incarnation from candor_feed");
  if (!incarnation) {
    if (incarnation.error().code != ErrorCode::kRejected && incarnation.error().code != ErrorCode::kNotFound)
      return std::unexpected(incarnation.error());
    // No log at all. What was handed over before cannot be gone on from.
    if (positioned_)
      found->broke = Break{incarnation_, last_, "the change log was removed from the database"};
    positioned_ = false;
    places_.assign(options_.watches.size(), {});
    by_id_.clear();
    schema_version_ = -1;
    caught_up_ = true;
    return {};
  }
  bool is_first = false;
  std::uint64_t shapes = 0;
  std::string owed;  // by the leader before
  if (!positioned_) {
    handed_over_ = false;
    owed_.clear();
    places_.clear();
    schema_version_ = -1;
    kept_shapes_ = 0;
    auto checkpoint = desk_->checkpoint();
    if (!checkpoint) return std::unexpected(checkpoint.error());
    is_first = !*checkpoint;
    if (*checkpoint) {
      incarnation_ = (*checkpoint)->incarnation;
      last_ = saved_ = (*checkpoint)->position;
      anchor_ = (*checkpoint)->anchor;
      shapes = kept_shapes_ = (*checkpoint)->shapes;
      break_id_ = (*checkpoint)->break_id;
      owed = std::move((*checkpoint)->owed);
      positioned_ = true;
    }
  }
  if (auto looked = look_at_schema(found); !looked) return looked;
  if (is_first) return begin_again(found, "this reader is new to the change log", false);
  if (incarnation_.value != static_cast<std::uint64_t>(*incarnation))
    return begin_again(found, "the change log was made anew, or another reader saw the database restored",
                       false);
  const auto fault = find_fault();
  if (!fault) return std::unexpected(fault.error());
  if (!fault->empty()) return begin_again(found, *fault, true);
  if (found->broke) return begin_again(found, found->broke->reason, false);
  if (shapes != 0 && shapes != shapes_)
    return begin_again(found, "watched tables or their triggers were changed while nobody read", false);
  if (!owed.empty()) return begin_again(found, owed, false);
  found->incarnation = incarnation_;
  return take_rows(found);
}

Result<void> SqliteLog::take_rows(Found* found) {
  auto rows = db_->query(
      "select seq, watch, case when length(cast(key as blob)) > ?2 then '' else key end, at, key is null, "
      "length(cast(key as blob)) > ?2 from candor_changes where seq > ?1 order by seq limit ?3");
  if (!rows) return std::unexpected(rows.error());
  rows->bind(1, static_cast<std::int64_t>(last_.value))
      .bind(2, static_cast<std::int64_t>(kKeyBytesMax))
      .bind(3, static_cast<std::int64_t>(options_.rows_max));
  handed_over_ = true;
  std::size_t count = 0, bytes = 0;
  bool more = true;
  while (bytes < options_.bytes_max) {
    const auto row = rows->step();
    if (!row) return std::unexpected(row.error());
    more = *row;
    if (!more) break;
    const std::int64_t seq = rows->integer(0), watch = rows->integer(1), at = rows->integer(3);
    const bool is_long = rows->integer(5) != 0;  // no key of Candor is that long
    last_ = Position{static_cast<std::uint64_t>(seq)};
    anchor_ = is_long ? 0 : fingerprint(seq, watch, rows->text(2), at);
    bytes += rows->text(2).size();
    ++count;
    const auto place = by_id_.find(watch);
    if (place == by_id_.end() || is_long) continue;
    for (const std::size_t i : place->second) {
      Change change;
      change.feature = options_.watches[i].feature;
      change.key = rows->text(2);
      change.scope = rows->integer(4) != 0 ? Change::Scope::kFeature : Change::Scope::kKey;
      change.id = ChangeId{last_.value};
      change.position = last_;
      change.committed = WallTime{at * 1'000'000};
      found->changes.push_back(std::move(change));
    }
  }
  found->more = more || count == options_.rows_max;
  caught_up_ = !found->more;
  found->up_to = last_;
  return {};
}

// Triggers and tables are looked at when the schema changed. A watched table that was changed or made anew
// may have lost rows that no trigger saw.
Result<void> SqliteLog::look_at_schema(Found* found) {
  const auto version = db_->number("pragma schema_version");
  if (!version) return std::unexpected(version.error());
  if (*version == schema_version_) return {};
  std::vector<WatchPlace> places;
  std::map<std::int64_t, std::vector<std::size_t>> by_id;
  for (std::size_t i = 0; i < options_.watches.size(); ++i) {
    const Watch& watch = options_.watches[i];
    WatchPlace& place = places.emplace_back();
    const auto table = sqlite_watch_table(watch.table);
    if (!table) continue;
    const auto id = find_sqlite_watch(*db_, *table, sqlite_watch_columns(watch.key_columns));
    if (!id) return std::unexpected(id.error());
    place.id = *id;
    if (*id != 0) by_id[*id].push_back(i);
    auto rows = db_->query(
        "select sql || '@' || rootpage from sqlite_master where type = 'table' and name = ?1 collate nocase");
    if (!rows) return std::unexpected(rows.error());
    const auto row = rows->bind(1, *table).step();
    if (!row) return std::unexpected(row.error());
    if (*row) place.shape = rows->text(0);
    if (places_.size() <= i) continue;  // the first look of this leadership
    if (places_[i].id == 0 && place.id != 0) {
      const auto end = db_->number(kSqlitePositionQuery);
      if (!end) return std::unexpected(end.error());
      place.heard_from = Position{static_cast<std::uint64_t>(*end)};
    } else {
      place.heard_from = places_[i].heard_from;
    }
    if (places_[i].id != 0 && place.id == 0)
      found->broke = Break{{}, {}, fmt::format("the triggers of table {} are gone", watch.table)};
    else if (places_[i].id != 0 && places_[i].shape != place.shape)
      found->broke = Break{{}, {}, fmt::format("table {} was changed or made anew", watch.table)};
  }
  places_ = std::move(places);
  by_id_ = std::move(by_id);
  shapes_ = 1;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const auto text = fmt::format("{} {} {}", options_.watches[i].feature, places_[i].id, places_[i].shape);
    shapes_ += hash_bytes(text, 0);  // in whatever order the configuration names them
  }
  shapes_ = std::max<std::uint64_t>(1, shapes_ >> 1);  // fits SQLite's integers
  schema_version_ = *version;
  return {};
}

// Empty: the watch is read.
std::string SqliteLog::why_unheard(std::size_t watch) const {
  const WatchPlace& place = places_[watch];
  const std::string& table = options_.watches[watch].table;
  if (place.id == 0 && place.shape.empty())
    return fmt::format("there is no table {} in {}; make it, or correct its name, and run: {}", table,
                       options_.file.path, options_.install_command);
  if (place.id == 0)
    return fmt::format("no triggers log the changes of table {} in {}; run: {}", table, options_.file.path,
                       options_.install_command);
  if (last_ < place.heard_from) return "its triggers are new, and what was logged before them is still read";
  return {};
}

void SqliteLog::note_watches(Found* found) const {
  found->break_id = break_id_;
  found->unheard.emplace();
  for (std::size_t i = 0; i < places_.size(); ++i) {
    std::string reason = why_unheard(i);
    if (!reason.empty()) found->unheard->push_back({options_.watches[i].feature, std::move(reason)});
  }
  // While one table is read the feed does its work; the features of the others say for themselves what is
  // missing.
  if (found->unheard->empty() || found->unheard->size() < places_.size()) return;
  found->state = FeedStatus::State::kMisconfigured;
  std::string missing;
  for (const Watch& watch : options_.watches) {
    if (missing.find(watch.table) == std::string::npos)
      missing += (missing.empty() ? "" : ", ") + watch.table;
  }
  found->problem = fmt::format("sqlite {}: no triggers log the changes of table {}; run: {}",
                               options_.file.path, missing, options_.install_command);
}

Result<void> SqliteLog::save(Position confirmed, Found* found) {
  confirmed = std::min(confirmed, last_);
  if (!positioned_) return {};
  const bool settles = !owed_.empty() && confirmed >= owed_at_ && confirmed > Position{} &&
                       (!owed_strictly_ || confirmed > owed_at_);
  if (!settles && confirmed <= saved_) return {};
  auto anchor = fingerprint_at(confirmed);
  if (!anchor) return std::unexpected(anchor.error());
  const std::string owed = settles ? std::string() : owed_;
  // While a new table's announcement is not confirmed the tables are as they were: whoever leads next and
  // finds others begins with a break, instead of taking the table for one that was always read.
  const bool is_announced =
      std::ranges::all_of(places_, [&](const WatchPlace& place) { return place.heard_from <= confirmed; });
  const std::uint64_t shapes = is_announced || kept_shapes_ == 0 ? shapes_ : kept_shapes_;
  if (auto stored = desk_->save({incarnation_, confirmed, *anchor, shapes, owed, break_id_}); !stored)
    return stored;
  kept_shapes_ = shapes;
  owed_ = owed;
  found->saved = saved_ = confirmed;
  return {};
}

// Never the last confirmed row itself: it is the readers' anchor. Nor those before it that a proof of an
// older stamp reads: of an entry that was kept over a restart, say.
Result<void> SqliteLog::trim(MonoTime now) {
  if (!positioned_ || now - trimmed_at_ < kTrimPeriod || options_.file.mode == SqliteMode::kReadOnly)
    return {};
  const auto needed = desk_->needed_by_all(incarnation_);
  if (!needed) return std::unexpected(needed.error());
  const auto first = db_->number("select coalesce(min(seq), 0) from candor_changes");
  if (!first) return std::unexpected(first.error());
  const auto low = static_cast<std::uint64_t>(*first);
  const std::uint64_t upto = needed->value - std::min(needed->value, kSqliteProofRows);
  if (low == 0 || low >= upto) return {};
  if (upto - low < kTrimWorthwhile && now - trimmed_at_ < kTrimPatience) return {};
  trimmed_at_ = now;
  const auto done =
      db_->execute(fmt::format("delete from candor_changes where seq < {}", std::min(upto, low + kTrimRows)));
  return done;
}

}  // namespace candor
