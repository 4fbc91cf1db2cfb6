#include "cache/write_behind_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace candor::write_behind {
namespace {

constexpr std::string_view kSegmentSuffix = ".log";
constexpr const char* kDeadName = "dead-letters";

constexpr std::uint64_t kInRange = (std::uint64_t{1} << Log::kPositionBits) - 1;

// Is `position` where a new start begins to count?
bool begins_range(std::uint64_t before, std::uint64_t position) {
  return (position & kInRange) == 1 && (position >> Log::kPositionBits) > (before >> Log::kPositionBits);
}

std::string segment_name(std::uint64_t first) { return fmt::format("{:016x}{}", first, kSegmentSuffix); }

}  // namespace

std::uint64_t Log::bytes() const {
  std::uint64_t sum = segment_ == nullptr ? 0 : segment_->size();
  for (const auto& [name, segment] : closed_) sum += segment.bytes;
  return sum;
}

// ---- reading what is there ----

void Log::take_segment(Found& found, const std::string& name, const SegmentScan& scan, bool is_last,
                       std::uint64_t bytes, const AppendStore& store) {
  Recovered& out = found.recovered;
  for (const auto& damage : scan.damage)
    out.problems.push_back(
        fmt::format("{}: {} bytes at {} are damaged; the records before and behind them are kept, a copy of "
                    "the file stays "
                    "as {}.damaged",
                    store.path_of(name), damage.bytes, damage.offset, name));
  const bool is_torn = scan.has_header && scan.whole_bytes < bytes;
  if (is_torn && !is_last)
    out.problems.push_back(
        fmt::format("{}: its last {} bytes are damaged, and later files follow it; a copy stays "
                    "as {}.damaged",
                    store.path_of(name), bytes - scan.whole_bytes, name));
  if (is_torn && is_last) {
    found.torn = name;
    found.torn_at = scan.whole_bytes;
  }
  if (!scan.has_header && scan.records.empty()) {
    if (is_last || bytes == 0) {
      found.headless.push_back(name);
      return;
    }
    out.problems.push_back(
        fmt::format("{}: nothing of it can be read; a copy stays as {}.damaged", store.path_of(name), name));
  }
  if (!scan.damage.empty() || (is_torn && !is_last) || !scan.has_header) found.damaged.push_back(name);
  Closed segment{bytes, 0};
  for (const Record& record : scan.records) {
    if (record.kind == RecordKind::kApplied) out.applied = std::max(out.applied, record.position);
    if (!record.is_write()) continue;
    segment.last = std::max(segment.last, record.position);
    out.writes.push_back(record);
  }
  out.next = std::max(out.next, scan.first);
  found.segments[name] = segment;
}

// What was applied is not looked at any more; above it every position has to be there.
void Log::note_gaps(Found& found) {
  Recovered& out = found.recovered;
  std::ranges::sort(out.writes, {}, &Record::position);  // what has the same position is the same write
  const auto doubles = std::ranges::unique(out.writes, {}, &Record::position);
  out.writes.erase(doubles.begin(), doubles.end());
  std::erase_if(out.writes, [&](const Record& record) { return record.position <= out.applied; });
  std::uint64_t expected = out.applied + 1;
  for (const Record& record : out.writes) {
    // Below the first record there may be a segment that was removed because it was applied.
    const bool may_be_applied = record.position == out.writes.front().position && found.damaged.empty();
    if (record.position > expected && !may_be_applied && !begins_range(expected - 1, record.position)) {
      const bool is_other_start = record.position >> kPositionBits != expected >> kPositionBits;
      const std::uint64_t from = is_other_start ? (record.position & ~kInRange) + 1 : expected;
      out.lost += record.position - from;
      out.problems.push_back(fmt::format(
          "writes {} to {} were acknowledged and cannot be read any more: {}", from, record.position - 1,
          "they are lost unless the copies of the damaged files can be mended"));
    }
    expected = record.position + 1;
  }
  out.last = std::max(expected - 1, out.applied);
  if (!found.id) return;
  out.next = (((std::max(out.next, out.last) >> kPositionBits) + 1) << kPositionBits) + 1;
}

Result<void> Log::read_dead(AppendStore& store, const Options& options, Found& found) {
  auto bytes = store.read(kDeadName, options.dead_bytes_max * 2);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return {};
  if (!bytes) return std::unexpected(bytes.error());
  const SegmentScan scan = scan_segment(*bytes, found.id ? &*found.id : nullptr);
  if (scan.whole_bytes < bytes->size()) found.dead_torn_at = scan.whole_bytes;
  std::map<std::uint64_t, DeadLetter> letters;
  for (const Record& record : scan.records) {
    DeadLetter letter;
    if (record.kind == RecordKind::kResolved) letters.erase(record.position);
    if (read_dead_record(record, &letter)) letters.insert_or_assign(letter.position, std::move(letter));
  }
  if (!scan.damage.empty())
    found.recovered.problems.push_back(
        fmt::format("{}: some dead letters are damaged", store.path_of(kDeadName)));
  for (auto& [position, letter] : letters) found.recovered.dead.push_back(std::move(letter));
  return {};
}

Result<Log::Found> Log::read_all(AppendStore& store, const Options& options) {
  auto listed = store.list();
  if (!listed) return std::unexpected(listed.error());
  std::erase_if(*listed, [](const std::string& name) { return !name.ends_with(kSegmentSuffix); });
  Found found;
  std::uint64_t sum = 0;
  for (const std::string& name : *listed) {
    auto bytes = store.read(name, options.bytes_max);
    if (!bytes) return std::unexpected(bytes.error());
    sum += bytes->size();
    if (sum > options.bytes_max) {
      return fail(ErrorCode::kLimit,
                  fmt::format("{}: more than {} bytes of log; raise [write_behind] bytes_max",
                              store.path_of(name), options.bytes_max));
    }
    const SegmentScan scan = scan_segment(*bytes, found.id ? &*found.id : nullptr);
    if (scan.has_header && found.id && !(scan.id == *found.id)) {
      return fail(ErrorCode::kCorrupt,
                  fmt::format("{}: belongs to another log than the files before it; move it away",
                              store.path_of(name)));
    }
    if (scan.has_header) found.id = scan.id;
    take_segment(found, name, scan, name == listed->back(), bytes->size(), store);
  }
  note_gaps(found);
  if (auto read = read_dead(store, options, found); !read) return std::unexpected(read.error());
  if (found.id) found.recovered.id = *found.id;
  return found;
}

Result<Log::Recovered> Log::look(AppendStore& store, const Options& options) {
  auto found = read_all(store, options);
  if (!found) return std::unexpected(found.error());
  return std::move(found->recovered);
}

// ---- taking it up ----

// The segment itself goes when it is applied; what could not be read of it must not go with it.
Result<void> Log::keep_damaged(const Found& found) {
  for (const std::string& name : found.damaged) {
    auto names = store_->list();
    if (names && std::ranges::binary_search(*names, name + ".damaged")) continue;
    auto bytes = store_->read(name, options_.bytes_max);
    if (!bytes) return std::unexpected(bytes.error());
    auto copy = store_->open(name + ".damaged");
    if (!copy) return std::unexpected(copy.error());
    if (auto put = (*copy)->append(*bytes); !put) return put;
    if (auto synced = (*copy)->sync(); !synced) return synced;
  }
  return {};
}

Result<Log::Recovered> Log::recover(const LogId& fresh) {
  auto found = read_all(*store_, options_);
  if (!found) return std::unexpected(found.error());
  if (auto kept = keep_damaged(*found); !kept) return std::unexpected(kept.error());
  if (!found->torn.empty()) {
    auto file = store_->open(found->torn);
    if (!file) return std::unexpected(file.error());
    if (auto cut = (*file)->cut_to(found->torn_at); !cut) return std::unexpected(cut.error());
  }
  if (found->dead_torn_at) {
    auto file = store_->open(kDeadName);
    if (!file) return std::unexpected(file.error());
    if (auto cut = (*file)->cut_to(*found->dead_torn_at); !cut) return std::unexpected(cut.error());
  }
  for (const std::string& name : found->headless)
    if (auto removed = store_->remove(name); !removed) return std::unexpected(removed.error());
  if (!found->id) found->recovered.id = fresh;
  id_ = found->recovered.id;
  next_ = found->recovered.next;
  closed_ = std::move(found->segments);
  dead_open_ = found->recovered.dead.size();
  if (auto begun = begin_segment(next_); !begun) return std::unexpected(begun.error());
  // Older segments that hold nothing above the hint go now.
  if (found->recovered.writes.empty() && found->recovered.applied > 0) {
    if (auto gone = applied(found->recovered.last); !gone) return std::unexpected(gone.error());
  }
  return std::move(found->recovered);
}

Result<void> Log::begin_segment(std::uint64_t first) {
  auto file = store_->open(segment_name(first));
  if (!file) return std::unexpected(file.error());
  const std::uint64_t before = (*file)->size();
  Result<void> begun = (*file)->append(segment_header(id_, first));
  if (begun) begun = (*file)->sync();
  if (!begun) {
    (void)(*file)->cut_to(before);
    (void)store_->remove(segment_name(first));
    return begun;
  }
  if (segment_ != nullptr) closed_[segment_name(segment_first_)] = {segment_->size(), next_ - 1};
  segment_ = std::move(*file);
  segment_first_ = first;
  return {};
}

// ---- writing ----

// All of it is in the file, or nothing of it; or the log is broken.
Result<void> Log::put(AppendFile& file, std::string_view bytes) {
  const std::uint64_t before = file.size();
  auto put = file.append(bytes);
  if (put) return put;
  if (auto cut = file.cut_to(before); !cut) {
    broken_ = cut.error();
    put.error().code = ErrorCode::kUnknownOutcome;
  }
  return put;
}

Result<void> Log::append(const std::vector<Record>& records) {
  if (broken_) return std::unexpected(*broken_);
  if (segment_->size() >= options_.segment_bytes && next_ != segment_first_) {
    // With kInterval its end may not be synced yet, and nobody will think of it later.
    if (auto synced = sync(); !synced) return synced;
    if (auto begun = begin_segment(next_); !begun) return begun;
  }
  std::string bytes;
  for (const Record& record : records) append_record(bytes, id_, record);
  const std::uint64_t before = segment_->size();
  if (auto put_there = put(*segment_, bytes); !put_there) return put_there;
  if (options_.fsync == Fsync::kAlways) {
    if (auto synced = sync(); !synced) {
      // What the kernel holds of it may reach the disk or not. It is taken away, as the writers are told that
      // it failed.
      if (!segment_->cut_to(before)) synced.error().code = ErrorCode::kUnknownOutcome;
      return synced;
    }
  }
  for (const Record& record : records)
    if (record.is_write()) next_ = record.position + 1;
  return {};
}

// A failed sync leaves pages that nobody knows the state of, and the next sync would say that all is well
// (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020). So nothing more is taken.
Result<void> Log::sync() {
  if (broken_) return std::unexpected(*broken_);
  if (auto synced = segment_->sync(); !synced) {
    broken_ = synced.error();
    return synced;
  }
  ++syncs_;
  return {};
}

Result<void> Log::applied(std::uint64_t position) {
  if (broken_) return std::unexpected(*broken_);
  // Everything is applied and the segment is long: begin anew, so that its file can go.
  if (position + 1 == next_ && segment_->size() >= options_.segment_bytes / 4 && segment_first_ != next_) {
    if (auto begun = begin_segment(next_); !begun) return begun;
  }
  if (auto hinted = put_hint(position); !hinted) return hinted;
  for (auto it = closed_.begin(); it != closed_.end();) {
    if (it->second.last > position) {
      ++it;
      continue;
    }
    if (auto removed = store_->remove(it->first); !removed) return removed;
    it = closed_.erase(it);
  }
  return {};
}

Result<void> Log::put_hint(std::uint64_t applied) {
  Record hint;
  hint.position = applied;
  hint.kind = RecordKind::kApplied;
  std::string bytes;
  append_record(bytes, id_, hint);
  return put(*segment_, bytes);
}

// ---- dead letters ----

Result<void> Log::put_dead(const Record& record) {
  if (dead_ == nullptr) {
    auto file = store_->open(kDeadName);
    if (!file) return std::unexpected(file.error());
    dead_ = std::move(*file);
  }
  std::string bytes;
  if (dead_->size() == 0) bytes = segment_header(id_, 0);
  append_record(bytes, id_, record);
  if (auto put_there = put(*dead_, bytes); !put_there) return put_there;
  return dead_->sync();
}

Result<void> Log::bury(const DeadLetter& letter) {
  const std::uint64_t size = dead_ == nullptr ? 0 : dead_->size();
  if (dead_open_ >= options_.dead_letters_max || size > options_.dead_bytes_max) {
    return fail(ErrorCode::kLimit,
                fmt::format("{} dead letters already; replay or drop them (candor writes list)", dead_open_));
  }
  if (auto put_there = put_dead(dead_record(letter)); !put_there) return put_there;
  ++dead_open_;
  return {};
}

Result<void> Log::resolve(std::uint64_t position) {
  Record record;
  record.position = position;
  record.kind = RecordKind::kResolved;
  if (auto put_there = put_dead(record); !put_there) return put_there;
  if (dead_open_ > 0) --dead_open_;
  // The last one is gone: so is the file's reason to grow.
  return dead_open_ == 0 ? dead_->cut_to(0) : Result<void>{};
}

}  // namespace candor::write_behind
