#include "change/postgres_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "origin/postgres_error.h"

namespace candor {
namespace {

// Frames handed over in one turn: the executor has other work, and 2,000 take a millisecond or two.
constexpr int kFramesPerTurn = 2'000;

// A peer that vanished without a word is noticed within seconds: a leader that is cut off must know.
constexpr std::pair<const char*, const char*> kSessionWords[] = {{"keepalives", "1"},
                                                                 {"keepalives_idle", "5"},
                                                                 {"keepalives_interval", "2"},
                                                                 {"keepalives_count", "3"},
                                                                 {"tcp_user_timeout", "10000"}};

std::string one_line(const char* text) {
  std::string line = text != nullptr ? text : "";
  while (!line.empty() && line.back() == '\n') line.pop_back();
  std::replace(line.begin(), line.end(), '\n', ' ');
  std::erase(line, '\t');
  return line;
}

}  // namespace

Error PostgresSession::error_of(const PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  sqlstate_ = state != nullptr ? state : "";
  auto text = one_line(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
  if (text.empty()) text = one_line(PQresultErrorMessage(result));
  if (!sqlstate_.empty()) text += fmt::format(" (SQLSTATE {})", sqlstate_);
  const auto hint = one_line(PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
  if (!hint.empty()) text += "; " + hint;
  return Error{classify_sqlstate(sqlstate_).code, text};
}

// ---- What is awaited

OneShot<PostgresSession::Answer> PostgresSession::expect(Duration limit, const char* what) {
  CANDOR_ASSERT(!awaiting_);
  awaiting_ = true;
  awaited_ = OneShot<Answer>();
  gathered_ = PostgresRows{};
  sqlstate_.clear();
  if (limit > Duration::zero()) {
    timer_ = executor_.schedule(executor_.now() + limit, [weak = weak_from_this(), limit, what] {
      auto self = weak.lock();
      if (!self) return;
      self->timer_ = {};
      self->lose(fmt::format("{}: no answer within {} ms", what, limit / 1ms));
    });
  }
  return awaited_;
}

void PostgresSession::answer(Answer result) {
  if (timer_ != TimerId{}) executor_.cancel(std::exchange(timer_, {}));
  if (!std::exchange(awaiting_, false)) return;
  const auto shot = awaited_;
  shot.set(std::move(result));  // may run anything
}

void PostgresSession::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  handler_ = nullptr;
  watch_.reset();  // before its descriptor goes
  if (auto* pg = std::exchange(pg_, nullptr)) PQfinish(pg);
  answer(fail(ErrorCode::kOriginDown, "the connection was closed"));
}

void PostgresSession::lose(const std::string& why) {
  if (state_ == State::kClosed) return;
  const auto self = weak_from_this().lock();
  auto* handler = state_ == State::kCopy ? handler_ : nullptr;
  const Error error{ErrorCode::kOriginDown, why.empty() ? "the connection broke" : why};
  state_ = State::kClosed;
  handler_ = nullptr;
  watch_.reset();
  if (auto* pg = std::exchange(pg_, nullptr)) PQfinish(pg);
  if (handler != nullptr) handler->on_end(error, sqlstate_);
  answer(std::unexpected(error));
}

// ---- Connecting

Task<Result<void>> PostgresSession::connect(bool replication, std::string name, std::string settings) {
  CANDOR_ASSERT(state_ == State::kIdle);
  const auto self = shared_from_this();
  state_ = State::kConnecting;
  const auto connected = expect(target_->connect_timeout, "connect");
  std::weak_ptr<PostgresSession> weak = self;
  pool_.run([&home = executor_, weak, target = target_, replication, name = std::move(name),
             settings = std::move(settings)] {
    std::vector<const char*> keywords, values;
    const auto add = [&](const char* keyword, const char* value) {
      keywords.push_back(keyword);
      values.push_back(value);
    };
    for (const auto& [keyword, value] : kSessionWords) add(keyword, value);
    for (const auto& [keyword, value] : target->words) add(keyword.c_str(), value.c_str());
    add("client_encoding", "UTF8");
    add("application_name", name.c_str());
    if (!settings.empty()) add("options", settings.c_str());
    if (replication) add("replication", "database");
    add(nullptr, nullptr);
    Started started(PQconnectStartParams(keywords.data(), values.data(), 0), &PQfinish);
    home.post([weak, started = std::move(started)]() mutable {
      if (auto session = weak.lock()) session->began(std::move(started));
    });
  });
  auto result = co_await connected;
  if (!result) co_return std::unexpected(std::move(result.error()));
  co_return Result<void>{};
}

void PostgresSession::began(Started connection) {
  if (state_ != State::kConnecting) return;  // given up meanwhile: the socket closes here
  pg_ = connection.release();
  if (pg_ == nullptr) return lose("out of memory");
  if (PQstatus(pg_) == CONNECTION_BAD) return lose(one_line(PQerrorMessage(pg_)));
  PQsetNoticeProcessor(pg_, [](void*, const char*) {}, nullptr);  // they would go to stderr
  watch_for(FdEvents::kWrite);  // libpq's rule: until the socket can be written
}

void PostgresSession::watch_for(FdEvents events) {
  watch_.reset();  // a step of connecting may close the socket and open another with the same number
  watch_ = transport_.watch(PQsocket(pg_), events, [weak = weak_from_this()](FdEvents) {
    if (auto self = weak.lock()) self->on_event();
  });
}

void PostgresSession::poll_connection() {
  watch_.reset();
  const auto step = PQconnectPoll(pg_);
  if (step == PGRES_POLLING_FAILED) return lose(one_line(PQerrorMessage(pg_)));
  if (step != PGRES_POLLING_OK) {
    return watch_for(step == PGRES_POLLING_READING ? FdEvents::kRead : FdEvents::kWrite);
  }
  if (PQsetnonblocking(pg_, 1) != 0) return lose(one_line(PQerrorMessage(pg_)));
  watch_for(FdEvents::kRead);
  state_ = State::kReady;
  answer(PostgresRows{});
}

// ---- Statements

Task<Result<PostgresRows>> PostgresSession::query(std::string sql, Duration limit) {
  const auto self = shared_from_this();
  if (state_ != State::kReady) co_return fail(ErrorCode::kOriginDown, "not connected");
  const auto rows = expect(limit, "statement");
  state_ = State::kBusy;
  if (PQsendQuery(pg_, sql.c_str()) != 1) {
    executor_.post([self] { self->lose(self->pg_ != nullptr ? one_line(PQerrorMessage(self->pg_)) : ""); });
  } else {
    flush();
  }
  auto result = co_await rows;
  co_return result;
}

Task<Result<void>> PostgresSession::start_copy(std::string sql, CopyHandler* handler, Duration limit) {
  handler_ = handler;
  auto started = co_await query(std::move(sql), limit);
  if (!started) {
    handler_ = nullptr;
    co_return std::unexpected(std::move(started.error()));
  }
  if (state_ != State::kCopy) co_return fail(ErrorCode::kOriginDown, "replication did not start");
  co_return Result<void>{};
}

void PostgresSession::flush() {
  const int unsent = PQflush(pg_);
  if (unsent < 0) return;  // the broken socket shows at the next event
  const bool wants_write = unsent == 1;
  if (wants_write == wants_write_ || !watch_) return;
  wants_write_ = wants_write;
  pause(paused_);
}

void PostgresSession::pause(bool paused) {
  const bool was = std::exchange(paused_, paused);
  if (!watch_) return;
  const auto events = paused ? (wants_write_ ? FdEvents::kWrite : FdEvents::kNone)
                             : (wants_write_ ? FdEvents::kReadWrite : FdEvents::kRead);
  watch_->set_events(events);
  if (!was || paused || more_posted_ || state_ != State::kCopy) return;
  more_posted_ = true;  // libpq may hold what was read before the pause
  executor_.post([weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->more_posted_ = false;
    if (self->state_ == State::kCopy) self->read_frames();
  });
}

void PostgresSession::send_copy(const std::string& bytes) {
  if (state_ != State::kCopy) return;
  // A status that does not fit is dropped: the next one says the same and more.
  if (PQputCopyData(pg_, bytes.data(), static_cast<int>(bytes.size())) == 1) flush();
}

// ---- Receiving

void PostgresSession::on_event() {
  const auto self = shared_from_this();
  if (state_ == State::kConnecting) return poll_connection();
  if (state_ == State::kClosed) return;
  if (wants_write_) flush();
  if (paused_) return;
  if (PQconsumeInput(pg_) != 1) return lose(one_line(PQerrorMessage(pg_)));
  if (state_ == State::kCopy) return read_frames();
  read_results();
  if (state_ == State::kReady && PQstatus(pg_) == CONNECTION_BAD) lose(one_line(PQerrorMessage(pg_)));
}

void PostgresSession::read_results() {
  while (state_ == State::kBusy && PQisBusy(pg_) == 0) {
    std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(pg_), &PQclear);
    if (!result) {
      state_ = State::kReady;
      return answer(std::move(gathered_));
    }
    switch (PQresultStatus(result.get())) {
      case PGRES_COPY_BOTH:
        state_ = State::kCopy;
        answer(PostgresRows{});
        if (state_ == State::kCopy) read_frames();
        return;
      case PGRES_TUPLES_OK:
      case PGRES_COMMAND_OK:
      case PGRES_EMPTY_QUERY:
        if (gathered_) gathered_ = PostgresRows(result.release());
        break;
      default:
        if (gathered_) gathered_ = std::unexpected(error_of(result.get()));
    }
  }
}

void PostgresSession::read_frames() {
  const auto self = shared_from_this();
  for (int n = 0; state_ == State::kCopy && !paused_; ++n) {
    if (n == kFramesPerTurn) {
      if (std::exchange(more_posted_, true)) break;
      executor_.post([weak = weak_from_this()] {
        auto me = weak.lock();
        if (!me) return;
        me->more_posted_ = false;
        if (me->state_ == State::kCopy) me->read_frames();
      });
      break;
    }
    char* buffer = nullptr;
    const int length = PQgetCopyData(pg_, &buffer, 1);
    if (length == 0) break;
    if (length < 0) return end_copy();
    const std::unique_ptr<char, decltype(&PQfreemem)> owned(buffer, &PQfreemem);
    const auto taken = handler_->on_frame({buffer, static_cast<std::size_t>(length)});
    if (!taken) return lose(taken.error().message);
  }
  if (state_ == State::kCopy) handler_->on_quiet();
}

void PostgresSession::end_copy() {
  std::string why = one_line(PQerrorMessage(pg_));
  // Bounded: after the end of a copy there is an error, or the result of the command, and no more.
  for (int n = 0; n < 4 && PQisBusy(pg_) == 0; ++n) {
    const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQgetResult(pg_), &PQclear);
    if (!result) break;
    if (PQresultStatus(result.get()) == PGRES_FATAL_ERROR) why = error_of(result.get()).message;
  }
  lose(why.empty() ? "the server ended the replication" : why);
}

}  // namespace candor
