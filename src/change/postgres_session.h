// One libpq connection of the feed: plain statements, one at a time, and replication. Driven by the
// executor's readiness events; the first step of connecting, which may resolve a name, runs on a
// BlockingPool.
//
// Invariants
//   - What is awaited is answered once: with its result, by its time limit, or because the session closed.
//   - While paused nothing is read from the socket, so that the server is held back; statuses still leave.
// Thread safety: one executor. Shared ownership: the pool's step and readiness events may outlive the owner's
// interest.
#pragma once

#include <libpq-fe.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/executor.h"
#include "base/result.h"
#include "base/task.h"
#include "base/transport.h"
#include "origin/postgres_connection.h"

namespace candor {

// Rows of a statement, as text.
class PostgresRows {
 public:
  PostgresRows() = default;
  explicit PostgresRows(PGresult* result) : result_(result, &PQclear) {}
  [[nodiscard]] int count() const { return result_ ? PQntuples(result_.get()) : 0; }
  [[nodiscard]] std::string text(int row, int column) const {
    if (!result_ || row >= count() || column >= PQnfields(result_.get())) return {};
    return {PQgetvalue(result_.get(), row, column),
            static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
  }
  [[nodiscard]] bool is_true(int row, int column) const { return text(row, column) == "t"; }

 private:
  std::shared_ptr<PGresult> result_;
};

class PostgresSession : public std::enable_shared_from_this<PostgresSession> {
 public:
  class CopyHandler {
   public:
    virtual ~CopyHandler() = default;
    // One frame of the replication stream. An error ends the session.
    virtual Result<void> on_frame(std::string_view frame) = 0;
    // What had arrived together has been handed over.
    virtual void on_quiet() = 0;
    // The stream ended; nothing follows.
    virtual void on_end(const Error& reason, const std::string& sqlstate) = 0;
  };

  PostgresSession(std::shared_ptr<const PostgresTarget> target, Executor& executor, Transport& transport,
                  BlockingPool& pool)
      : target_(std::move(target)), executor_(executor), transport_(transport), pool_(pool) {}
  ~PostgresSession() { close(); }
  PostgresSession(const PostgresSession&) = delete;
  PostgresSession& operator=(const PostgresSession&) = delete;

  // `settings`: "-c name=value …" for the server. `name` is the application's.
  [[nodiscard]] Task<Result<void>> connect(bool replication, std::string name, std::string settings);
  // A limit of zero: as long as it takes. The rows of the last statement in `sql`.
  [[nodiscard]] Task<Result<PostgresRows>> query(std::string sql, Duration limit);
  // Begins replication; frames arrive at `handler` from then on.
  [[nodiscard]] Task<Result<void>> start_copy(std::string sql, CopyHandler* handler, Duration limit);
  void send_copy(const std::string& bytes);
  void pause(bool paused);
  // Ends what is awaited with an error; no call to the handler follows.
  void close();

  [[nodiscard]] bool is_open() const { return pg_ != nullptr && state_ != State::kClosed; }
  // Of the last error the server reported; empty when it was the connection.
  [[nodiscard]] const std::string& sqlstate() const { return sqlstate_; }

 private:
  enum class State : std::uint8_t { kIdle, kConnecting, kReady, kBusy, kCopy, kClosed };
  using Answer = Result<PostgresRows>;
  using Started = std::unique_ptr<PGconn, decltype(&PQfinish)>;

  OneShot<Answer> expect(Duration limit, const char* what);
  void answer(Answer result);
  void began(Started connection);
  void poll_connection();
  void watch_for(FdEvents events);
  void on_event();
  void read_results();
  void read_frames();
  void end_copy();
  void flush();
  void lose(const std::string& why);
  [[nodiscard]] Error error_of(const PGresult* result);

  std::shared_ptr<const PostgresTarget> target_;
  Executor& executor_;
  Transport& transport_;
  BlockingPool& pool_;
  State state_ = State::kIdle;
  PGconn* pg_ = nullptr;
  std::unique_ptr<FdWatch> watch_;
  bool wants_write_ = false;
  bool paused_ = false;
  bool more_posted_ = false;
  CopyHandler* handler_ = nullptr;
  OneShot<Answer> awaited_;
  bool awaiting_ = false;
  TimerId timer_;
  Answer gathered_{PostgresRows{}};
  std::string sqlstate_;
};

}  // namespace candor
