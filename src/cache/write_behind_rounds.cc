// Rounds: what is pending goes to the origin, batch by batch.
#include <fmt/format.h>

#include <algorithm>

#include "cache/write_behind.h"

namespace candor::write_behind {
namespace {

// Times that the origin's position is read anew within one attempt: it moves when an earlier attempt arrives
// after all.
constexpr int kMovesMax = 3;

bool is_below(const Queue::Item& item, std::uint64_t position) { return item.write.position <= position; }

}  // namespace

// Sets the timer for the next round, or begins it.
void WriteBehind::arm() {
  if (is_round_ || is_closed_) return;
  answer_waiters();
  const MonoTime now = parts_.home->now();
  const auto due = queue_.due(now);
  if (!due) return;
  // Writes that went straight to the origin before the mode changed come first.
  if (mode_ == WriteMode::kBehind && through_ > 0) return;
  MonoTime when = *due;
  if (is_hurried_ || !waiters_.empty() || mode_ == WriteMode::kThrough) when = now;
  when = std::max(when, retry_at_);
  parts_.home->cancel(timer_);
  timer_ = parts_.home->schedule(when, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->timer_ = {};
    self->begin_round();
  });
}

void WriteBehind::begin_round() {
  if (is_round_ || is_closed_ || queue_.empty()) return;
  if (mode_ == WriteMode::kBehind && through_ > 0) return;
  is_round_ = true;
  spawn(run_round());
}

Task<void> WriteBehind::run_round() {
  const auto self = shared_from_this();
  bool is_good = is_position_known_;
  if (!is_good) is_good = co_await learn_position();
  const Items items = is_good ? queue_.snapshot() : Items{};
  const std::uint64_t last = queue_.last_position();
  for (std::size_t begin = 0; is_good && begin < items.size();) {
    const std::size_t done = co_await apply_some(&items, begin);
    is_good = done > 0 && !is_closed_;
    begin += done;
    if (done > 0 && begin < items.size()) covered_ = std::max(covered_, items[begin - 1].write.position);
  }
  if (is_good) {
    covered_ = std::max(covered_, last);
    backoff_.reset();
    retry_at_ = MonoTime{0};
    stats_.problem.clear();
    queue_.end_round(parts_.home->now());
    // A hint only: nobody waits for it, and without it the origin is asked.
    (void)on_log([applied = expected_](Log& log) { return log.applied(applied); });
  }
  is_round_ = false;
  arm();
}

void WriteBehind::attempt_failed(const std::string& why) {
  ++stats_.retries;
  stats_.problem = why;
  is_position_known_ = false;  // nobody knows what the attempt has done
  retry_at_ = parts_.home->now() + backoff_.next();
}

// Asks the origin how far it has the log's writes: at the start, and whenever an attempt ended without an
// answer.
Task<bool> WriteBehind::learn_position() {
  const auto self = shared_from_this();
  Result<std::uint64_t> position =
      co_await parts_.origin->applied_position(log_id_, parts_.home->now() + options_.attempt_timeout);
  if (!position) {
    attempt_failed(position.error().message);
    co_return false;
  }
  // What a power cut took from the log's end lies below this run's positions. Above them there is somebody
  // else.
  is_foreign_ = *position >= first_position_ && *position > sent_up_to_;
  if (is_foreign_) {
    attempt_failed(fmt::format(
        "the origin has writes of log {} up to {}, which this node did not bring there: its data_dir is "
        "an older copy, or another node runs on a copy; stop that node, or move the directory of this "
        "feature in data_dir/write-behind away to begin a new log",
        log_id_, *position));
    co_return false;
  }
  if (*position < covered_) {
    stats_.damage.push_back(fmt::format(
        "the origin has writes up to {} only, and had them up to {}: it was restored from a backup; what was "
        "written between is as lost there as every other write of that time",
        *position, covered_));
    covered_ = *position;
  }
  expected_ = *position;
  covered_ = std::max(covered_, expected_);
  is_position_known_ = true;
  Items there = queue_.snapshot();
  std::erase_if(there, [&](const Queue::Item& item) { return !is_below(item, expected_); });
  stats_.applied += there.size();
  const std::size_t count = there.size();
  co_await forget(std::move(there), std::vector<ChangeId>(count));
  co_return true;
}

WriteBatch WriteBehind::make_batch(const Items& items, std::size_t begin, std::size_t count,
                                   std::vector<std::size_t>* sent) const {
  WriteBatch batch;
  batch.log_id = log_id_;
  batch.expected = expected_;
  batch.position = items[begin + count - 1].write.position;
  for (std::size_t i = begin; i < begin + count; ++i) {
    const Queue::Item& item = items[i];
    if (dead_.contains(item.write.position)) continue;
    sent->push_back(i);
    batch.writes.push_back({item.write.kind == RecordKind::kErase, item.key, item.write.value});
  }
  return batch;
}

Task<std::size_t> WriteBehind::apply_some(const Items* items, std::size_t begin) {
  const auto self = shared_from_this();
  std::size_t count = queue_.batch_size(*items, begin);
  for (int moves = 0; moves <= kMovesMax;) {
    std::vector<std::size_t> sent;
    WriteBatch batch = make_batch(*items, begin, count, &sent);
    sent_up_to_ = std::max(sent_up_to_, batch.position);
    WriteBatchOutcome outcome =
        co_await parts_.origin->apply(std::move(batch), parts_.home->now() + options_.attempt_timeout);
    if (outcome.kind == WriteBatchOutcome::Kind::kMoved) ++moves;
    std::optional<std::size_t> done =
        co_await judge(items, begin, &count, std::move(sent), std::move(outcome));
    if (done) co_return *done;
  }
  attempt_failed(
      "the origin's position of this log keeps moving: does another process use a copy of its data_dir?");
  co_return 0;
}

Task<std::optional<std::size_t>> WriteBehind::judge(const Items* items, std::size_t begin, std::size_t* count,
                                                    std::vector<std::size_t> sent,
                                                    WriteBatchOutcome outcome) {
  using Kind = WriteBatchOutcome::Kind;
  const auto first = items->begin() + static_cast<std::ptrdiff_t>(begin);
  switch (outcome.kind) {
    case Kind::kApplied: {
      expected_ = (*items)[begin + *count - 1].write.position;
      ++stats_.batches;
      stats_.applied += sent.size();
      std::vector<ChangeId> changes(*count);
      for (std::size_t i = 0; i < sent.size() && i < outcome.changes.size(); ++i)
        changes[sent[i] - begin] = outcome.changes[i];
      co_await forget(Items(first, first + static_cast<std::ptrdiff_t>(*count)), std::move(changes));
      co_return *count;
    }
    case Kind::kMoved: {
      const bool is_known = co_await learn_position();
      if (!is_known) co_return 0;
      const auto is_there = [&](const Queue::Item& item) { return is_below(item, expected_); };
      const auto there = std::count_if(first, items->end(), is_there);
      if (there > 0) co_return static_cast<std::size_t>(there);
      // The row is gone, or another transaction has it: the loop's limit ends what does not end by itself.
      co_return std::nullopt;
    }
    case Kind::kRefused: {
      if (sent.empty()) break;  // nothing of it is a write's fault
      if (outcome.index >= sent.size() && sent.size() > 1) {
        // At the commit, by some write of it: half of them, and so on until one is alone.
        *count = std::max<std::size_t>(1, *count / 2);
        co_return std::nullopt;
      }
      const std::size_t at = outcome.index < sent.size() ? sent[outcome.index] : sent.front();
      const bool is_buried = co_await bury(&(*items)[at], outcome.error.message);
      if (!is_buried) co_return 0;
      co_return std::nullopt;
    }
    case Kind::kFailed:
      break;
  }
  attempt_failed(outcome.error.message);
  co_return 0;
}

// Durable before anything goes on without the write.
Task<bool> WriteBehind::bury(const Queue::Item* item, std::string reason) {
  const auto self = shared_from_this();
  DeadLetter letter;
  letter.position = item->write.position;
  letter.kind = item->write.kind;
  letter.key = item->key;
  letter.value = *item->write.value;
  letter.reason = std::move(reason);
  letter.refused_at_ms = parts_.clock->wall().ms();
  auto done = on_log([letter](Log& log) { return log.bury(letter); });
  const Result<void> buried = co_await done;
  if (!buried) {
    attempt_failed(fmt::format("a write of key '{}' was refused ({}) and cannot be put aside: {}", letter.key,
                               letter.reason, buried.error().message));
    co_return false;
  }
  dead_.insert_or_assign(letter.position, std::move(letter));
  co_return true;
}

// Tiers are told of all of them together; then the queue forgets what was not written again meanwhile.
Task<void> WriteBehind::forget(Items items, std::vector<ChangeId> changes) {
  const auto self = shared_from_this();
  if (items.empty()) co_return;
  auto left = std::make_shared<std::size_t>(items.size());
  const OneShot<bool> all;
  for (std::size_t i = 0; i < items.size(); ++i) {
    spawn(parts_.tiers.tell(items[i].key, changes[i]),
          [this, self, left, all, key = items[i].key, position = items[i].write.position](bool) {
            (void)queue_.finish(key, position);
            if (--*left == 0) (void)all.set(true);
          });
  }
  (void)co_await all;
}

}  // namespace candor::write_behind
