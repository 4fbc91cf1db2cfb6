#include "origin/sql_desk.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "base/ids.h"

namespace candor {
namespace {

// The handle that a feature holds: its statements, and the desk to bring them to.
class SqlOriginFeature final : public OriginFeature {
 public:
  SqlOriginFeature(std::shared_ptr<SqlDesk> desk, std::shared_ptr<const SqlFeature> feature)
      : desk_(std::move(desk)), feature_(std::move(feature)) {}

  Task<Result<OriginRow>> load(std::string key, MonoTime deadline) override {
    return load_row(desk_, feature_, std::move(key), deadline, nullptr);
  }
  Task<Result<OriginRow>> load_urgent(std::string key, MonoTime deadline, LoadUrgencyPtr urgency) override {
    return load_row(desk_, feature_, std::move(key), deadline, std::move(urgency));
  }
  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime deadline) override {
    return write(SqlVerb::kStore, desk_, feature_, std::move(key), std::move(value), deadline);
  }
  Task<Result<OriginWrite>> erase(std::string key, MonoTime deadline) override {
    return write(SqlVerb::kErase, desk_, feature_, std::move(key), std::string(), deadline);
  }
  Task<Result<bool>> confirm(std::string key, HeldRow held, MonoTime deadline) override {
    if (auto shut = desk_->shut()) return refuse(std::move(*shut));
    return desk_->confirm(feature_, std::move(key), held, deadline);
  }
  [[nodiscard]] bool can_confirm() const override { return desk_->can_confirm(*feature_); }
  [[nodiscard]] bool confirms_by_row() const override { return desk_->confirms_by_row(); }
  [[nodiscard]] bool can_apply() const override { return true; }
  Task<WriteBatchOutcome> apply(WriteBatch batch, MonoTime deadline) override {
    return desk_->apply(feature_, std::move(batch), deadline);
  }
  Task<Result<std::uint64_t>> applied_position(std::string log_id, MonoTime deadline) override {
    return desk_->applied_position(std::move(log_id), deadline);
  }
  [[nodiscard]] bool can_store() const override { return feature_->statements.store.exists(); }
  [[nodiscard]] bool can_erase() const override { return feature_->statements.erase.exists(); }

 private:
  using Desk = std::shared_ptr<SqlDesk>;
  using Feature = std::shared_ptr<const SqlFeature>;

  static Task<Result<bool>> refuse(Error why) { co_return std::unexpected(std::move(why)); }

  static Task<Result<OriginRow>> load_row(Desk desk, Feature feature, std::string key, MonoTime deadline,
                                          LoadUrgencyPtr urgency) {
    auto answer = co_await desk->run(SqlVerb::kLoad, feature, std::move(key), std::string(), deadline,
                                     std::move(urgency));
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    OriginRow row{std::move(answer->value), answer->stamp};
    co_return row;
  }

  static Task<Result<OriginWrite>> write(SqlVerb verb, Desk desk, Feature feature, std::string key,
                                         std::string value, MonoTime deadline) {
    if (!feature->statement(verb).exists()) {
      co_return fail(ErrorCode::kReadOnly,
                     fmt::format("feature {} has no `{}` statement: it is read-only here", feature->name(),
                                 verb == SqlVerb::kStore ? "store" : "erase"));
    }
    auto answer = co_await desk->run(verb, feature, std::move(key), std::move(value), deadline);
    if (!answer) co_return std::unexpected(std::move(answer.error()));
    OriginWrite written{answer->rows, answer->change};
    co_return written;
  }

  Desk desk_;
  Feature feature_;
};

}  // namespace

SqlDesk::SqlDesk(Options options, Executor& executor)
    : options_(std::move(options)),
      executor_(executor),
      gate_(OriginGate::Options{options_.name, options_.max_concurrency, options_.waiting_max,
                                options_.protection, options_.seed}),
      line_(WaitingLine::Limits{options_.waiting_max, kOriginWaitingBytesMax}) {
  CANDOR_ASSERT(options_.max_concurrency > 0);
  stats_.max_concurrency = options_.max_concurrency;
}

Result<std::unique_ptr<OriginFeature>> SqlDesk::bind(const OriginStatements& statements, SqlDialect dialect) {
  auto parsed = parse_statements(statements, dialect);
  if (!parsed) return std::unexpected(parsed.error());
  auto feature = std::make_shared<SqlFeature>();
  feature->index = static_cast<std::uint32_t>(features_.size());
  feature->statements = std::move(*parsed);
  features_.push_back(feature);
  return std::make_unique<SqlOriginFeature>(shared_from_this(), std::move(feature));
}

Task<Result<SqlAnswer>> SqlDesk::run(SqlVerb verb, std::shared_ptr<const SqlFeature> feature, std::string key,
                                     std::string value, MonoTime deadline, LoadUrgencyPtr urgency) {
  const auto self = shared_from_this();
  if (closed_) co_return fail(ErrorCode::kOriginDown, fmt::format("origin {} is closed", options_.name));
  if (auto split = split_key(feature->name(), key, feature->statements.key_parts); !split) {
    co_return std::unexpected(std::move(split.error()));
  }
  auto request = std::make_shared<SqlRequest>();
  request->verb = verb;
  request->feature = std::move(feature);
  request->key = std::move(key);
  request->value = std::move(value);
  request->deadline = deadline;
  request->number = ++arrivals_;
  request->arrived = executor_.now();
  // Of a write somebody waits for the outcome, and nothing stands in for it.
  if (verb != SqlVerb::kLoad) request->load_class = LoadClass::kCritical;
  if (urgency != nullptr) request->load_class = urgency->get();
  const OriginGate::Line waits{line_.size(), line_.waits_since(verb, request->load_class)};
  auto pass = gate_.admit({request->load_class, deadline, verb != SqlVerb::kLoad}, waits, request->arrived);
  if (!pass) {
    ++stats_.errors;
    co_return std::unexpected(std::move(pass.error()));
  }
  request->pass = *pass;
  if (!line_.has_room_for(*request)) {
    ++stats_.errors;
    co_return fail(ErrorCode::kOverloaded,
                   fmt::format("origin {}: {} requests wait already for its {} places: retry later",
                               options_.name, line_.size(), options_.max_concurrency));
  }
  const OneShot<Result<SqlAnswer>> answer = request->answer;
  std::weak_ptr<SqlDesk> weak = self;
  request->timer = executor_.schedule(deadline, [weak, request] {
    if (auto desk = weak.lock()) desk->on_deadline(request);
  });
  if (urgency != nullptr) listen_for_raise(urgency, request);
  line_.push_back(std::move(request));
  schedule_pump();
  Result<SqlAnswer> result = co_await answer;
  co_return result;
}

void SqlDesk::listen_for_raise(const LoadUrgencyPtr& urgency, const SqlRequestPtr& request) {
  std::weak_ptr<SqlDesk> weak = shared_from_this();
  std::weak_ptr<SqlRequest> raised = request;
  std::weak_ptr<LoadUrgency> to = urgency;
  urgency->on_raise([weak, raised, to] {
    const auto desk = weak.lock();
    const auto waits = raised.lock();
    const auto now_is = to.lock();
    if (desk != nullptr && waits != nullptr && now_is != nullptr)
      desk->line_.raise(waits, now_is->get(), desk->executor_.now());
  });
}

void SqlDesk::protect(const OriginProtection& protection) {
  gate_.adopt(protection);
  schedule_pump();
}

std::optional<Error> SqlDesk::shut() const {
  const MonoTime now = executor_.now();
  if (!gate_.is_shut(now)) return std::nullopt;
  return gate_.shut_error(now);
}

// Who waits for an origin that is spared would wait for nothing.
void SqlDesk::empty_line_if_shut() {
  const auto why = shut();
  if (!why) return;
  for (const auto& request : line_.take_all()) finish(request, std::unexpected(*why));
}

void SqlDesk::schedule_pump() {
  if (pump_scheduled_ || closed_) return;
  pump_scheduled_ = true;
  std::weak_ptr<SqlDesk> weak = shared_from_this();
  executor_.at_end_of_turn([weak] {
    auto desk = weak.lock();
    if (!desk) return;
    desk->pump_scheduled_ = false;
    if (desk->closed_) return;
    desk->empty_line_if_shut();
    if (!desk->closed_) desk->pump();
  });
}

void SqlDesk::on_deadline(const SqlRequestPtr& request) {
  if (request->is_answered()) return;
  request->timer = {};
  const bool waited = request->waiting;
  if (waited) line_.remove(request);
  const bool write = request->verb != SqlVerb::kLoad;
  auto text =
      waited ? fmt::format(
                   "origin {}: the deadline passed while waiting for one of its {} places; nothing was sent",
                   options_.name, options_.max_concurrency)
      : write ? fmt::format("origin {}: no answer by the deadline; the write may or may not have happened",
                            options_.name)
              : fmt::format("origin {}: no answer by the deadline", options_.name);
  finish(request, fail(write && waited ? ErrorCode::kOriginDown : ErrorCode::kTimeout, std::move(text)));
  if (!waited && !closed_) on_late(request);
}

void SqlDesk::finish(const SqlRequestPtr& request, Result<SqlAnswer> result) {
  if (request->is_answered()) return;
  if (request->timer != TimerId{}) executor_.cancel(request->timer);
  request->timer = {};
  if (!result) ++stats_.errors;
  const MonoTime now = executor_.now();
  gate_.on_outcome(request->pass, result ? nullptr : &result.error(), request->sent, now);
  if (line_.size() > 0 && gate_.is_shut(now)) schedule_pump();
  request->answer.set(std::move(result));
}

OriginGate::Statement SqlDesk::begin(const std::vector<SqlRequestPtr>& requests) {
  took_places(1);
  const MonoTime now = executor_.now();
  for (const auto& request : requests) request->sent = now;
  const SqlRequest& first = *requests.front();
  auto statement =
      gate_.sent({first.feature->index, static_cast<std::uint32_t>(requests.size())}, stats_.in_flight, now);
  // A write waits for the disk, and for other writers: it says nothing of how busy the origin is.
  if (first.verb != SqlVerb::kLoad) statement.in_flight = 0;
  return statement;
}

void SqlDesk::end(const OriginGate::Statement& statement, bool answered) {
  gave_places(1);
  if (!answered) return;
  gate_.answered(statement, executor_.now());
  pump_after_dip();
}

void SqlDesk::lost() {
  gate_.lost(executor_.now());
  pump_after_dip();
}

// The limit rises by itself then: what waits must not wait for the next answer, which may take long.
void SqlDesk::pump_after_dip() {
  const auto ends = gate_.take_dip();
  if (!ends) return;
  executor_.schedule(*ends, [weak = std::weak_ptr<SqlDesk>(shared_from_this())] {
    if (const auto desk = weak.lock()) desk->schedule_pump();
  });
}

void SqlDesk::put_back(const SqlRequestPtr& request) {
  request->sent.reset();
  line_.push_front(request);
}

void SqlDesk::took_places(std::uint32_t count) {
  stats_.in_flight += count;
  CANDOR_ASSERT(stats_.in_flight <= options_.max_concurrency);
  stats_.in_flight_max = std::max(stats_.in_flight_max, stats_.in_flight);
}

void SqlDesk::gave_places(std::uint32_t count) {
  CANDOR_ASSERT(stats_.in_flight >= count);
  stats_.in_flight -= count;
}

void SqlDesk::close() {
  if (closed_) return;
  const auto self = shared_from_this();
  closed_ = true;
  on_close();
  for (const auto& request : line_.take_all()) {
    finish(request, fail(ErrorCode::kOriginDown,
                         fmt::format("origin {} is closing; nothing was sent", options_.name)));
  }
}

OriginStats SqlDesk::stats() const {
  OriginStats stats = stats_;
  stats.waiting = line_.size();
  gate_.report(stats, executor_.now());
  return stats;
}

}  // namespace candor
