#include "origin/sqlite_proof.h"

#include <fmt/format.h>

#include <utility>

namespace candor {
namespace {

// For a rollback journal's writers, who keep readers out while they commit.
constexpr Duration kPatience = 1s;
// A confirmation reads at most this many rows of the log, about 1 ms; with more it is in doubt, and the
// caller loads.
constexpr std::uint64_t kRowsMax = 10'000;

}  // namespace

Result<void> SqliteProof::open() {
  if (db_ && db_->has_moved()) db_.reset();
  if (db_) return {};
  auto db = SqliteHandle::open(path_, SqliteHandle::Mode::kReadWrite, kPatience);
  if (!db) db = SqliteHandle::open(path_, SqliteHandle::Mode::kReadOnly, kPatience);
  if (!db) return std::unexpected(db.error());
  db_.emplace(std::move(*db));
  return {};
}

Result<void> SqliteProof::answer(const std::vector<Question*>& questions) {
  auto done = open();
  if (done) done = db_->execute("begin");
  if (done) {
    done = answer_in_snapshot(questions);
    db_->roll_back();
  }
  if (done) return done;
  const bool is_lock = done.error().code == ErrorCode::kTimeout;
  if (!is_lock) db_.reset();
  return fail(is_lock ? ErrorCode::kTimeout : ErrorCode::kOriginDown,
              fmt::format("sqlite {}: the change log cannot be read: {}", path_, done.error().message));
}

Result<void> SqliteProof::answer_in_snapshot(const std::vector<Question*>& questions) {
  const auto probe = read_probe();
  if (!probe) return std::unexpected(probe.error());
  for (Question* question : questions) {
    question->probe = *probe;
    std::int64_t number = 0;
    for (const Watch& watch : question->watches) {
      const auto found = watch_number(watch);
      if (!found) return std::unexpected(found.error());
      number = *found;
      if (number != 0) continue;
      question->failed =
          Error{ErrorCode::kUnavailable,
                fmt::format("sqlite {}: no triggers log the changes of table {}; run `candor feed install`",
                            path_, watch.table)};
      break;
    }
    if (question->failed || !question->key) continue;
    auto unchanged = is_unchanged(number, *question->key, question->stamp, probe->position);
    if (!unchanged) return std::unexpected(unchanged.error());
    question->confirmed = *unchanged;
  }
  return {};
}

// A commit is visible to the next reader at once: position, and what is visible, are one number.
Result<OriginProbe> SqliteProof::read_probe() {
  const auto incarnation = db_->number("select incarnation from candor_feed");
  if (!incarnation) return std::unexpected(incarnation.error());
  const auto seq = db_->number(kSqlitePositionQuery);
  if (!seq) return std::unexpected(seq.error());
  OriginProbe probe;
  probe.incarnation.value = static_cast<std::uint64_t>(*incarnation);
  probe.position.value = probe.all_up_to.value = static_cast<std::uint64_t>(*seq);
  probe.next.value = probe.position.value + 1;
  if (!(incarnation_ == probe.incarnation)) highest_ = Position{};
  incarnation_ = probe.incarnation;
  // Restored, and the feed has not given it a new incarnation yet: nothing may be proven by it.
  if (probe.position < highest_)
    return fail(ErrorCode::kCorrupt, fmt::format("it stands at {} and stood at {}: the database was restored",
                                                 probe.position.value, highest_.value));
  highest_ = probe.position;
  return probe;
}

Result<std::int64_t> SqliteProof::watch_number(const Watch& watch) {
  const auto table = sqlite_watch_table(watch.table);
  if (!table) return std::unexpected(table.error());
  return find_sqlite_watch(*db_, *table, sqlite_watch_columns(watch.columns));
}

// True only if every row of the log above the stamp is still there and none is of this key.
Result<bool> SqliteProof::is_unchanged(std::int64_t watch, const std::string& key, StampBound stamp,
                                       Position position) {
  if (!stamp.is_known() || stamp.up_to.value > position.value) return false;
  if (stamp.up_to.value == position.value) return true;
  if (position.value - stamp.up_to.value > kRowsMax) return false;
  const auto first = db_->number("select coalesce(min(seq), 0) from candor_changes");
  if (!first) return std::unexpected(first.error());
  if (*first == 0 || static_cast<std::uint64_t>(*first) > stamp.up_to.value + 1) return false;
  auto rows = db_->query(
      "select 1 from candor_changes where seq > ?1 and (watch = ?2 and (key is null or key = ?3) or watch = "
      "0) limit 1");
  if (!rows) return std::unexpected(rows.error());
  rows->bind(1, static_cast<std::int64_t>(stamp.up_to.value)).bind(2, watch).bind(3, std::string_view(key));
  const auto changed = rows->step();
  if (!changed) return std::unexpected(changed.error());
  return !*changed;
}

}  // namespace candor
