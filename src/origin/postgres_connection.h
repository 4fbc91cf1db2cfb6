// One libpq connection in pipeline mode, driven by an executor's readiness events. Never blocks the
// executor's thread: the first step of connecting, which may resolve a name or read a password file, runs on
// a BlockingPool.
//
// Statements are sent in groups. A group ends with a sync, which for the server is the end of a transaction:
// a write is a group of its own and is answered when its group ends, for only then is it committed. Loads
// share groups; when one fails, the server skips the rest of its group, and the owner sends those again.
//
// Invariants
//   - ops_ is exactly what the server has been sent and has not yet answered, in order.
//   - Every job handed to send() comes back once: on_done() or, if the connection is lost, in on_lost().
// Thread safety: one executor.
#pragma once

#include <libpq-fe.h>

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "base/transport.h"
#include "origin/sql_request.h"

namespace candor {

// Parsed from the URL; holds the password, is never printed.
struct PostgresTarget {
  std::string origin;                                      // its name, for messages
  std::vector<std::pair<std::string, std::string>> words;  // libpq's keywords
  std::string shown;                                       // "app@127.0.0.1:5432/shop"
  Duration connect_timeout = 5s;
  Duration statement_timeout = 30s;
};

// Forms: postgresql://USER[:PASSWORD]@HOST[:PORT]/DB[?OPTION=…], postgres://…; options as libpq has them.
[[nodiscard]] Result<PostgresTarget> parse_postgres_url(std::string_view origin, std::string_view url);

// One statement's worth of work: a load_many has many requests, everything else one.
struct PostgresJob {
  StatementRole role = StatementRole::kLoad;
  std::vector<SqlRequestPtr> requests;
  OriginGate::Statement statement_in_flight{};

  [[nodiscard]] const SqlFeature& feature() const { return *requests.front()->feature; }
  [[nodiscard]] const SqlStatement& statement() const;
  [[nodiscard]] bool is_write() const {
    return role == StatementRole::kStore || role == StatementRole::kErase;
  }
  [[nodiscard]] bool is_awaited() const;
};

struct PostgresOutcome {
  enum class Kind : std::uint8_t {
    kAnswers,  // one for each request, in order
    kError,    // of the statement
    kSkipped,  // not executed: something before it failed
  };
  Kind kind = Kind::kSkipped;
  std::vector<Result<SqlAnswer>> answers;
  std::vector<bool> confirm;  // kAnswers of a load_many: true where the answer is not to be trusted
  Error error;
  std::string sqlstate;
};

class PostgresConnection : public std::enable_shared_from_this<PostgresConnection> {
 public:
  // Calls arrive on the executor, never inside a call of the owner's.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_ready(PostgresConnection& connection) = 0;
    virtual void on_done(PostgresConnection& connection, PostgresJob job, PostgresOutcome outcome) = 0;
    // All results that had arrived together have been reported.
    virtual void on_quiet(PostgresConnection& connection) = 0;
    // It failed, or never came to be. `sent` may have been executed, `unsent` was not. The last call.
    virtual void on_lost(PostgresConnection& connection, const Error& reason, std::vector<PostgresJob> sent,
                         std::vector<PostgresJob> unsent) = 0;
  };
  using Check = std::function<void(Result<void>)>;
  // The rows, or why not; the rows are borrowed.
  using Told = std::move_only_function<void(Result<const PGresult*>)>;

  PostgresConnection(std::shared_ptr<const PostgresTarget> target, Owner* owner, Executor& executor,
                     Transport& transport, BlockingPool& pool);
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  // `question`: asked before anything else; `told` has its answer before on_ready(). Empty: none.
  void connect(std::string question = {}, Told told = {});
  // No further call to the owner; the socket closes.
  void close();

  [[nodiscard]] bool is_ready() const { return state_ == State::kReady; }
  [[nodiscard]] std::uint32_t jobs() const { return jobs_; }
  // Nothing was sent that has not been answered.
  [[nodiscard]] bool is_idle() const { return jobs_ == 0 && ops_.empty(); }

  // Only while ready. Nothing leaves before flush().
  void send(PostgresJob job);
  void flush();
  // Prepares every statement of these features; the first error is the result.
  void check(const std::vector<std::shared_ptr<const SqlFeature>>& features, Check done);

  // A question of the origin's own (a probe, a confirmation), in a transaction of its own. Only while ready;
  // nothing leaves before flush(). `told` is called once, also when the connection is lost, never inside this
  // call.
  void ask(const std::string& sql, const std::vector<std::string>& parameters, Told told);

  // A batch of write-behind, in one transaction with its position. The feature's statements have been
  // checked. Only while ready; nothing leaves before flush(). `done` is called once, also when the connection
  // is lost, never inside this call.
  using BatchDone = std::move_only_function<void(WriteBatchOutcome)>;
  void apply(const std::shared_ptr<const SqlFeature>& feature, const WriteBatch& batch, BatchDone done);

  // Nobody waits for `request` any more. If the server is at work on it, that is the end of this connection:
  // the server notices within a second, and stops (client_connection_check_interval; statement_timeout for
  // servers before 14).
  void on_late(const SqlRequest& request);

 private:
  enum class State : std::uint8_t { kIdle, kStarting, kConnecting, kSettingUp, kReady, kClosed };
  struct CheckRun;
  struct BatchRun;
  struct Prepared {
    enum class State : std::uint8_t { kNo, kSent, kYes } state = State::kNo;
    std::uint32_t version = 0;  // a statement made again gets another name
    bool bare = false;          // it cannot be asked for together with its snapshot: no stamps
    std::vector<Oid> types;
    std::vector<PostgresJob> parked;  // until it is prepared
    std::vector<std::shared_ptr<CheckRun>> checks;
  };
  struct StatementId {
    std::shared_ptr<const SqlFeature> feature;
    StatementRole role = StatementRole::kLoad;
  };
  // A question that is asked again and again, the same text each time: looking into the catalogue takes
  // several times as long to plan as to run.
  struct Question {
    enum class State : std::uint8_t { kNew, kAskedOnce, kSent, kPrepared } state = State::kNew;
    std::uint32_t version = 0;  // a statement made again gets another name
    std::string name;
  };
  struct Op {
    enum class Kind : std::uint8_t {
      kSetUp,
      kPrepare,
      kPrepareQuestion,
      kDescribe,
      kExecute,
      kChangeId,
      kAsk,
      kBatch,
      kSync
    } kind = Kind::kSync;
    StatementId id;
    PostgresJob job;               // kExecute
    Told told{};                   // kAsk
    Question* question = nullptr;  // kPrepareQuestion, and a kAsk that was prepared
    PostgresOutcome outcome;
    bool answered = false;
    std::shared_ptr<BatchRun> batch{};  // kBatch, and the kSync that ends it
    std::size_t batch_step = 0;         // kBatch: 0 the position, then the writes, then the change id
  };

  using Started = std::unique_ptr<PGconn, decltype(&PQfinish)>;
  void began(Started connection);
  void poll_connection();
  void set_up();
  void on_event();
  void read_results();
  void take_result(PGresult* result);
  void take_execute(Op& op, const PGresult* result);
  void take_rows(Op& op, const PGresult* result);
  void take_change_id(const PGresult* result);
  void take_ask(Op& op, const PGresult* result);
  void take_prepare_question(Op& op, const PGresult* result);
  void send_batch(const std::shared_ptr<BatchRun>& run, const WriteBatch& batch,
                  const std::vector<SqlRequestPtr>& requests);
  void take_batch(Op& op, const PGresult* result);
  [[nodiscard]] Question* question_of(const std::string& sql);
  void prepare_question(const std::string& sql, Question& question);
  static void plan_anew(Question& question);
  [[nodiscard]] static bool is_stamped(const SqlFeature& feature, StatementRole role,
                                       const Prepared& prepared);
  void take_prepare(Op& op, const PGresult* result);
  void take_describe(Op& op, const PGresult* result);
  void take_sync();
  void group_failed(const PGresult* result);
  void end_of_op();
  void deliver(PostgresJob job, PostgresOutcome outcome);
  void prepare(const StatementId& id, Prepared& prepared);
  void prepare_failed(const StatementId& id, const Error& error, const std::string& sqlstate);
  void prepared_well(const StatementId& id, Prepared& prepared);
  void execute(PostgresJob job, Prepared& prepared);
  void refuse(PostgresJob job, Error error);
  void report_refused();
  void seal();
  void set_events(bool wants_write);
  void watch_head();
  void lose(Error reason);
  void lose_soon();
  void must_send(int sent);
  void push(Op op);
  [[nodiscard]] Prepared& prepared_for(const SqlFeature& feature, StatementRole role);
  [[nodiscard]] std::string statement_name(const SqlFeature& feature, StatementRole role,
                                           const Prepared& prepared) const;
  [[nodiscard]] std::string said() const;
  [[nodiscard]] Error error_of(const PGresult* result, std::string_view what) const;

  std::shared_ptr<const PostgresTarget> target_;
  Owner* owner_;
  Executor& executor_;
  Transport& transport_;
  BlockingPool& pool_;
  State state_ = State::kIdle;
  std::string first_question_;
  Told first_told_;
  PGconn* pg_ = nullptr;
  std::unique_ptr<FdWatch> watch_;
  bool wants_write_ = false;
  TimerId connect_timer_;
  TimerId head_timer_;
  std::deque<Op> ops_;
  std::vector<std::pair<PostgresJob, PostgresOutcome>>
      group_;  // answered, waiting for the end of their group
  std::vector<std::pair<PostgresJob, PostgresOutcome>>
      refused_;                         // never sent; reported with the next results
  std::optional<Error> prepare_error_;  // of the kPrepare before the kDescribe at the front
  std::string prepare_sqlstate_;
  std::uint64_t heads_ =
      0;                   // counts changes of the front, so that a timer knows whether it is still the same
  bool unsealed_ = false;  // something was sent after the last sync
  bool losing_ = false;
  std::uint32_t jobs_ = 0;
  std::vector<std::array<Prepared, 4>> statements_;  // by feature and role
  // By text. One for the probe and one for each feature; composite keys have one for each number of keys.
  static constexpr std::size_t kQuestionsMax = 256;
  std::unordered_map<std::string, Question> questions_;
};

}  // namespace candor
