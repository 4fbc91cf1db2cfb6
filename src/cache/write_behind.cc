// Life, writes and the log. What brings them to the origin: write_behind_rounds.cc.
#include "cache/write_behind.h"

#include <algorithm>

#include "base/assert.h"

namespace candor::write_behind {
namespace {

// Readers that wait for a round, of one feature: the cache bounds all of its readers as well.
constexpr std::size_t kWaitersMax = 100'000;
// Records of one append: the sync is what costs, and one append must not hold the next for long.
constexpr std::size_t kAppendBytes = std::size_t{64} << 20;

std::unexpected<Error> not_taken(const Error& error) {
  Error told = error;
  if (told.code != ErrorCode::kUnknownOutcome) {
    told.code = ErrorCode::kOriginDown;
    told.message.insert(0, "not written: the write-behind log: ");
  }
  return std::unexpected(std::move(told));
}

}  // namespace

WriteBehind::WriteBehind(Parts parts, Options options, std::unique_ptr<Log> log, Log::Recovered recovered)
    : parts_(std::move(parts)),
      options_(options),
      log_(std::move(log)),
      log_id_(recovered.id.text()),
      queue_(options.queue, mix64(parts_.seed)),
      backoff_(options.retry, mix64(parts_.seed + 1)),
      keys_on_the_way_(16, SeededHash{mix64(parts_.seed + 2)}),
      next_position_(recovered.next),
      first_position_(recovered.next),
      sent_up_to_(recovered.last),
      covered_(recovered.applied) {
  for (DeadLetter& letter : recovered.dead) dead_.emplace(letter.position, std::move(letter));
  const MonoTime now = parts_.home->now();
  for (const Record& record : recovered.writes) {
    if (!dead_.contains(record.position)) queue_.add(record, now);
  }
  stats_.damage = std::move(recovered.problems);
  stats_.lost = recovered.lost;
  stats_.log_bytes = log_->bytes();
}

// ---- the log, one job at a time ----

OneShot<Result<void>> WriteBehind::on_log(LogWork work) {
  auto job = std::make_shared<LogJob>(LogJob{std::move(work), {}});
  jobs_.push_back(job);
  run_job();
  return job->answer;
}

void WriteBehind::run_job() {
  if (is_job_running_ || jobs_.empty()) return;
  is_job_running_ = true;
  auto job = std::move(jobs_.front());
  jobs_.pop_front();
  std::weak_ptr<WriteBehind> weak = weak_from_this();
  parts_.pool->run([&home = *parts_.home, weak, log = log_, job = std::move(job)]() mutable {
    Result<void> result = job->work(*log);
    const std::uint64_t bytes = log->bytes();
    const std::uint64_t syncs = log->syncs();
    log.reset();
    home.post([weak, job = std::move(job), result = std::move(result), bytes, syncs]() mutable {
      if (auto self = weak.lock()) self->job_done(job, std::move(result), bytes, syncs);
    });
  });
}

void WriteBehind::job_done(const std::shared_ptr<LogJob>& job, Result<void> result, std::uint64_t bytes,
                           std::uint64_t syncs) {
  stats_.log_bytes = bytes;
  stats_.syncs = syncs;
  is_job_running_ = false;
  run_job();
  (void)job->answer.set(std::move(result));
}

// ---- writes ----

Task<Result<void>> WriteBehind::write(std::string key, RecordKind kind, std::string value) {
  const auto self = shared_from_this();
  const std::size_t bytes = key.size() + value.size();
  std::string refusal = queue_.refusal(key, bytes, on_the_way_, bytes_on_the_way_, parts_.home->now());
  if (refusal.empty() && stats_.log_bytes + bytes_on_the_way_ + bytes > options_.log_bytes_max)
    refusal = "its log on disk has " + std::to_string(stats_.log_bytes) + " bytes already (log_max)";
  if (is_closed_) co_return fail(ErrorCode::kOriginDown, "not written: this node is stopping");
  if (is_foreign_) co_return fail(ErrorCode::kOriginDown, "not written: " + stats_.problem);
  if (!refusal.empty()) {
    ++stats_.refused;
    co_return fail(ErrorCode::kOverloaded, "feature '" + parts_.feature + "', write-behind: " + refusal +
                                               (stats_.problem.empty() ? "" : "; " + stats_.problem) +
                                               "; nothing was written: retry later");
  }
  Staged staged;
  staged.record.kind = kind;
  staged.record.key = std::move(key);
  staged.record.value = std::make_shared<const std::string>(std::move(value));
  const OneShot<Result<void>> answer = staged.answer;
  ++on_the_way_;
  bytes_on_the_way_ += bytes;
  ++keys_on_the_way_[staged.record.key];
  staged_.push_back(std::move(staged));
  append_soon();
  Result<void> result = co_await answer;
  co_return result;
}

// What arrives in one turn goes with one sync; what arrives while that runs, with the next.
void WriteBehind::append_soon() {
  if (is_append_asked_ || is_appending_ || staged_.empty()) return;
  is_append_asked_ = true;
  parts_.home->at_end_of_turn([weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->is_append_asked_ = false;
    if (!self->is_appending_) spawn(self->append());
  });
}

Task<void> WriteBehind::append() {
  const auto self = shared_from_this();
  is_appending_ = true;
  std::size_t bytes = 0;
  std::size_t count = 0;
  auto records = std::make_shared<std::vector<Record>>();
  while (count < staged_.size() && (count == 0 || bytes < kAppendBytes)) {
    Record& record = staged_[count].record;
    record.position = next_position_ + count;
    bytes += record_bytes(record);
    records->push_back(record);
    ++count;
  }
  const auto end = staged_.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<Staged> batch(std::make_move_iterator(staged_.begin()), std::make_move_iterator(end));
  staged_.erase(staged_.begin(), end);
  auto done = on_log([records](Log& log) { return log.append(*records); });
  const Result<void> result = co_await done;
  is_appending_ = false;
  appended(std::move(batch), *records, result);
  append_soon();
  arm();
}

void WriteBehind::appended(std::vector<Staged> batch, const std::vector<Record>& records,
                           const Result<void>& result) {
  log_failed_ = result ? std::nullopt : std::optional(result.error());
  for (const Record& record : records) {
    --on_the_way_;
    bytes_on_the_way_ -= record.key.size() + record.value->size();
    const auto it = keys_on_the_way_.find(record.key);
    if (--it->second == 0) keys_on_the_way_.erase(it);
  }
  if (result) {
    next_position_ = records.back().position + 1;
    stats_.acknowledged += records.size();
    for (const Record& record : records) {
      queue_.add(record, parts_.home->now());
      parts_.tiers.show(record.key, *queue_.find(record.key));
    }
    if (options_.fsync == Log::Fsync::kInterval) sync_soon();
  }
  for (const Staged& staged : batch) {
    Result<void> told;
    if (!result) told = not_taken(result.error());
    (void)staged.answer.set(std::move(told));
  }
}

void WriteBehind::sync_soon() {
  if (is_sync_asked_) return;
  is_sync_asked_ = true;
  parts_.home->schedule(parts_.home->now() + options_.fsync_interval, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->is_sync_asked_ = false;
    (void)self->on_log([](Log& log) { return log.sync(); });
  });
}

bool WriteBehind::holds(std::string_view key) const {
  return queue_.find(key) != nullptr || keys_on_the_way_.contains(key);
}

// ---- modes ----

void WriteBehind::set_mode(WriteMode mode, Duration window) {
  mode_ = mode;
  queue_.set_window(window);
  arm();
}

void WriteBehind::end_through() {
  CANDOR_ASSERT(through_ > 0);
  if (--through_ == 0) arm();
}

// ---- waiting ----

// The position of the last write that is acknowledged, or will be if the log takes all that is on its way.
std::uint64_t WriteBehind::target() const { return next_position_ - 1 + on_the_way_; }

Task<Result<void>> WriteBehind::settle(MonoTime deadline) {
  const auto self = shared_from_this();
  if (is_empty()) co_return Result<void>{};
  if (is_closed_ || waiters_.size() >= kWaitersMax)
    co_return fail(ErrorCode::kOverloaded,
                   "feature '" + parts_.feature + "': too many wait for its pending writes");
  Waiter waiter;
  waiter.target = target();
  const OneShot<Result<void>> answer = waiter.answer;
  std::string why = "feature '" + parts_.feature + "': pending writes did not reach the origin in time";
  waiter.timer =
      parts_.home->schedule(deadline, [weak = weak_from_this(), answer, why = std::move(why)]() mutable {
        auto alive = weak.lock();
        if (alive && !alive->stats_.problem.empty()) why += ": " + alive->stats_.problem;
        (void)answer.set(fail(ErrorCode::kOriginDown, std::move(why)));
      });
  waiters_.push_back(waiter);
  arm();
  Result<void> result = co_await answer;
  co_return result;
}

void WriteBehind::answer_waiters() {
  std::vector<Waiter> ready;
  std::erase_if(waiters_, [&](const Waiter& waiter) {
    const bool is_ready = waiter.answer.is_set() || covered_ >= waiter.target || is_empty() || is_closed_;
    if (is_ready) ready.push_back(waiter);
    return is_ready;
  });
  for (const Waiter& waiter : ready) {
    parts_.home->cancel(waiter.timer);
    Result<void> told;
    if (is_closed_ && !is_empty()) told = fail(ErrorCode::kOriginDown, "this node is stopping");
    (void)waiter.answer.set(std::move(told));
  }
}

// ---- life ----

void WriteBehind::hurry() {
  is_hurried_ = true;
  retry_at_ = MonoTime{0};
  arm();
}

void WriteBehind::close() {
  is_closed_ = true;
  parts_.home->cancel(timer_);
  timer_ = {};
  answer_waiters();
}

Stats WriteBehind::stats() const {
  Stats stats = stats_;
  stats.mode = mode_;
  stats.window = queue_.window();
  stats.pending_keys = queue_.size();
  stats.pending_bytes = queue_.bytes();
  stats.oldest = queue_.age(parts_.home->now());
  stats.merged = queue_.merged();
  stats.dead_letters = dead_.size();
  if (log_failed_ && stats.problem.empty()) stats.problem = log_failed_->message;
  return stats;
}

// ---- dead letters ----

std::vector<DeadLetter> WriteBehind::dead_letters() const {
  std::vector<DeadLetter> letters;
  for (const auto& [position, letter] : dead_) letters.push_back(letter);
  std::ranges::sort(letters, {}, &DeadLetter::position);
  return letters;
}

Task<Result<void>> WriteBehind::replay(std::uint64_t position) {
  const auto self = shared_from_this();
  const auto it = dead_.find(position);
  if (it == dead_.end()) co_return fail(ErrorCode::kNotFound, "no dead letter has this position");
  const DeadLetter letter = it->second;
  // Durable as a new write first: a crash in between leaves it twice, and stores of one value may be
  // repeated.
  Result<void> written = co_await write(letter.key, letter.kind, letter.value);
  if (!written) co_return written;
  co_return co_await drop(position);
}

Task<Result<void>> WriteBehind::drop(std::uint64_t position) {
  const auto self = shared_from_this();
  if (!dead_.contains(position)) co_return fail(ErrorCode::kNotFound, "no dead letter has this position");
  auto done = on_log([position](Log& log) { return log.resolve(position); });
  Result<void> result = co_await done;
  if (result) dead_.erase(position);
  co_return result;
}

}  // namespace candor::write_behind
