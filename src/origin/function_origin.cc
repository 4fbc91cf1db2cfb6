#include "origin/function_origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <list>
#include <utility>

#include "base/ids.h"
#include "origin/sql_desk.h"

namespace candor {
namespace {

using Value = Result<std::optional<std::string>>;

// The user's code, with its exceptions kept from crossing ours.
template <class Call>
Value guarded(const std::string& feature, Call call) {
  try {
    Value value = call();
    if (value && *value && (*value)->size() > kValueBytesMax) {
      return fail(ErrorCode::kLimit, fmt::format("feature {}: the function's value is larger than {} bytes",
                                                 feature, kValueBytesMax));
    }
    return value;
  } catch (const std::exception& error) {
    return fail(ErrorCode::kRejected,
                fmt::format("feature {}: the function threw: {}", feature, error.what()));
  } catch (...) {
    return fail(ErrorCode::kRejected, fmt::format("feature {}: the function threw", feature));
  }
}

}  // namespace

class FunctionOrigin::State : public std::enable_shared_from_this<FunctionOrigin::State> {
 public:
  State(Options given, Executor& home, BlockingPool& workers)
      : options(std::move(given)), executor(home), pool(workers) {
    stats.max_concurrency = options.max_concurrency;
    stats.connected = true;
  }

  struct Call {
    std::move_only_function<Value()> work;
    OneShot<Value> answer;
    TimerId timer;
    std::size_t bytes = 0;
  };

  static Task<Value> run(std::shared_ptr<State> self, std::move_only_function<Value()> work,
                         std::size_t bytes, MonoTime deadline) {
    if (self->closed)
      co_return fail(ErrorCode::kOriginDown, fmt::format("origin {} is closed", self->options.name));
    if (self->waiting.size() >= self->options.waiting_max ||
        self->waiting_bytes + bytes > kOriginWaitingBytesMax) {
      ++self->stats.errors;
      co_return fail(ErrorCode::kOverloaded, fmt::format("origin {}: {} calls wait already: retry later",
                                                         self->options.name, self->waiting.size()));
    }
    const OneShot<Value> answer;
    self->admit(std::move(work), answer, bytes, deadline);
    self->start_waiting();
    Value value = co_await answer;
    if (!value) ++self->stats.errors;
    co_return value;
  }

  void close() {
    const auto self = shared_from_this();
    closed = true;
    auto all = std::exchange(waiting, {});
    waiting_bytes = 0;
    all.splice(all.end(), in_flight);
    for (const auto& call : all) {
      finish(call, fail(ErrorCode::kOriginDown, fmt::format("origin {} is closing", options.name)));
    }
  }

  Options options;
  Executor& executor;
  BlockingPool& pool;
  OriginStats stats;
  using CallPtr = std::shared_ptr<Call>;
  std::list<CallPtr> waiting, in_flight;
  std::size_t waiting_bytes = 0;
  bool closed = false;

 private:
  void admit(std::move_only_function<Value()> work, const OneShot<Value>& answer, std::size_t bytes,
             MonoTime deadline) {
    auto call = std::make_shared<Call>();
    call->work = std::move(work);
    call->answer = answer;
    call->bytes = bytes;
    waiting.push_back(call);
    waiting_bytes += bytes;
    std::weak_ptr<State> weak = shared_from_this();
    call->timer = executor.schedule(deadline, [weak, call] {
      if (auto state = weak.lock()) state->expire(call);
    });
  }

  void expire(const CallPtr& call) {
    call->timer = {};
    if (call->answer.is_set()) return;
    const auto waits = std::find(waiting.begin(), waiting.end(), call);
    if (waits != waiting.end()) {
      waiting_bytes -= call->bytes;
      waiting.erase(waits);
    }
    finish(call,
           fail(ErrorCode::kTimeout, fmt::format("origin {}: no answer by the deadline", options.name)));
  }

  void finish(const CallPtr& call, Value value) {
    if (call->timer != TimerId{}) executor.cancel(call->timer);
    call->timer = {};
    call->answer.set(std::move(value));
  }

  void start_waiting() {
    while (!closed && !waiting.empty() && stats.in_flight < options.max_concurrency) {
      auto call = waiting.front();
      waiting_bytes -= call->bytes;
      in_flight.splice(in_flight.end(), waiting, waiting.begin());
      stats.in_flight_max = std::max(stats.in_flight_max, ++stats.in_flight);
      ++stats.statements;
      pool.run([&home = executor, weak = weak_from_this(), call]() mutable {
        auto value = call->work();
        home.post([weak, call = std::move(call), value = std::move(value)]() mutable {
          if (auto state = weak.lock()) state->done(call, std::move(value));
        });
      });
    }
  }

  void done(const CallPtr& call, Value value) {
    --stats.in_flight;
    in_flight.remove(call);
    finish(call, std::move(value));
    start_waiting();
  }
};

class FunctionOrigin::Bound final : public OriginFeature {
 public:
  Bound(std::shared_ptr<State> state, std::string feature, std::shared_ptr<const OriginFunctions> functions)
      : state_(std::move(state)), feature_(std::move(feature)), functions_(std::move(functions)) {}

  Task<Result<OriginRow>> load(std::string key, MonoTime deadline) override {
    ++state_->stats.loads;
    ++state_->stats.batches;
    const auto bytes = key.size();
    return load_row(State::run(
        state_,
        [functions = functions_, feature = feature_, key = std::move(key)] {
          return guarded(feature, [&] { return functions->load(key); });
        },
        bytes, deadline));
  }

  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime deadline) override {
    if (!can_store()) return read_only(feature_);
    const auto bytes = key.size() + value.size();
    return write(State::run(
        state_,
        [functions = functions_, feature = feature_, key = std::move(key), value = std::move(value)] {
          return guarded(feature, [&] { return nothing(functions->store(key, value)); });
        },
        bytes, deadline));
  }

  Task<Result<OriginWrite>> erase(std::string key, MonoTime deadline) override {
    if (!can_erase()) return read_only(feature_);
    const auto bytes = key.size();
    return write(State::run(
        state_,
        [functions = functions_, feature = feature_, key = std::move(key)] {
          return guarded(feature, [&] { return nothing(functions->erase(key)); });
        },
        bytes, deadline));
  }

  [[nodiscard]] bool can_store() const override { return static_cast<bool>(functions_->store); }
  [[nodiscard]] bool can_erase() const override { return static_cast<bool>(functions_->erase); }

 private:
  static Value nothing(Result<void> result) {
    if (!result) return std::unexpected(std::move(result.error()));
    return Value{std::nullopt};
  }
  static Task<Result<OriginRow>> load_row(Task<Value> run) {
    Value value = co_await run;
    if (!value) co_return std::unexpected(std::move(value.error()));
    OriginRow row;
    row.value = std::move(*value);
    co_return row;
  }
  static Task<Result<OriginWrite>> write(Task<Value> run) {
    Value value = co_await run;
    if (!value) co_return std::unexpected(std::move(value.error()));
    OriginWrite written;
    written.rows = 1;
    co_return written;
  }
  static Task<Result<OriginWrite>> read_only(std::string feature) {
    co_return fail(ErrorCode::kReadOnly,
                   "feature " + feature + " has no such function: it is read-only here");
  }

  std::shared_ptr<State> state_;
  std::string feature_;
  std::shared_ptr<const OriginFunctions> functions_;
};

FunctionOrigin::FunctionOrigin(Options options, Executor& executor, BlockingPool& pool)
    : state_(std::make_shared<State>(std::move(options), executor, pool)) {}

FunctionOrigin::~FunctionOrigin() { state_->close(); }

void FunctionOrigin::set_functions(const std::string& feature, OriginFunctions functions) {
  functions_[feature] = std::make_shared<const OriginFunctions>(std::move(functions));
}

Result<std::unique_ptr<OriginFeature>> FunctionOrigin::bind(OriginStatements statements) {
  if (!statements.load.empty() || !statements.load_many.empty() || !statements.store.empty() ||
      !statements.erase.empty()) {
    return fail(ErrorCode::kConfiguration,
                fmt::format("features.{}: loads by a function and has statements as well; keep one",
                            statements.feature));
  }
  const auto found = functions_.find(statements.feature);
  if (found == functions_.end() || !found->second->load) {
    return fail(ErrorCode::kConfiguration,
                fmt::format("features.{}: no load function was given; call set_functions() first",
                            statements.feature));
  }
  return std::make_unique<Bound>(state_, statements.feature, found->second);
}

Task<Result<void>> FunctionOrigin::prepare() { co_return Result<void>{}; }

OriginStats FunctionOrigin::stats() const {
  OriginStats stats = state_->stats;
  stats.waiting = static_cast<std::uint32_t>(state_->waiting.size());
  return stats;
}

std::string FunctionOrigin::describe() const { return "functions " + state_->options.name; }

}  // namespace candor
