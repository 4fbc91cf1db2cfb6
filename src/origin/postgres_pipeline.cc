// PostgresConnection at work: statements are prepared once and sent in groups, results are taken in order.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/assert.h"
#include "base/hash.h"
#include "base/ids.h"
#include "origin/postgres_batch_run.h"
#include "origin/postgres_check_run.h"
#include "origin/postgres_connection.h"
#include "origin/postgres_error.h"
#include "origin/postgres_message.h"
#include "origin/postgres_stamps.h"
#include "origin/postgres_value.h"

namespace candor {
namespace {

using ResultPtr = std::unique_ptr<PGresult, decltype(&PQclear)>;

// Keys of one batch come from outside, but a batch is short and lives for one reply: the seed need not be
// secret as long as the batch is bounded (kKeysPerStatement in postgres_origin.cc).
constexpr std::uint64_t kMatchSeed = 0x5ca1ab1e;

// The rows of a load_many back to the keys that asked, by the first column's text. The first row of a key
// counts, as in a load. A key without a row is a negative result, unless it could have been found under
// another spelling ("007" for the integer 7, another letter case under a case-insensitive collation): then it
// is to be confirmed.
void match_rows(const PostgresJob& job, const PGresult* rows, int key_column, PostgresOutcome& outcome) {
  std::unordered_map<std::string_view, int, SeededHash> row_of(16, SeededHash{kMatchSeed});
  for (int row = PQntuples(rows) - 1; row >= 0; --row) {
    if (PQgetisnull(rows, row, key_column)) continue;
    row_of[{PQgetvalue(rows, row, key_column),
            static_cast<std::size_t>(PQgetlength(rows, row, key_column))}] = row;
  }
  std::unordered_set<std::string_view, SeededHash> matched(16, SeededHash{kMatchSeed});
  for (std::size_t i = 0; i < job.requests.size(); ++i) {
    const auto found = row_of.find(job.requests[i]->key);
    if (found == row_of.end()) continue;
    outcome.answers[i]->value = row_value(rows, found->second, key_column + 1);
    matched.insert(found->first);
  }
  const bool surplus = matched.size() != row_of.size();
  const Oid type = PQftype(rows, key_column);
  for (std::size_t i = 0; i < job.requests.size(); ++i) {
    const auto& key = job.requests[i]->key;
    outcome.confirm[i] = !row_of.contains(key) && (surplus || !has_one_spelling(type, key));
  }
}

}  // namespace

const SqlStatement& PostgresJob::statement() const {
  const auto& statements = feature().statements;
  switch (role) {
    case StatementRole::kLoadMany:
      return statements.load_many;
    case StatementRole::kStore:
      return statements.store;
    case StatementRole::kErase:
      return statements.erase;
    case StatementRole::kLoad:
      break;
  }
  return statements.load;
}

bool PostgresJob::is_awaited() const {
  return std::any_of(requests.begin(), requests.end(),
                     [](const auto& request) { return !request->is_answered(); });
}

// ---- Sending

void PostgresConnection::push(Op op) {
  unsealed_ = op.kind != Op::Kind::kSync;
  ops_.push_back(std::move(op));
}

void PostgresConnection::must_send(int sent) {
  if (sent != 1) lose_soon();
}

void PostgresConnection::seal() {
  if (!unsealed_) return;
  must_send(PQpipelineSync(pg_));
  push(Op{.kind = Op::Kind::kSync});
}

void PostgresConnection::flush() {
  if (state_ == State::kClosed) return;
  seal();
  const int unsent = PQflush(pg_);
  if (unsent < 0) return lose_soon();
  set_events(unsent == 1);
}

void PostgresConnection::set_events(bool wants_write) {
  if (wants_write == wants_write_ || !watch_) return;
  wants_write_ = wants_write;
  watch_->set_events(wants_write ? FdEvents::kReadWrite : FdEvents::kRead);
}

PostgresConnection::Prepared& PostgresConnection::prepared_for(const SqlFeature& feature,
                                                               StatementRole role) {
  if (statements_.size() <= feature.index) statements_.resize(feature.index + 1u);
  return statements_[feature.index][static_cast<std::size_t>(role)];
}

std::string PostgresConnection::statement_name(const SqlFeature& feature, StatementRole role,
                                               const Prepared& prepared) const {
  return fmt::format("candor_{}_{}_{}", feature.index, statement_role_name(role), prepared.version);
}

void PostgresConnection::send(PostgresJob job) {
  CANDOR_ASSERT(is_ready());
  ++jobs_;
  auto& prepared = prepared_for(job.feature(), job.role);
  if (prepared.state == Prepared::State::kYes) return execute(std::move(job), prepared);
  const StatementId id{job.requests.front()->feature, job.role};
  prepared.parked.push_back(std::move(job));
  if (prepared.state == Prepared::State::kNo) prepare(id, prepared);
}

void PostgresConnection::prepare(const StatementId& id, Prepared& prepared) {
  seal();  // a mistake in this statement is not its neighbours'
  prepared.state = Prepared::State::kSent;
  const auto name = statement_name(*id.feature, id.role, prepared);
  const auto& statements = id.feature->statements;
  const auto& sql = id.role == StatementRole::kLoad       ? statements.load.sql
                    : id.role == StatementRole::kLoadMany ? statements.load_many.sql
                    : id.role == StatementRole::kStore    ? statements.store.sql
                                                          : statements.erase.sql;
  const auto text = is_stamped(*id.feature, id.role, prepared) ? stamped_sql(sql) : sql;
  must_send(PQsendPrepare(pg_, name.c_str(), text.c_str(), 0, nullptr));
  push(Op{.kind = Op::Kind::kPrepare, .id = id});
  must_send(PQsendDescribePrepared(pg_, name.c_str()));
  push(Op{.kind = Op::Kind::kDescribe, .id = id});
  seal();
}

void PostgresConnection::execute(PostgresJob job, Prepared& prepared) {
  const bool many = job.role == StatementRole::kLoadMany;
  PostgresParameters parameters;
  if (many) {
    parameters.owned.push_back(array_literal(job.requests));
    parameters.values = {parameters.owned.front().c_str()};
    parameters.lengths = {0};
    parameters.formats = {0};
  } else {
    auto bound = bind_parameters(*job.requests.front(), job.statement(), prepared.types);
    if (!bound) return refuse(std::move(job), bound.error());
    parameters = std::move(*bound);
  }
  const bool own_group = job.is_write() || job.requests.front()->alone;
  if (own_group) seal();
  const auto name = statement_name(job.feature(), job.role, prepared);
  must_send(PQsendQueryPrepared(pg_, name.c_str(), static_cast<int>(parameters.values.size()),
                                parameters.values.data(), parameters.lengths.data(),
                                parameters.formats.data(), 0));
  const bool wants_change_id = job.is_write() && job.feature().statements.is_watched();
  push(Op{.kind = Op::Kind::kExecute, .job = std::move(job)});
  if (wants_change_id) {  // before the group's end: in the transaction of the write
    must_send(PQsendQueryParams(pg_, "select pg_current_xact_id_if_assigned()", 0, nullptr, nullptr, nullptr,
                                nullptr, 0));
    push(Op{.kind = Op::Kind::kChangeId});
  }
  if (own_group) seal();
}

bool PostgresConnection::is_stamped(const SqlFeature& feature, StatementRole role, const Prepared& prepared) {
  const bool is_load = role == StatementRole::kLoad || role == StatementRole::kLoadMany;
  return is_load && feature.statements.is_watched() && !prepared.bare;
}

void PostgresConnection::ask(const std::string& sql, const std::vector<std::string>& parameters, Told told) {
  CANDOR_ASSERT(is_ready());
  std::vector<const char*> values;
  for (const auto& parameter : parameters) values.push_back(parameter.c_str());
  const int count = static_cast<int>(values.size());
  Question* const question = question_of(sql);
  const bool is_prepared = question != nullptr && question->state == Question::State::kPrepared;
  if (question != nullptr && question->state == Question::State::kAskedOnce) prepare_question(sql, *question);
  if (question != nullptr && question->state == Question::State::kNew)
    question->state = Question::State::kAskedOnce;
  seal();
  if (is_prepared) {
    must_send(PQsendQueryPrepared(pg_, question->name.c_str(), count, values.data(), nullptr, nullptr, 0));
  } else {
    must_send(PQsendQueryParams(pg_, sql.c_str(), count, nullptr, values.data(), nullptr, nullptr, 0));
  }
  push(Op{.kind = Op::Kind::kAsk, .told = std::move(told), .question = is_prepared ? question : nullptr});
  seal();
}

// Null: too many different ones; this one is planned each time.
PostgresConnection::Question* PostgresConnection::question_of(const std::string& sql) {
  if (questions_.size() >= kQuestionsMax && !questions_.contains(sql)) return nullptr;
  return &questions_[sql];
}

// In a group of its own: if the server will not have it, the question itself says why.
void PostgresConnection::prepare_question(const std::string& sql, Question& question) {
  question.state = Question::State::kSent;
  if (question.name.empty()) question.name = fmt::format("candor_question_{}_0", questions_.size());
  seal();
  must_send(PQsendPrepare(pg_, question.name.c_str(), sql.c_str(), 0, nullptr));
  push(Op{.kind = Op::Kind::kPrepareQuestion, .question = &question});
  seal();
}

// After a failure: the table may be another one by now. What was prepared stays at the server until the
// connection ends; a question that fails so often is not worth preparing.
void PostgresConnection::plan_anew(Question& question) {
  constexpr std::uint32_t kVersionsMax = 16;
  if (++question.version > kVersionsMax) {
    question.state = Question::State::kSent;  // for good
    return;
  }
  question.state = Question::State::kAskedOnce;
  question.name = fmt::format("{}_{}", question.name.substr(0, question.name.rfind('_')), question.version);
}

// Never sent. Reported from the executor, because the owner's own call may be on the stack.
void PostgresConnection::refuse(PostgresJob job, Error error) {
  PostgresOutcome outcome;
  outcome.kind = PostgresOutcome::Kind::kError;
  outcome.error = std::move(error);
  outcome.sqlstate = "22000";  // data exception: the nearest that PostgreSQL has
  refused_.emplace_back(std::move(job), std::move(outcome));
  if (refused_.size() > 1) return;
  executor_.post([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->report_refused();
  });
}

void PostgresConnection::report_refused() {
  for (auto& [job, outcome] : std::exchange(refused_, {})) deliver(std::move(job), std::move(outcome));
  if (state_ == State::kReady) owner_->on_quiet(*this);
}

void PostgresConnection::check(const std::vector<std::shared_ptr<const SqlFeature>>& features, Check done) {
  auto run = std::make_shared<CheckRun>();
  run->done = std::move(done);
  run->pending = 1;  // ours, given back below
  for (const auto& feature : features) {
    const auto& all = feature->statements;
    for (const auto& [role, statement] :
         {std::pair{StatementRole::kLoad, &all.load}, std::pair{StatementRole::kLoadMany, &all.load_many},
          std::pair{StatementRole::kStore, &all.store}, std::pair{StatementRole::kErase, &all.erase}}) {
      auto& prepared = prepared_for(*feature, role);
      if (!statement->exists() || prepared.state == Prepared::State::kYes) continue;
      ++run->pending;
      prepared.checks.push_back(run);
      if (prepared.state == Prepared::State::kNo) prepare(StatementId{feature, role}, prepared);
    }
  }
  flush();
  executor_.post([run] { run->one_done(nullptr); });
}

// ---- Receiving

void PostgresConnection::on_event() {
  const auto self = shared_from_this();
  if (state_ == State::kClosed) return;
  if (PQconsumeInput(pg_) != 1) return lose({ErrorCode::kOriginDown, said()});
  read_results();
  if (state_ == State::kClosed) return;
  if (PQstatus(pg_) == CONNECTION_BAD) return lose({ErrorCode::kOriginDown, said()});
  flush();
  watch_head();
  if (state_ == State::kReady) owner_->on_quiet(*this);
}

void PostgresConnection::read_results() {
  // libpq says "no more" once for each command, and once more when it goes on to commands that were sent
  // after it had fallen idle. More in a row would mean that we and it disagree about what was sent.
  int silent = 0;
  while (state_ != State::kClosed && PQisBusy(pg_) == 0 && !ops_.empty()) {
    const ResultPtr result(PQgetResult(pg_), &PQclear);
    if (result) {
      silent = 0;
      take_result(result.get());
    } else {
      if (++silent > 3) return lose_soon();
      end_of_op();
    }
  }
}

void PostgresConnection::take_result(PGresult* result) {
  auto& op = ops_.front();
  if (op.kind == Op::Kind::kSync) {
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) return take_sync();
    return group_failed(result);
  }
  if (op.answered) return;
  op.answered = true;
  switch (op.kind) {
    case Op::Kind::kExecute:
      return take_execute(op, result);
    case Op::Kind::kChangeId:
      return take_change_id(result);
    case Op::Kind::kAsk:
      return take_ask(op, result);
    case Op::Kind::kBatch:
      return take_batch(op, result);
    case Op::Kind::kPrepare:
      return take_prepare(op, result);
    case Op::Kind::kPrepareQuestion:
      return take_prepare_question(op, result);
    case Op::Kind::kDescribe:
      return take_describe(op, result);
    case Op::Kind::kSetUp:
      if (PQresultStatus(result) != PGRES_TUPLES_OK) lose({ErrorCode::kOriginDown, message_of(result)});
      return;
    case Op::Kind::kSync:
      return;
  }
}

// The end of the front command's results.
void PostgresConnection::end_of_op() {
  if (ops_.empty() || ops_.front().kind == Op::Kind::kSync || !ops_.front().answered) return;
  Op op = std::move(ops_.front());
  ops_.pop_front();
  ++heads_;
  if (op.kind == Op::Kind::kExecute) group_.emplace_back(std::move(op.job), std::move(op.outcome));
}

Error PostgresConnection::error_of(const PGresult* result, std::string_view what) const {
  const auto failure = classify_sqlstate(sqlstate_of(result));
  return Error{failure.code, fmt::format("postgresql origin {} ({}): {}: {}", target_->origin, target_->shown,
                                         what, message_of(result))};
}

void PostgresConnection::take_execute(Op& op, const PGresult* result) {
  auto& outcome = op.outcome;
  const auto status = PQresultStatus(result);
  const auto what = fmt::format("features.{}.{}", op.job.feature().name(), statement_role_name(op.job.role));
  if (status == PGRES_PIPELINE_ABORTED) {
    outcome.kind = PostgresOutcome::Kind::kSkipped;
    return;
  }
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    outcome.kind = PostgresOutcome::Kind::kError;
    outcome.sqlstate = sqlstate_of(result);
    outcome.error = error_of(result, what);
    return;
  }
  outcome.kind = PostgresOutcome::Kind::kAnswers;
  outcome.answers.resize(op.job.requests.size());
  outcome.confirm.resize(op.job.requests.size());
  switch (op.job.role) {
    case StatementRole::kLoad:
    case StatementRole::kLoadMany:
      take_rows(op, result);
      break;
    case StatementRole::kStore:
    case StatementRole::kErase:
      outcome.answers[0]->rows = std::strtoull(PQcmdTuples(const_cast<PGresult*>(result)), nullptr, 10);
      break;
  }
  for (auto& answer : outcome.answers) {
    if (!answer->value || answer->value->size() <= kValueBytesMax) continue;
    answer = fail(ErrorCode::kLimit,
                  fmt::format("{}: the row is larger than a value may be ({} bytes)", what, kValueBytesMax));
  }
}

void PostgresConnection::take_rows(Op& op, const PGresult* result) {
  auto& answers = op.outcome.answers;
  const auto& prepared = prepared_for(op.job.feature(), op.job.role);
  const bool stamped = is_stamped(op.job.feature(), op.job.role, prepared);
  const int first = stamped ? kStampColumns : 0;
  const bool found = PQntuples(result) > 0 && (!stamped || PQgetisnull(result, 0, 1) == 0);
  if (op.job.role == StatementRole::kLoadMany) {
    match_rows(op.job, result, first, op.outcome);
  } else if (found) {
    answers[0]->value = row_value(result, 0, first);
  }
  if (!stamped) return;
  const auto stamp = stamp_of_rows(result);
  const bool by_spelling = op.job.role == StatementRole::kLoad;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    // A load_many matched by the row's own text.
    const bool reachable =
        !by_spelling || is_spelled_as_the_row(*op.job.requests[i], op.job.statement(), prepared.types);
    if (reachable) answers[i]->stamp = stamp;
  }
}

// Belongs to the write before it, which waits for the end of their transaction.
void PostgresConnection::take_change_id(const PGresult* result) {
  if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 || group_.empty()) return;
  auto& outcome = group_.back().second;
  if (outcome.kind != PostgresOutcome::Kind::kAnswers || !outcome.answers[0]) return;
  outcome.answers[0]->change = ChangeId{std::strtoull(PQgetvalue(result, 0, 0), nullptr, 10)};
}

void PostgresConnection::take_ask(Op& op, const PGresult* result) {
  auto told = std::exchange(op.told, {});
  const auto status = PQresultStatus(result);
  if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return told(result);
  if (op.question != nullptr && op.question->state == Question::State::kPrepared) plan_anew(*op.question);
  told(std::unexpected(error_of(result, "question")));
}

void PostgresConnection::take_prepare_question(Op& op, const PGresult* result) {
  if (PQresultStatus(result) == PGRES_COMMAND_OK) {
    op.question->state = Question::State::kPrepared;
  } else {
    plan_anew(*op.question);
  }
}

void PostgresConnection::take_prepare(Op& op, const PGresult* result) {
  if (PQresultStatus(result) == PGRES_COMMAND_OK) return;
  const auto what = fmt::format("features.{}.{}", op.id.feature->name(), statement_role_name(op.id.role));
  prepare_error_ = error_of(result, what);
  prepare_sqlstate_ = sqlstate_of(result);
}

void PostgresConnection::take_describe(Op& op, const PGresult* result) {
  const StatementId id = op.id;
  const auto what = fmt::format("features.{}.{}", id.feature->name(), statement_role_name(id.role));
  if (auto failed = std::exchange(prepare_error_, std::nullopt))
    return prepare_failed(id, *failed, prepare_sqlstate_);
  if (PQresultStatus(result) != PGRES_COMMAND_OK) {
    return prepare_failed(id, error_of(result, what), sqlstate_of(result));
  }
  const int wanted = id.role == StatementRole::kLoad ? 1 : id.role == StatementRole::kLoadMany ? 2 : 0;
  if (PQnfields(result) <
      wanted + (is_stamped(*id.feature, id.role, prepared_for(*id.feature, id.role)) ? kStampColumns : 0)) {
    const auto* reason =
        wanted == 2 ? " must return rows of the key and the value" : " must be a query that returns a row";
    return prepare_failed(id, Error{ErrorCode::kRejected, what + reason}, "42P10");
  }
  auto& prepared = prepared_for(*id.feature, id.role);
  prepared.types.clear();
  for (int i = 0; i < PQnparams(result); ++i) prepared.types.push_back(PQparamtype(result, i));
  prepared_well(id, prepared);
}

void PostgresConnection::prepared_well(const StatementId&, Prepared& prepared) {
  prepared.state = Prepared::State::kYes;
  for (auto& job : std::exchange(prepared.parked, {})) execute(std::move(job), prepared);
  for (const auto& run : std::exchange(prepared.checks, {}))
    executor_.post([run] { run->one_done(nullptr); });
}

void PostgresConnection::prepare_failed(const StatementId& id, const Error& error,
                                        const std::string& sqlstate) {
  auto& prepared = prepared_for(*id.feature, id.role);
  prepared.state = Prepared::State::kNo;  // the next use tries again: a table may have been made
  ++prepared.version;
  const bool may_be_bare =
      is_stamped(*id.feature, id.role, prepared) && classify_sqlstate(sqlstate).code == ErrorCode::kRejected;
  prepared.bare = may_be_bare;
  // A query that cannot stand inside another (it modifies, say) goes as it is; a mistake fails again, with
  // its own text.
  // Not from here: libpq is in the middle of the failed group's results.
  if (may_be_bare) {
    prepared.state = Prepared::State::kSent;
    executor_.post([weak = weak_from_this(), id] {
      auto self = weak.lock();
      if (!self || !self->is_ready()) return;
      self->prepare(id, self->prepared_for(*id.feature, id.role));
      self->flush();
    });
    return;
  }
  auto parked = std::exchange(prepared.parked, {});
  for (const auto& run : std::exchange(prepared.checks, {})) {
    executor_.post([run, error] { run->one_done(&error); });
  }
  for (auto& job : parked) {
    PostgresOutcome outcome;
    outcome.kind = PostgresOutcome::Kind::kError;
    outcome.error = error;
    outcome.sqlstate = sqlstate;
    deliver(std::move(job), std::move(outcome));
  }
}

// The commit failed (a deferred constraint, a serialization failure): so did every statement of the group.
void PostgresConnection::group_failed(const PGresult* result) {
  if (const auto& run = ops_.front().batch) {
    // Some write of it broke a constraint that is looked at now, and nobody says which.
    const bool is_constraint = sqlstate_of(result).starts_with("23");
    return run->fail_with(
        is_constraint ? WriteBatchOutcome::Kind::kRefused : WriteBatchOutcome::Kind::kFailed,
        WriteBatchOutcome::kUnknownIndex, error_of(result, "features." + run->feature->name()));
  }
  for (auto& [job, outcome] : group_) {
    if (outcome.kind != PostgresOutcome::Kind::kAnswers) continue;
    outcome.kind = PostgresOutcome::Kind::kError;
    outcome.sqlstate = sqlstate_of(result);
    outcome.error =
        error_of(result, fmt::format("features.{}.{}", job.feature().name(), statement_role_name(job.role)));
  }
}

void PostgresConnection::take_sync() {
  const auto batch = std::move(ops_.front().batch);
  ops_.pop_front();
  ++heads_;
  if (batch != nullptr) {
    --jobs_;
    if (!batch->has_failed) batch->outcome.kind = WriteBatchOutcome::Kind::kApplied;
    return batch->finish();
  }
  if (state_ == State::kSettingUp) {
    if (!ops_.empty()) return;  // the first question's
    state_ = State::kReady;
    if (connect_timer_ != TimerId{}) executor_.cancel(std::exchange(connect_timer_, {}));
    return owner_->on_ready(*this);
  }
  for (auto& [job, outcome] : std::exchange(group_, {})) deliver(std::move(job), std::move(outcome));
}

// The answer may run anything, the owner's close() too: then the rest of what was read has no one to go to.
void PostgresConnection::deliver(PostgresJob job, PostgresOutcome outcome) {
  if (state_ == State::kClosed) return;
  if (outcome.kind == PostgresOutcome::Kind::kError && classify_sqlstate(outcome.sqlstate).stale_plan) {
    auto& prepared = prepared_for(job.feature(), job.role);
    if (prepared.state == Prepared::State::kYes) {
      prepared.state = Prepared::State::kNo;
      ++prepared.version;
    }
  }
  --jobs_;
  owner_->on_done(*this, std::move(job), std::move(outcome));
}

}  // namespace candor
