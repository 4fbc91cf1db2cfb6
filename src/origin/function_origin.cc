#include "origin/function_origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>
#include <list>
#include <utility>

#include "base/ids.h"
#include "origin/origin_gate.h"
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
      : options(std::move(given)),
        executor(home),
        pool(workers),
        gate({options.name, options.max_concurrency, options.waiting_max, options.protection, 0}) {
    stats.max_concurrency = options.max_concurrency;
    stats.connected = true;
  }

  // What is to be called, for whom.
  struct Order {
    std::uint32_t feature = 0;
    bool is_write = false;
    std::size_t bytes = 0;
    MonoTime deadline{0};
    LoadUrgencyPtr urgency{};
  };
  struct Call {
    std::move_only_function<Value()> work;
    Order order;
    LoadClass load_class = LoadClass::kNormal;
    OriginGate::Pass pass;
    OriginGate::Statement statement;
    MonoTime arrived{0};
    std::optional<MonoTime> sent;
    OneShot<Value> answer;
    TimerId timer;
  };

  static Task<Value> run(std::shared_ptr<State> self, std::move_only_function<Value()> work, Order order) {
    if (self->closed)
      co_return fail(ErrorCode::kOriginDown, fmt::format("origin {} is closed", self->options.name));
    auto call = std::make_shared<Call>();
    call->work = std::move(work);
    call->order = std::move(order);
    if (auto admitted = self->admit(call); !admitted) {
      ++self->stats.errors;
      co_return std::unexpected(std::move(admitted.error()));
    }
    self->start_waiting();
    const OneShot<Value> answer = call->answer;
    Value value = co_await answer;
    if (!value) ++self->stats.errors;
    co_return value;
  }

  void close() {
    const auto self = shared_from_this();
    closed = true;
    std::list<CallPtr> all;
    for (auto& line : waiting) all.splice(all.end(), line);
    waiting_bytes = 0;
    all.splice(all.end(), in_flight);
    for (const auto& call : all) {
      finish(call, fail(ErrorCode::kOriginDown, fmt::format("origin {} is closing", options.name)));
    }
  }

  Options options;
  Executor& executor;
  BlockingPool& pool;
  OriginGate gate;
  OriginStats stats;
  using CallPtr = std::shared_ptr<Call>;
  std::array<std::list<CallPtr>, kLoadClasses> waiting;
  std::list<CallPtr> in_flight;
  std::uint32_t features = 0;
  std::size_t waiting_bytes = 0;
  bool closed = false;

  [[nodiscard]] std::size_t waiting_calls() const {
    std::size_t sum = 0;
    for (const auto& line : waiting) sum += line.size();
    return sum;
  }

 private:
  Result<void> admit(const CallPtr& call) {
    const Order& order = call->order;
    call->arrived = executor.now();
    if (order.is_write) call->load_class = LoadClass::kCritical;
    if (order.urgency != nullptr) call->load_class = order.urgency->get();
    auto pass = gate.admit({call->load_class, order.deadline, order.is_write},
                           {waiting_calls(), waits_since(call->load_class)}, call->arrived);
    if (!pass) return std::unexpected(std::move(pass.error()));
    if (waiting_bytes + order.bytes > kOriginWaitingBytesMax) {
      return fail(
          ErrorCode::kOverloaded,
          fmt::format("origin {}: calls of {} bytes wait already: retry later", options.name, waiting_bytes));
    }
    call->pass = *pass;
    line_of(call).push_back(call);
    waiting_bytes += order.bytes;
    std::weak_ptr<State> weak = shared_from_this();
    call->timer = executor.schedule(order.deadline, [weak, call] {
      if (auto state = weak.lock()) state->expire(call);
    });
    if (order.urgency != nullptr) listen_for_raise(call);
    return {};
  }

  void listen_for_raise(const CallPtr& call) {
    std::weak_ptr<State> weak = shared_from_this();
    std::weak_ptr<Call> raised = call;
    call->order.urgency->on_raise([weak, raised] {
      const auto state = weak.lock();
      const auto held = raised.lock();
      if (state == nullptr || held == nullptr || !state->leave_line(held)) return;
      held->load_class = held->order.urgency->get();
      held->arrived = state->executor.now();  // in this class's line
      state->line_of(held).push_back(held);
      state->waiting_bytes += held->order.bytes;
    });
  }

  std::list<CallPtr>& line_of(const CallPtr& call) {
    return waiting[static_cast<std::size_t>(call->load_class)];
  }

  // False: it does not wait.
  bool leave_line(const CallPtr& call) {
    auto& line = line_of(call);
    const auto waits = std::ranges::find(line, call);
    if (waits == line.end()) return false;
    waiting_bytes -= call->order.bytes;
    line.erase(waits);
    return true;
  }

  [[nodiscard]] std::optional<MonoTime> waits_since(LoadClass of) const {
    std::optional<MonoTime> since;
    for (std::size_t i = 0; i <= static_cast<std::size_t>(of); ++i)
      if (!waiting[i].empty()) since = std::min(since.value_or(MonoTime::max()), waiting[i].front()->arrived);
    return since;
  }

  void expire(const CallPtr& call) {
    call->timer = {};
    if (call->answer.is_set()) return;
    (void)leave_line(call);
    finish(call,
           fail(ErrorCode::kTimeout, fmt::format("origin {}: no answer by the deadline", options.name)));
  }

  void finish(const CallPtr& call, Value value) {
    if (call->answer.is_set()) return;
    if (call->timer != TimerId{}) executor.cancel(call->timer);
    call->timer = {};
    gate.on_outcome(call->pass, value ? nullptr : &value.error(), call->sent, executor.now());
    call->answer.set(std::move(value));
  }

  void start_waiting() {
    while (!closed && stats.in_flight < gate.limit(executor.now())) {
      const auto line = std::ranges::find_if(waiting, [](const auto& of) { return !of.empty(); });
      if (line == waiting.end()) return;
      start(line->front());
    }
  }

  void start(CallPtr call) {
    (void)leave_line(call);
    in_flight.push_back(call);
    stats.in_flight_max = std::max(stats.in_flight_max, ++stats.in_flight);
    ++stats.statements;
    call->sent = executor.now();
    call->statement = gate.sent({call->order.feature, 1}, stats.in_flight, *call->sent);
    if (call->order.is_write) call->statement.in_flight = 0;
    pool.run([&home = executor, weak = weak_from_this(), call = std::move(call)]() mutable {
      auto value = call->work();
      home.post([weak, call = std::move(call), value = std::move(value)]() mutable {
        if (auto state = weak.lock()) state->done(call, std::move(value));
      });
    });
  }

  void done(const CallPtr& call, Value value) {
    --stats.in_flight;
    in_flight.remove(call);
    const bool is_answered = value || is_answer(value.error().code);
    is_answered ? gate.answered(call->statement, executor.now()) : gate.lost(executor.now());
    start_waiting_after_dip();
    finish(call, std::move(value));
    start_waiting();
  }

  // The limit rises by itself then: what waits must not wait for the next answer, which may take long.
  void start_waiting_after_dip() {
    const auto ends = gate.take_dip();
    if (!ends) return;
    executor.schedule(*ends, [weak = weak_from_this()] {
      if (const auto state = weak.lock()) state->start_waiting();
    });
  }
};

class FunctionOrigin::Bound final : public OriginFeature {
 public:
  Bound(std::shared_ptr<State> state, std::uint32_t index, std::string feature,
        std::shared_ptr<const OriginFunctions> functions)
      : state_(std::move(state)),
        index_(index),
        feature_(std::move(feature)),
        functions_(std::move(functions)) {}

  Task<Result<OriginRow>> load(std::string key, MonoTime deadline) override {
    return load_urgent(std::move(key), deadline, nullptr);
  }
  Task<Result<OriginRow>> load_urgent(std::string key, MonoTime deadline, LoadUrgencyPtr urgency) override {
    ++state_->stats.loads;
    ++state_->stats.batches;
    const auto bytes = key.size();
    return load_row(State::run(
        state_,
        [functions = functions_, feature = feature_, key = std::move(key)] {
          return guarded(feature, [&] { return functions->load(key); });
        },
        State::Order{index_, false, bytes, deadline, std::move(urgency)}));
  }

  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime deadline) override {
    if (!can_store()) return read_only(feature_);
    const auto bytes = key.size() + value.size();
    return write(State::run(
        state_,
        [functions = functions_, feature = feature_, key = std::move(key), value = std::move(value)] {
          return guarded(feature, [&] { return nothing(functions->store(key, value)); });
        },
        State::Order{index_, true, bytes, deadline, nullptr}));
  }

  Task<Result<OriginWrite>> erase(std::string key, MonoTime deadline) override {
    if (!can_erase()) return read_only(feature_);
    const auto bytes = key.size();
    return write(State::run(
        state_,
        [functions = functions_, feature = feature_, key = std::move(key)] {
          return guarded(feature, [&] { return nothing(functions->erase(key)); });
        },
        State::Order{index_, true, bytes, deadline, nullptr}));
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
  std::uint32_t index_;
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
  return std::make_unique<Bound>(state_, state_->features++, statements.feature, found->second);
}

Task<Result<void>> FunctionOrigin::prepare() { co_return Result<void>{}; }

OriginStats FunctionOrigin::stats() const {
  OriginStats stats = state_->stats;
  state_->gate.report(stats, state_->executor.now());
  stats.waiting = static_cast<std::uint32_t>(state_->waiting_calls());
  return stats;
}

std::string FunctionOrigin::describe() const { return "functions " + state_->options.name; }

}  // namespace candor
