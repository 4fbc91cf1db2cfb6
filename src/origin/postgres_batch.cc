// PostgresConnection and write-behind batches. One group of the pipeline is one transaction: first the log's
// position moves, or fails on purpose when it is not where it was expected; then the writes; then the id of
// the transaction.
#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "base/assert.h"
#include "origin/postgres_batch_run.h"
#include "origin/postgres_connection.h"
#include "origin/postgres_error.h"
#include "origin/postgres_message.h"
#include "origin/postgres_value.h"

namespace candor {
namespace {

// Nothing in a pipeline can look at an answer before the next statement runs: so the wrong position divides
// by zero, which ends the transaction. The row's lock makes an earlier attempt, which the server may still be
// at work on, come first.
constexpr const char* kMovePosition =
    "with moved as (update candor_write_behind set position = $3::bigint "
    "where log_id = $1 and position = $2::bigint returning 1) select 1 / count(*) from moved";
constexpr const char* kDivisionByZero = "22012";
constexpr const char* kChangeId = "select pg_current_xact_id_if_assigned()";

// Would the same write fail again, whatever else happens? Data exceptions, broken constraints, a type that
// does not fit, and what a trigger or a function raised itself. A missing table or right says nothing of the
// row.
bool is_for_good(const std::string& sqlstate) {
  return sqlstate.starts_with("22") || sqlstate.starts_with("23") || sqlstate == "42804" ||
         sqlstate == "P0001" || sqlstate == "54000" || sqlstate == "44000";
}

}  // namespace

void PostgresConnection::apply(const std::shared_ptr<const SqlFeature>& feature, const WriteBatch& batch,
                               BatchDone done) {
  CANDOR_ASSERT(is_ready());
  auto run = std::make_shared<BatchRun>();
  run->feature = feature;
  run->writes = batch.writes.size();
  run->done = std::move(done);
  const auto requests = requests_of(feature, batch);
  // All are bound before the first is sent: what cannot be bound spoils nothing.
  for (std::size_t i = 0; i < requests.size() && !run->has_failed; ++i) {
    const SqlRequest& request = *requests[i];
    const auto role = request.verb == SqlVerb::kErase ? StatementRole::kErase : StatementRole::kStore;
    const Prepared& prepared = prepared_for(*feature, role);
    if (prepared.state != Prepared::State::kYes) {
      run->fail_with(WriteBatchOutcome::Kind::kFailed, i,
                     Error{ErrorCode::kOriginDown, "its statement is not prepared yet"});
      continue;
    }
    auto bound = bind_parameters(request, feature->statement(request.verb), prepared.types);
    if (!bound) run->fail_with(WriteBatchOutcome::Kind::kRefused, i, bound.error());
  }
  if (run->has_failed) return executor_.post([run] { run->finish(); });
  ++jobs_;
  send_batch(run, batch, requests);
}

void PostgresConnection::send_batch(const std::shared_ptr<BatchRun>& run, const WriteBatch& batch,
                                    const std::vector<SqlRequestPtr>& requests) {
  seal();
  std::size_t step = 0;
  const auto sent = [&](int ok) {
    must_send(ok);
    Op op{.kind = Op::Kind::kBatch};
    op.batch = run;
    op.batch_step = step++;
    push(std::move(op));
  };
  const std::string expected = std::to_string(batch.expected);
  const std::string position = std::to_string(batch.position);
  const char* values[] = {batch.log_id.c_str(), expected.c_str(), position.c_str()};
  sent(PQsendQueryParams(pg_, kMovePosition, 3, nullptr, values, nullptr, nullptr, 0));
  for (const auto& request : requests) {
    const auto role = request->verb == SqlVerb::kErase ? StatementRole::kErase : StatementRole::kStore;
    const Prepared& prepared = prepared_for(*run->feature, role);
    const auto bound = bind_parameters(*request, run->feature->statement(request->verb), prepared.types);
    const auto name = statement_name(*run->feature, role, prepared);
    sent(PQsendQueryPrepared(pg_, name.c_str(), static_cast<int>(bound->values.size()), bound->values.data(),
                             bound->lengths.data(), bound->formats.data(), 0));
  }
  sent(PQsendQueryParams(pg_, kChangeId, 0, nullptr, nullptr, nullptr, nullptr, 0));
  must_send(PQpipelineSync(pg_));
  Op end{.kind = Op::Kind::kSync};
  end.batch = run;
  push(std::move(end));
}

void PostgresConnection::take_batch(Op& op, const PGresult* result) {
  BatchRun& run = *op.batch;
  const auto status = PQresultStatus(result);
  if (status == PGRES_PIPELINE_ABORTED) return;
  const bool is_write = op.batch_step > 0 && op.batch_step <= run.writes;
  if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
    if (op.batch_step == run.writes + 1 && PQntuples(result) == 1) {
      const ChangeId change{std::strtoull(PQgetvalue(result, 0, 0), nullptr, 10)};
      run.outcome.changes.assign(run.writes, change);
    }
    return;
  }
  const std::string sqlstate = sqlstate_of(result);
  Error error = error_of(result, fmt::format("features.{}, write-behind", run.feature->name()));
  if (!is_write) {
    const bool is_elsewhere = op.batch_step == 0 && sqlstate == kDivisionByZero;
    return run.fail_with(is_elsewhere ? WriteBatchOutcome::Kind::kMoved : WriteBatchOutcome::Kind::kFailed,
                         WriteBatchOutcome::kUnknownIndex, std::move(error));
  }
  // It is prepared again for the next attempt: a table may have been altered.
  if (classify_sqlstate(sqlstate).stale_plan) {
    for (const auto role : {StatementRole::kStore, StatementRole::kErase}) {
      auto& prepared = prepared_for(*run.feature, role);
      if (prepared.state != Prepared::State::kYes) continue;
      prepared.state = Prepared::State::kNo;
      ++prepared.version;
    }
  }
  run.fail_with(is_for_good(sqlstate) ? WriteBatchOutcome::Kind::kRefused : WriteBatchOutcome::Kind::kFailed,
                op.batch_step - 1, std::move(error));
}

}  // namespace candor
