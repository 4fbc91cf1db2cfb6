#include "origin/memory_origin.h"

#include <algorithm>
#include <utility>

namespace candor {

class MemoryOrigin::State : public std::enable_shared_from_this<MemoryOrigin::State> {
 public:
  State(Executor& home, std::string origin_name) : executor(home), name(std::move(origin_name)) {}

  Executor& executor;
  std::string name;
  std::map<std::pair<std::string, std::string>, std::string> rows;
  ChangeId position;
  std::optional<Error> error;
  Duration latency{0};
  bool stalled = false;
  bool read_only = false;
  OriginStats stats;

  // Waits as long as the faults say; then true, or the error. What it found in the map is read after this.
  Task<Result<void>> reach(MonoTime deadline) {
    const auto self = shared_from_this();
    ++stats.statements;
    ++stats.in_flight;
    stats.in_flight_max = std::max(stats.in_flight_max, stats.in_flight);
    bool in_time = true;
    if (latency > Duration::zero()) {
      const auto wait = std::min(latency, deadline - executor.now());
      in_time = wait == latency;
      co_await sleep_for(executor, wait);
    }
    if (in_time && stalled) in_time = co_await wait_for_resume(self, deadline);
    --stats.in_flight;
    if (in_time && !error) co_return Result<void>{};
    ++stats.errors;
    if (!in_time) co_return fail(ErrorCode::kTimeout, "origin " + name + ": no answer by the deadline");
    co_return std::unexpected(*error);
  }

  void resume_all() {
    stalled = false;
    for (const auto& waiter : std::exchange(waiters, {})) waiter.set(true);
  }

 private:
  static Task<bool> wait_for_resume(std::shared_ptr<State> self, MonoTime deadline) {
    const OneShot<bool> resumed;
    self->waiters.push_back(resumed);
    const auto timer = self->executor.schedule(deadline, [resumed] { resumed.set(false); });
    const bool in_time = co_await resumed;
    self->executor.cancel(timer);
    std::erase_if(self->waiters, [](const auto& waiter) { return waiter.is_set(); });
    co_return in_time;
  }

  std::vector<OneShot<bool>> waiters;
};

class MemoryOrigin::Bound final : public OriginFeature {
 public:
  Bound(std::shared_ptr<State> state, std::string feature)
      : state_(std::move(state)), feature_(std::move(feature)), writes_(!state_->read_only) {}

  Task<Result<OriginRow>> load(std::string key, MonoTime deadline) override {
    return load_row(state_, {feature_, std::move(key)}, deadline);
  }
  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime deadline) override {
    return write(state_, writes_, {feature_, std::move(key)}, std::move(value), deadline);
  }
  Task<Result<OriginWrite>> erase(std::string key, MonoTime deadline) override {
    return write(state_, writes_, {feature_, std::move(key)}, std::nullopt, deadline);
  }
  [[nodiscard]] bool can_store() const override { return writes_; }
  [[nodiscard]] bool can_erase() const override { return writes_; }

 private:
  using StatePtr = std::shared_ptr<State>;
  using RowKey = std::pair<std::string, std::string>;

  static Task<Result<OriginRow>> load_row(StatePtr state, RowKey key, MonoTime deadline) {
    ++state->stats.loads;
    ++state->stats.batches;
    auto reached = co_await state->reach(deadline);
    if (!reached) co_return std::unexpected(reached.error());
    OriginRow row;
    row.stamp.up_to = state->position;
    if (const auto found = state->rows.find(key); found != state->rows.end()) row.value = found->second;
    co_return row;
  }

  static Task<Result<OriginWrite>> write(StatePtr state, bool writes, RowKey key,
                                         std::optional<std::string> value, MonoTime deadline) {
    if (!writes) co_return fail(ErrorCode::kReadOnly, "feature " + key.first + " is read-only here");
    auto reached = co_await state->reach(deadline);
    if (!reached) co_return std::unexpected(reached.error());
    OriginWrite written;
    written.rows = value || state->rows.contains(key) ? 1 : 0;
    if (written.rows > 0) ++state->position.value;
    written.change = state->position;
    if (value) {
      state->rows[key] = std::move(*value);
    } else {
      state->rows.erase(key);
    }
    co_return written;
  }

  StatePtr state_;
  std::string feature_;
  bool writes_;
};

MemoryOrigin::MemoryOrigin(Executor& executor, std::string name)
    : state_(std::make_shared<State>(executor, std::move(name))) {
  state_->position.value = 1;  // 0 would say that nothing is known
  state_->stats.connected = true;
}

MemoryOrigin::~MemoryOrigin() { state_->resume_all(); }

Result<std::unique_ptr<OriginFeature>> MemoryOrigin::bind(OriginStatements statements) {
  return std::make_unique<Bound>(state_, std::move(statements.feature));
}

Task<Result<void>> MemoryOrigin::prepare() {
  if (state_->error) co_return std::unexpected(*state_->error);
  co_return Result<void>{};
}

OriginStats MemoryOrigin::stats() const { return state_->stats; }
std::string MemoryOrigin::describe() const { return "memory " + state_->name; }

void MemoryOrigin::put(const std::string& feature, const std::string& key, std::string value) {
  state_->rows[{feature, key}] = std::move(value);
  ++state_->position.value;
}

void MemoryOrigin::remove(const std::string& feature, const std::string& key) {
  if (state_->rows.erase({feature, key}) > 0) ++state_->position.value;
}

std::optional<std::string> MemoryOrigin::at(const std::string& feature, const std::string& key) const {
  const auto found = state_->rows.find({feature, key});
  if (found == state_->rows.end()) return std::nullopt;
  return found->second;
}

ChangeId MemoryOrigin::position() const { return state_->position; }

void MemoryOrigin::fail_with(Error error) {
  state_->error = std::move(error);
  state_->stats.connected = false;
}

void MemoryOrigin::heal() {
  state_->error.reset();
  state_->stats.connected = true;
}

void MemoryOrigin::stall() { state_->stalled = true; }
void MemoryOrigin::resume() { state_->resume_all(); }
void MemoryOrigin::set_latency(Duration latency) { state_->latency = latency; }
void MemoryOrigin::set_read_only(bool read_only) { state_->read_only = read_only; }

}  // namespace candor
