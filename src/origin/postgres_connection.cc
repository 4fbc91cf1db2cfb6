// Connecting, and the end. What is sent and received meanwhile: postgres_pipeline.cc; what nobody waits for
// any more: postgres_deadlines.cc.
#include "origin/postgres_connection.h"

#include <fmt/format.h>

#include <utility>

#include "base/assert.h"
#include "origin/postgres_batch_run.h"
#include "origin/postgres_check_run.h"
#include "origin/postgres_message.h"

namespace candor {
namespace {

// One statement, so that a pooler in between sees one. client_connection_check_interval exists from
// PostgreSQL 14 on, and only where the server's system can do it; elsewhere nothing is selected and nothing
// fails.
constexpr const char* kSetUpStatement =
    "select set_config('statement_timeout', $1, false), set_config('bytea_output', 'hex', false), "
    "set_config('standard_conforming_strings', 'on', false), "
    "(select set_config(name, '1000', false) from pg_catalog.pg_settings "
    "where name = 'client_connection_check_interval')";

// What we set unless the URL says otherwise: a peer that vanished without a word is noticed within half a
// minute.
constexpr std::pair<const char*, const char*> kDefaultWords[] = {
    {"application_name", "candor"}, {"keepalives", "1"},       {"keepalives_idle", "15"},
    {"keepalives_interval", "5"},   {"keepalives_count", "3"}, {"tcp_user_timeout", "30000"}};

}  // namespace

PostgresConnection::PostgresConnection(std::shared_ptr<const PostgresTarget> target, Owner* owner,
                                       Executor& executor, Transport& transport, BlockingPool& pool)
    : target_(std::move(target)), owner_(owner), executor_(executor), transport_(transport), pool_(pool) {}

PostgresConnection::~PostgresConnection() { close(); }

void PostgresConnection::close() {
  state_ = State::kClosed;
  if (connect_timer_ != TimerId{}) executor_.cancel(connect_timer_);
  if (head_timer_ != TimerId{}) executor_.cancel(head_timer_);
  connect_timer_ = head_timer_ = {};
  watch_.reset();  // before its descriptor goes
  if (auto* pg = std::exchange(pg_, nullptr)) PQfinish(pg);
}

// ---- Connecting

void PostgresConnection::connect(std::string question, Told told) {
  CANDOR_ASSERT(state_ == State::kIdle);
  first_question_ = std::move(question);
  first_told_ = std::move(told);
  state_ = State::kStarting;
  auto weak = weak_from_this();
  connect_timer_ = executor_.schedule(executor_.now() + target_->connect_timeout, [weak] {
    auto self = weak.lock();
    if (!self) return;
    self->connect_timer_ = {};
    self->lose({ErrorCode::kOriginDown,
                fmt::format("no connection within {} ms", self->target_->connect_timeout / 1ms)});
  });
  pool_.run([&home = executor_, weak, target = target_] {
    std::vector<const char*> keywords, values;
    const auto add = [&](const char* keyword, const char* value) {
      keywords.push_back(keyword);
      values.push_back(value);
    };
    for (const auto& [keyword, value] : kDefaultWords) add(keyword, value);  // a later word wins
    for (const auto& [keyword, value] : target->words) add(keyword.c_str(), value.c_str());
    add("client_encoding", "UTF8");
    add(nullptr, nullptr);
    Started started(PQconnectStartParams(keywords.data(), values.data(), 0), &PQfinish);
    home.post([weak, started = std::move(started)]() mutable {
      if (auto self = weak.lock()) self->began(std::move(started));
    });
  });
}

void PostgresConnection::began(Started connection) {
  if (state_ != State::kStarting) return;  // given up meanwhile: the socket closes here
  pg_ = connection.release();
  if (pg_ == nullptr) return lose({ErrorCode::kOverloaded, "out of memory"});
  if (PQstatus(pg_) == CONNECTION_BAD) return lose({ErrorCode::kOriginDown, said()});
  PQsetNoticeProcessor(pg_, [](void*, const char*) {}, nullptr);  // they would go to stderr
  state_ = State::kConnecting;
  auto weak = weak_from_this();
  // libpq's rule: before the first poll, wait until the socket can be written.
  watch_ = transport_.watch(PQsocket(pg_), FdEvents::kWrite, [weak](FdEvents) {
    if (auto self = weak.lock()) self->poll_connection();
  });
}

void PostgresConnection::poll_connection() {
  if (state_ != State::kConnecting) return;
  // A step may close the socket and open another with the same number: no watch may outlive it.
  watch_.reset();
  const auto step = PQconnectPoll(pg_);
  if (step == PGRES_POLLING_FAILED) return lose({ErrorCode::kOriginDown, said()});
  if (step == PGRES_POLLING_OK) return set_up();
  auto weak = weak_from_this();
  watch_ = transport_.watch(PQsocket(pg_), step == PGRES_POLLING_READING ? FdEvents::kRead : FdEvents::kWrite,
                            [weak](FdEvents) {
                              if (auto self = weak.lock()) self->poll_connection();
                            });
}

void PostgresConnection::set_up() {
  state_ = State::kSettingUp;
  auto weak = weak_from_this();
  watch_ = transport_.watch(PQsocket(pg_), FdEvents::kRead, [weak](FdEvents) {
    if (auto self = weak.lock()) self->on_event();
  });
  if (PQsetnonblocking(pg_, 1) != 0 || PQenterPipelineMode(pg_) != 1)
    return lose({ErrorCode::kOriginDown, said()});
  const auto timeout = std::to_string(target_->statement_timeout / 1ms);
  const char* values[] = {timeout.c_str()};
  must_send(PQsendQueryParams(pg_, kSetUpStatement, 1, nullptr, values, nullptr, nullptr, 0));
  push(Op{.kind = Op::Kind::kSetUp});
  if (!first_question_.empty()) {
    seal();  // whoever speaks the protocol and does not know this has still been set up
    must_send(PQsendQueryParams(pg_, first_question_.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0));
    push(Op{.kind = Op::Kind::kAsk, .told = std::exchange(first_told_, {})});
  }
  flush();
}

// ---- The end

std::string PostgresConnection::said() const { return without_newline(PQerrorMessage(pg_)); }

void PostgresConnection::lose_soon() {
  if (std::exchange(losing_, true)) return;
  executor_.post([weak = weak_from_this()] {
    if (auto self = weak.lock())
      self->lose({ErrorCode::kOriginDown, self->pg_ != nullptr ? self->said() : ""});
  });
}

void PostgresConnection::lose(Error reason) {
  if (state_ == State::kClosed) return;
  const auto self = shared_from_this();
  reason.message =
      fmt::format("postgresql origin {} ({}): {}", target_->origin, target_->shown, reason.message);
  close();
  std::vector<PostgresJob> sent, unsent;
  for (auto& [job, outcome] : std::exchange(group_, {})) sent.push_back(std::move(job));
  std::vector<Told> asked;
  std::vector<std::shared_ptr<BatchRun>> batches;
  for (auto& op : std::exchange(ops_, {})) {
    if (op.kind == Op::Kind::kSync && op.batch != nullptr) batches.push_back(op.batch);
    if (op.kind == Op::Kind::kExecute) sent.push_back(std::move(op.job));
    if (op.kind == Op::Kind::kAsk && op.told) asked.push_back(std::move(op.told));
  }
  for (auto& [job, outcome] : std::exchange(refused_, {})) unsent.push_back(std::move(job));
  for (auto& of_feature : statements_) {
    for (auto& prepared : of_feature) {
      for (auto& job : std::exchange(prepared.parked, {})) unsent.push_back(std::move(job));
      for (const auto& run : std::exchange(prepared.checks, {})) {
        executor_.post([run, reason] { run->one_done(&reason); });
      }
    }
  }
  jobs_ = 0;
  owner_->on_lost(*this, reason, std::move(sent), std::move(unsent));
  for (auto& told : asked) told(std::unexpected(reason));
  for (const auto& batch : batches) {
    batch->fail_with(WriteBatchOutcome::Kind::kFailed, WriteBatchOutcome::kUnknownIndex, reason);
    // Whatever an answer said before, the commit was not seen.
    batch->outcome.kind = WriteBatchOutcome::Kind::kFailed;
    batch->finish();
  }
}

}  // namespace candor
