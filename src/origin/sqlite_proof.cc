#include "origin/sqlite_proof.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

namespace candor {
namespace {

// For a rollback journal's writers, who keep readers out while they commit.
constexpr Duration kPatience = 1s;
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
  std::vector<Doubt> doubts;
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
    const std::uint64_t stamp = question->stamp.up_to.value, position = probe->position.value;
    question->confirmed = question->stamp.is_known() && stamp == position;
    if (question->stamp.is_known() && stamp < position && position - stamp <= kSqliteProofRows)
      doubts.push_back({question, number});
  }
  return settle(doubts);
}

// Unchanged is only what every row of the log above its stamp is still there for, and none is of its key. The
// log is read once for all of them: after a gap, or a restart, they come by the hundred.
Result<void> SqliteProof::settle(const std::vector<Doubt>& doubts) {
  if (doubts.empty()) return {};
  const auto first = db_->number("select coalesce(min(seq), 0) from candor_changes");
  if (!first) return std::unexpected(first.error());
  if (*first == 0) return {};
  std::uint64_t lowest = UINT64_MAX;
  std::map<std::pair<std::int64_t, std::string_view>, std::uint64_t> changed;  // the highest seq of a key
  for (const Doubt& doubt : doubts) {
    lowest = std::min(lowest, doubt.question->stamp.up_to.value);
    changed.try_emplace({doubt.watch, *doubt.question->key}, 0);
  }
  std::map<std::int64_t, std::uint64_t> all_changed;  // of a watch whose keys are not told; 0: of all watches
  auto rows = db_->query("select seq, watch, key from candor_changes where seq > ?1 order by seq");
  if (!rows) return std::unexpected(rows.error());
  rows->bind(1, static_cast<std::int64_t>(lowest));
  for (;;) {
    const auto more = rows->step();
    if (!more) return std::unexpected(more.error());
    if (!*more) break;
    const auto seq = static_cast<std::uint64_t>(rows->integer(0));
    const std::int64_t watch = rows->integer(1);
    if (watch == 0 || rows->is_null(2)) {
      all_changed[watch] = seq;
    } else if (const auto asked = changed.find({watch, rows->text(2)}); asked != changed.end()) {
      asked->second = seq;
    }
  }
  for (const Doubt& doubt : doubts) {
    const std::uint64_t stamp = doubt.question->stamp.up_to.value;
    const std::uint64_t last =
        std::max({changed[{doubt.watch, *doubt.question->key}], all_changed[0], all_changed[doubt.watch]});
    doubt.question->confirmed = static_cast<std::uint64_t>(*first) <= stamp + 1 && last <= stamp;
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

}  // namespace candor
