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
    return load_row(desk_, feature_, std::move(key), deadline);
  }
  Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime deadline) override {
    return write(SqlVerb::kStore, desk_, feature_, std::move(key), std::move(value), deadline);
  }
  Task<Result<OriginWrite>> erase(std::string key, MonoTime deadline) override {
    return write(SqlVerb::kErase, desk_, feature_, std::move(key), std::string(), deadline);
  }
  Task<Result<bool>> confirm(std::string key, HeldRow held, MonoTime deadline) override {
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

  static Task<Result<OriginRow>> load_row(Desk desk, Feature feature, std::string key, MonoTime deadline) {
    auto answer = co_await desk->run(SqlVerb::kLoad, feature, std::move(key), std::string(), deadline);
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
                                     std::string value, MonoTime deadline) {
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
  line_.push_back(std::move(request));
  schedule_pump();
  Result<SqlAnswer> result = co_await answer;
  co_return result;
}

void SqlDesk::schedule_pump() {
  if (pump_scheduled_ || closed_) return;
  pump_scheduled_ = true;
  std::weak_ptr<SqlDesk> weak = shared_from_this();
  executor_.at_end_of_turn([weak] {
    auto desk = weak.lock();
    if (!desk) return;
    desk->pump_scheduled_ = false;
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
  request->answer.set(std::move(result));
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
  return stats;
}

}  // namespace candor
