#include "origin/postgres_origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <unordered_set>
#include <utility>

#include "origin/postgres_error.h"
#include "origin/postgres_history.h"
#include "origin/postgres_keys.h"
#include "origin/postgres_stamps.h"

namespace candor {
namespace {

// Keys in one load_many: enough that the round trip no longer matters, few enough that the statement stays
// short.
constexpr std::size_t kKeysPerStatement = 500;
// Statements in flight on one connection. The server runs them one after the other; the pipeline only has to
// be long enough to cover a round trip.
constexpr std::uint32_t kPipelineDepth = 16;
// Pauses between attempts to connect: double from the first to the last, each shortened by a random half.
constexpr Duration kFirstPause = 100ms;
constexpr Duration kLastPause = 5s;
// Keys of one confirmation: few enough that the statement of a composite key stays short to plan.
constexpr std::size_t kKeysPerConfirmation = 200;
constexpr std::size_t kCompositeKeysPerConfirmation = 32;
// Probes and statements of confirmations that wait for a place: each stands for up to 200 keys.
constexpr std::size_t kQuestionsMax = 256;
// Batches that wait for a place: one for each feature that writes behind.
constexpr std::size_t kBatchesMax = 4096;
// Confirmations gathered in one turn of the loop.
constexpr std::size_t kConfirmationsMax = 16'384;

}  // namespace

class PostgresOrigin::Desk final : public SqlDesk, public PostgresConnection::Owner {
 public:
  Desk(PostgresTarget target, PostgresOrigin::Options options, Executor& executor, Transport& transport,
       BlockingPool& pool)
      : SqlDesk(std::move(options.desk), executor),
        target_(std::make_shared<const PostgresTarget>(std::move(target))),
        transport_(transport),
        pool_(pool),
        connections_max_(options.connections_max),
        slot_prefix_(std::move(options.slot_prefix)),
        random_(options.seed) {}

  [[nodiscard]] const PostgresTarget& target() const { return *target_; }
  [[nodiscard]] std::uint32_t connections() const { return static_cast<std::uint32_t>(ready_.size()); }

  [[nodiscard]] const std::string& slot_prefix() const { return slot_prefix_; }

  void on_history_lost(std::function<void(const PostgresHistory::Verdict&)> told) {
    history_told_ = std::move(told);
  }

  // Where the server stands, with what that says of its history noted first.
  void ask_probe(MonoTime deadline, std::function<void(Result<OriginProbe>)> told) {
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    ask(probe_sql(slot_prefix_), {}, deadline,
        [weak, told = std::move(told), mark = history_.mark(),
         prefix = slot_prefix_](Result<const PGresult*> rows) {
          if (!rows) return told(std::unexpected(rows.error()));
          const auto desk = std::static_pointer_cast<Desk>(weak.lock());
          if (desk) desk->compare(mark, read_probe_place(*rows));
          told(read_probe(*rows, prefix));
        });
  }

  void list_keys(std::string sql, std::size_t rows_max, MonoTime deadline,
                 OneShot<Result<std::vector<std::string>>> done) {
    const auto under_way = listing_.lock();
    if (is_closed() || (under_way && !under_way->is_done())) {
      const bool closed = is_closed();
      done.set(fail(closed ? ErrorCode::kOriginDown : ErrorCode::kOverloaded,
                    fmt::format("origin {}: {}", options().name,
                                closed ? "closed" : "a query of keys is under way already")));
      return;
    }
    auto keys = std::make_shared<PostgresKeys>(target_, std::move(sql), rows_max, executor());
    listing_ = keys;
    keys->ask(transport_, pool_, deadline, std::move(done));
  }

  // One statement of the origin's own; `told` is called once, by `deadline` at the latest, with rows that it
  // may read within the call.
  void ask(std::string sql, std::vector<std::string> parameters, MonoTime deadline,
           PostgresConnection::Told told) {
    if (is_closed() || questions_.size() >= kQuestionsMax) {
      const auto code = is_closed() ? ErrorCode::kOriginDown : ErrorCode::kOverloaded;
      return told(fail(code, fmt::format("origin {}: {}", options().name,
                                         is_closed() ? "closed" : "too many questions wait already")));
    }
    auto question = std::make_shared<Question>();
    question->sql = std::move(sql);
    question->parameters = std::move(parameters);
    question->told = std::move(told);
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    question->timer = executor().schedule(deadline, [weak, question] {
      auto desk = std::static_pointer_cast<Desk>(weak.lock());
      if (!desk) return;
      question->timer = {};
      std::erase(desk->questions_, question);
      desk->tell(question, fail(ErrorCode::kTimeout,
                                fmt::format("origin {}: no answer by the deadline", desk->options().name)));
    });
    open_questions_.insert(question);
    questions_.push_back(std::move(question));
    schedule_pump();
  }

  Task<WriteBatchOutcome> apply(std::shared_ptr<const SqlFeature> feature, WriteBatch batch,
                                MonoTime deadline) override {
    const OneShot<WriteBatchOutcome> answer;
    if (is_closed() || batches_.size() >= kBatchesMax) {
      WriteBatchOutcome refused;
      refused.error = Error{
          ErrorCode::kOriginDown,
          fmt::format("origin {}: {}", options().name, is_closed() ? "closed" : "too many batches wait")};
      co_return refused;
    }
    auto waiting = std::make_shared<WaitingBatch>(WaitingBatch{std::move(feature), std::move(batch), answer});
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    const TimerId timer = executor().schedule(deadline, [weak, waiting] {
      auto desk = std::static_pointer_cast<Desk>(weak.lock());
      if (desk)
        desk->tell_batch(waiting,
                         fail(ErrorCode::kTimeout,
                              fmt::format("origin {}: no answer by the deadline", desk->options().name)));
    });
    batches_.push_back(std::move(waiting));
    schedule_pump();
    Executor& home = executor();
    WriteBatchOutcome outcome = co_await answer;
    home.cancel(timer);
    co_return outcome;
  }

  Task<Result<std::uint64_t>> applied_position(std::string log_id, MonoTime deadline) override;

  [[nodiscard]] bool can_confirm(const SqlFeature& feature) const override {
    return feature.statements.is_watched();
  }
  [[nodiscard]] bool confirms_by_row() const override { return true; }  // by its xmin

  Task<Result<bool>> confirm(std::shared_ptr<const SqlFeature> feature, std::string key, HeldRow held,
                             MonoTime deadline) override {
    if (!can_confirm(*feature)) {
      co_return fail(
          ErrorCode::kNotFound,
          fmt::format("feature {} has no watch: nothing says which row it is of", feature->name()));
    }
    // No stamp, a history that nobody knows, or a key that no column can hold: in doubt.
    if (!held.stamp.is_known() || held.history.value == 0 || key.find('\0') != std::string::npos)
      co_return false;
    if (confirmations_waiting_ >= kConfirmationsMax) {
      co_return fail(ErrorCode::kOverloaded,
                     fmt::format("origin {}: too many confirmations wait already", options().name));
    }
    const OneShot<Result<bool>> answer;
    gather(std::move(feature), Gathered{{std::move(key), held}, deadline, answer});
    Result<bool> result = co_await answer;
    co_return result;
  }

  OneShot<Result<void>> check_all() {
    const OneShot<Result<void>> done;
    if (is_closed()) {
      done.set(fail(ErrorCode::kOriginDown, fmt::format("origin {} is closed", options().name)));
    } else if (!ready_.empty()) {
      check_on(*ready_.front(), done);
    } else {
      checks_.push_back(done);
      connect();
    }
    return done;
  }

 protected:
  using Connection = std::shared_ptr<PostgresConnection>;

  void pump() override {
    if (!line().oldest() && questions_.empty() && batches_.empty()) return;
    if (ready_.empty()) {
      if (down_) return fail_waiting(*down_);
      return connect();
    }
    while (places_left() > 0 && !questions_.empty()) {
      auto* connection = least_busy();
      if (connection == nullptr) break;
      took_places(1);
      send_question(*connection);
    }
    while (places_left() > 0 && !batches_.empty()) {
      auto* connection = least_busy();
      if (connection == nullptr) break;
      took_places(1);
      send_batch(*connection);
    }
    while (places_left() > 0 && line().oldest()) {
      auto* connection = least_busy();
      if (connection == nullptr) break;
      auto job = next_job();
      job.statement_in_flight = begin(job.requests);
      count(job);
      connection->send(std::move(job));
    }
    for (const auto& connection : ready_) connection->flush();
    if (line().oldest() || least_busy() == nullptr || least_busy()->jobs() > 0) grow();
  }

  void on_late(const SqlRequestPtr& request) override {
    auto all = ready_;  // a connection may end here
    all.insert(all.end(), leaving_.begin(), leaving_.end());
    proven_ = true;  // and if so by our hand: the server may well be there
    for (const auto& connection : all) connection->on_late(*request);
  }

  void on_close() override {
    if (const auto listing = listing_.lock()) listing->close("closing");
    if (retry_timer_ != TimerId{}) executor().cancel(retry_timer_);
    retry_timer_ = {};
    auto all = std::exchange(ready_, {});
    for (auto& connection : std::exchange(leaving_, {})) all.push_back(std::move(connection));
    if (connecting_) all.push_back(std::exchange(connecting_, nullptr));
    for (const auto& connection : all) connection->close();
    for (const auto& request : std::exchange(in_flight_, {})) {
      finish(request,
             fail(ErrorCode::kTimeout,
                  fmt::format("origin {} is closing; a write that was under way may or may not have happened",
                              options().name)));
    }
    answer_checks(fail(ErrorCode::kOriginDown, fmt::format("origin {} is closing", options().name)));
    for (const auto& batch : std::exchange(batches_, {}))
      tell_batch(batch, fail(ErrorCode::kOriginDown, fmt::format("origin {} is closing", options().name)));
    questions_.clear();
    for (const auto& question : std::exchange(open_questions_, {})) {
      tell(question, fail(ErrorCode::kOriginDown, fmt::format("origin {} is closing", options().name)));
    }
    // What was gathered in this turn finds the desk closed when it is asked.
  }

 private:
  // ---- Questions

  struct Question {
    std::string sql;
    std::vector<std::string> parameters;
    PostgresConnection::Told told;
    TimerId timer;
  };
  using QuestionPtr = std::shared_ptr<Question>;
  struct Gathered {
    Confirmation confirmation;
    MonoTime deadline;
    OneShot<Result<bool>> answer;
  };
  struct GatheredOfFeature {
    std::shared_ptr<const SqlFeature> feature;
    std::vector<Gathered> all;
  };

  void send_question(PostgresConnection& connection) {
    const auto question = questions_.front();
    questions_.pop_front();
    ++counters().statements;
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    connection.ask(question->sql, question->parameters, [weak, question](Result<const PGresult*> rows) {
      auto desk = std::static_pointer_cast<Desk>(weak.lock());
      if (!desk) return;
      desk->gave_places(1);
      desk->proven_ = desk->proven_ || rows.has_value();
      if (rows) desk->pause_ = kFirstPause;
      desk->tell(question, std::move(rows));
      desk->schedule_pump();
    });
  }

  // ---- Batches of write-behind

  struct WaitingBatch {
    std::shared_ptr<const SqlFeature> feature;
    WriteBatch batch;
    OneShot<WriteBatchOutcome> answer;
  };
  using WaitingBatchPtr = std::shared_ptr<WaitingBatch>;

  void tell_batch(const WaitingBatchPtr& waiting, const std::unexpected<Error>& failed) {
    std::erase(batches_, waiting);
    WriteBatchOutcome outcome;
    outcome.error = failed.error();
    (void)waiting->answer.set(std::move(outcome));
  }

  // Statements are prepared first: a batch cannot wait in the middle of its transaction.
  void send_batch(PostgresConnection& connection) {
    const auto waiting = batches_.front();
    batches_.pop_front();
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    std::weak_ptr<PostgresConnection> on = connection.weak_from_this();
    connection.check({waiting->feature}, [weak, on, waiting](Result<void> checked) {
      auto desk = std::static_pointer_cast<Desk>(weak.lock());
      if (!desk) return;
      const auto alive = on.lock();
      if (checked && (alive == nullptr || !alive->is_ready()))
        checked = fail(ErrorCode::kOriginDown, "the connection was lost");
      if (!checked || waiting->answer.is_set()) {
        desk->gave_places(1);
        desk->schedule_pump();
        if (!checked) desk->tell_batch(waiting, std::unexpected(checked.error()));
        return;
      }
      desk->counters().statements += waiting->batch.writes.size() + 1;
      alive->apply(waiting->feature, waiting->batch, [weak, waiting](WriteBatchOutcome outcome) {
        const auto owner = std::static_pointer_cast<Desk>(weak.lock());
        if (!owner) return;
        owner->gave_places(1);
        if (outcome.kind == WriteBatchOutcome::Kind::kApplied)
          owner->proven_ = true;
        else
          ++owner->counters().errors;
        owner->schedule_pump();
        (void)waiting->answer.set(std::move(outcome));
      });
      alive->flush();
    });
  }

  void tell(const QuestionPtr& question, Result<const PGresult*> rows) {
    if (question->timer != TimerId{}) executor().cancel(std::exchange(question->timer, {}));
    open_questions_.erase(question);
    if (auto told = std::exchange(question->told, {})) told(std::move(rows));
  }

  void gather(std::shared_ptr<const SqlFeature> feature, Gathered one) {
    ++confirmations_waiting_;
    auto& of_feature = gathered_[feature->index];
    of_feature.feature = std::move(feature);
    of_feature.all.push_back(std::move(one));
    if (confirmations_waiting_ > 1) return;
    executor().at_end_of_turn(
        [desk_alive = shared_from_this()] { std::static_pointer_cast<Desk>(desk_alive)->ask_gathered(); });
  }

  void ask_gathered() {
    confirmations_waiting_ = 0;
    for (auto& [index, of_feature] : std::exchange(gathered_, {})) {
      const bool composite = of_feature.feature->statements.watch_columns.size() > 1;
      const auto step = composite ? kCompositeKeysPerConfirmation : kKeysPerConfirmation;
      for (std::size_t begin = 0; begin < of_feature.all.size(); begin += step) {
        const auto end = std::min(begin + step, of_feature.all.size());
        std::vector<Gathered> some(
            std::make_move_iterator(of_feature.all.begin() + static_cast<std::ptrdiff_t>(begin)),
            std::make_move_iterator(of_feature.all.begin() + static_cast<std::ptrdiff_t>(end)));
        ask_confirmation(*of_feature.feature, std::move(some));
      }
    }
  }

  void ask_confirmation(const SqlFeature& feature, std::vector<Gathered> some) {
    std::vector<Confirmation> asked;
    MonoTime deadline = MonoTime::max();
    for (auto& one : some) {
      deadline = std::min(deadline, one.deadline);
      asked.push_back(std::move(one.confirmation));
    }
    auto parameters = confirm_parameters(feature.statements, asked);
    if (!parameters) {
      for (const auto& one : some) one.answer.set(false);
      return;
    }
    ask(confirm_sql(feature.statements, asked.size(), slot_prefix_), std::move(*parameters), deadline,
        [asked, some = std::move(some), prefix = slot_prefix_](Result<const PGresult*> rows) {
          // A key that fits no column, a table without row versions: in doubt.
          const bool refused = !rows && rows.error().code == ErrorCode::kRejected;
          const auto confirmed =
              rows ? read_confirmations(*rows, asked, prefix) : std::vector<bool>(asked.size(), false);
          for (std::size_t i = 0; i < some.size(); ++i) {
            if (rows || refused) {
              some[i].answer.set(static_cast<bool>(confirmed[i]));
            } else {
              some[i].answer.set(std::unexpected(rows.error()));
            }
          }
        });
  }

  // ---- Choosing

  PostgresConnection* least_busy() const {
    const auto least = std::min_element(ready_.begin(), ready_.end(),
                                        [](const auto& a, const auto& b) { return a->jobs() < b->jobs(); });
    if (least == ready_.end() || (*least)->jobs() >= kPipelineDepth) return nullptr;
    return least->get();
  }

  PostgresJob next_job() {
    const auto oldest = line().oldest();
    PostgresJob job;
    if (oldest->verb != SqlVerb::kLoad) {
      job.role = oldest->verb == SqlVerb::kStore ? StatementRole::kStore : StatementRole::kErase;
      line().remove(oldest);
      job.requests = {oldest};
    } else if (oldest->alone || !oldest->feature->statements.load_many.exists()) {
      line().remove(oldest);
      job.requests = {oldest};
    } else {
      job.requests = line().take_loads_of(*oldest->feature, kKeysPerStatement);
      if (job.requests.size() > 1) job.role = StatementRole::kLoadMany;
    }
    for (const auto& request : job.requests) in_flight_.insert(request);
    return job;
  }

  void count(const PostgresJob& job) {
    auto& stats = counters();
    ++stats.statements;
    if (job.is_write()) return;
    ++stats.batches;
    stats.loads += job.requests.size();
  }

  // ---- Answers

  void on_done(PostgresConnection& connection, PostgresJob job, PostgresOutcome outcome) override {
    end(job.statement_in_flight, outcome.kind == PostgresOutcome::Kind::kAnswers);
    note_stamp(connection, outcome);
    forget(job);
    proven_ = true;
    pause_ = kFirstPause;
    switch (outcome.kind) {
      case PostgresOutcome::Kind::kAnswers:
        return answer(job, std::move(outcome));
      case PostgresOutcome::Kind::kSkipped:
        return again(job);
      case PostgresOutcome::Kind::kError:
        return statement_failed(job, outcome);
    }
  }

  void on_quiet(PostgresConnection&) override {
    if (is_closed()) return;
    let_go();
    pump();
  }

  void answer(const PostgresJob& job, PostgresOutcome outcome) {
    for (std::size_t i = 0; i < job.requests.size(); ++i) {
      if (outcome.confirm[i]) {
        again_alone(job.requests[i]);
      } else {
        finish(job.requests[i], std::move(outcome.answers[i]));
      }
    }
  }

  void statement_failed(const PostgresJob& job, const PostgresOutcome& outcome) {
    const auto failure = classify_sqlstate(outcome.sqlstate);
    // One bad key spoils only itself.
    if (job.role == StatementRole::kLoadMany && failure.code == ErrorCode::kRejected && !failure.stale_plan) {
      return again_in_halves(job);
    }
    if (!is_answer(failure.code)) lost();
    // A statement that was not there, or whose plan was stale, did nothing: writes may go again too.
    const bool is_lost = failure.retry_load && !failure.stale_plan && !job.is_write();
    const bool may_repeat = failure.stale_plan || (is_lost && may_send_again(job));
    for (const auto& request : job.requests) {
      if (may_repeat && request->failed == 0 && !request->is_answered()) {
        ++request->failed;
        failure.stale_plan ? again_alone(request) : again_together(request);
        continue;
      }
      Error error = outcome.error;
      if (job.is_write() && failure.unknown_write) {
        error.code = ErrorCode::kTimeout;
        error.message += "; the write may or may not have happened";
      } else if (job.is_write() && error.code == ErrorCode::kTimeout) {
        error.code = ErrorCode::kOriginDown;  // cancelled: rolled back
      }
      finish(request, std::unexpected(std::move(error)));
    }
  }

  void again(const PostgresJob& job) {
    for (const auto& request : job.requests) again_alone(request);
  }

  // Some key of them is no good: some twenty statements find it among five hundred, and the others are not
  // asked about one by one.
  void again_in_halves(const PostgresJob& job) {
    const auto half = static_cast<std::uint32_t>((job.requests.size() + 1) / 2);
    for (const auto& request : job.requests) {
      request->batch_max = half;
      half <= 1 ? again_alone(request) : again_together(request);
    }
  }

  // One statement again for one that was lost, out of the budget for that.
  bool may_send_again(const PostgresJob& job) {
    MonoTime deadline{0};
    for (const auto& request : job.requests)
      if (request->failed == 0 && !request->is_answered()) deadline = std::max(deadline, request->deadline);
    return gate().may_retry(deadline, executor().now());
  }

  void again_alone(const SqlRequestPtr& request) {
    request->alone = true;
    again_together(request);
  }

  void again_together(const SqlRequestPtr& request) {
    if (request->is_answered()) return;
    if (is_closed()) {
      return finish(request,
                    fail(ErrorCode::kOriginDown, fmt::format("origin {} is closing", options().name)));
    }
    put_back(request);
    schedule_pump();
  }

  void forget(const PostgresJob& job) {
    for (const auto& request : job.requests) in_flight_.erase(request);
  }

  void fail_waiting(const Error& error) {
    for (const auto& request : line().take_all()) finish(request, std::unexpected(error));
    for (const auto& question : std::exchange(questions_, {})) tell(question, std::unexpected(error));
    for (const auto& batch : std::exchange(batches_, {})) tell_batch(batch, std::unexpected(error));
  }

  // ---- Connections

  void grow() {
    if (ready_.size() + (connecting_ ? 1 : 0) < connections_max_) connect();
  }

  // One attempt at a time, and none during a pause.
  void connect() {
    if (connecting_ || retry_timer_ != TimerId{} || is_closed()) return;
    if (ready_.size() + leaving_.size() >= connections_max_) return;  // let_go() makes room
    connecting_ = std::make_shared<PostgresConnection>(target_, this, executor(), transport_, pool_);
    const bool is_watched =
        std::ranges::any_of(features(), [](const auto& feature) { return feature->statements.is_watched(); });
    if (!is_watched) return connecting_->connect();
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    connecting_->connect(place_sql(slot_prefix_), [weak, mark = history_.mark()](auto rows) {
      auto desk = std::static_pointer_cast<Desk>(weak.lock());
      if (desk && rows) desk->meet(mark, read_place(*rows));
    });
  }

  // Before the first statement goes out on a new connection.
  void meet(const PostgresHistory::Mark& mark, const Result<PostgresPlace>& place) {
    is_met_standby_ = place && !place->is_primary;
    is_met_late_ = compare(mark, place) == PostgresHistory::Verdict::Kind::kOvertaken;
  }

  void on_ready(PostgresConnection& connection) override {
    const bool is_standby = std::exchange(is_met_standby_, false);
    if (std::exchange(is_met_late_, false)) {  // of the history that was lost meanwhile, perhaps
      std::exchange(connecting_, nullptr)->close();
      return connect();
    }
    if (is_standby) standbys_.insert(&connection);
    ready_.push_back(std::exchange(connecting_, nullptr));
    down_.reset();
    gate().on_reachable(executor().now());
    proven_ = false;
    counters().connected = true;
    for (const auto& done : std::exchange(checks_, {})) check_on(connection, done);
  }

  void check_on(PostgresConnection& connection, const OneShot<Result<void>>& done) {
    connection.check(features(), [done](Result<void> result) { done.set(std::move(result)); });
  }

  void answer_checks(const Result<void>& result) {
    for (const auto& done : std::exchange(checks_, {})) done.set(result);
  }

  void on_lost(PostgresConnection& connection, const Error& reason, std::vector<PostgresJob> sent,
               std::vector<PostgresJob> unsent) override {
    const auto self = shared_from_this();
    if (connecting_.get() == &connection) {
      is_met_standby_ = is_met_late_ = false;
      connecting_.reset();
      return attempt_failed(reason);
    }
    standbys_.erase(&connection);
    const bool was_leaving =
        std::erase_if(leaving_, [&](const auto& c) { return c.get() == &connection; }) > 0;
    std::erase_if(ready_, [&](const auto& c) { return c.get() == &connection; });
    // An idle connection that closes is no sign of trouble: the next attempt will tell.
    if (ready_.empty() && !(sent.empty() && unsent.empty())) counters().connected = false;
    gave_places(static_cast<std::uint32_t>(sent.size() + unsent.size()));
    for (const auto& job : sent) forget(job);
    for (const auto& job : unsent) forget(job);
    // A server that lets us in and then drops us has not come back: pause, as if it had not let us in.
    if (ready_.empty() && !proven_ && !was_leaving) {
      attempt_failed(reason);
    } else {
      connect();
    }
    for (const auto& job : unsent) again(job);
    for (const auto& job : sent) lost_in_flight(job, reason);
    if (!is_closed()) schedule_pump();
  }

  void lost_in_flight(const PostgresJob& job, const Error& reason) {
    PostgresOutcome outcome;
    outcome.kind = PostgresOutcome::Kind::kError;
    outcome.error = reason;
    statement_failed(job, outcome);
  }

  void attempt_failed(const Error& reason) {
    const auto longest = std::exchange(pause_, std::min(pause_ * 2, kLastPause));
    const auto pause =
        longest -
        Duration{static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(longest.count() / 2)))};
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    retry_timer_ = executor().schedule(executor().now() + pause, [weak] {
      auto desk = std::static_pointer_cast<Desk>(weak.lock());
      if (!desk) return;
      desk->retry_timer_ = {};
      if (desk->ready_.empty() || desk->line().oldest() || !desk->questions_.empty() ||
          !desk->batches_.empty())
        desk->connect();
    });
    if (ready_.empty()) {
      counters().connected = false;
      down_ = reason;
      gate().on_unreachable(reason, executor().now());
      answer_checks(std::unexpected(reason));
      fail_waiting(reason);
    }
  }

  // ---- The history

  void note_stamp(const PostgresConnection& connection, const PostgresOutcome& outcome) {
    if (outcome.answers.empty() || !outcome.answers.front()) return;
    const auto& stamp = outcome.answers.front()->stamp;
    if (!stamp.is_known() || standbys_.contains(&connection)) return;
    // One that leaves may be of the lost history, whose ids were higher.
    if (std::ranges::any_of(ready_, [&](const auto& c) { return c.get() == &connection; }))
      history_.saw(stamp);
  }

  PostgresHistory::Verdict::Kind compare(const PostgresHistory::Mark& mark,
                                         const Result<PostgresPlace>& place) {
    if (!place || is_closed()) return PostgresHistory::Verdict::Kind::kGoesOn;
    const auto verdict = history_.compare(mark, *place);
    if (verdict.kind == PostgresHistory::Verdict::Kind::kLost) lose_history(verdict);
    return verdict.kind;
  }

  // Whoever is connected may be at another server than the one that answered. What is under way there ends;
  // nothing more is sent.
  void lose_history(const PostgresHistory::Verdict& lost) {
    for (auto& connection : std::exchange(ready_, {})) leaving_.push_back(std::move(connection));
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    executor().post([weak] {  // not in the middle of their results
      auto desk = std::static_pointer_cast<Desk>(weak.lock());
      if (!desk || desk->is_closed()) return;
      desk->let_go();
      desk->connect();
    });
    if (history_told_) history_told_(lost);
  }

  void let_go() {
    if (leaving_.empty()) return;
    std::erase_if(leaving_, [&](const auto& connection) {
      if (!connection->is_idle()) return false;
      standbys_.erase(connection.get());
      connection->close();
      return true;
    });
  }

  std::shared_ptr<const PostgresTarget> target_;
  Transport& transport_;
  BlockingPool& pool_;
  std::uint32_t connections_max_;
  std::string slot_prefix_;
  Random random_;
  PostgresHistory history_;
  std::function<void(const PostgresHistory::Verdict&)> history_told_;
  std::vector<Connection> ready_;
  std::vector<Connection> leaving_;  // from before a loss of history: nothing more is sent there
  std::unordered_set<const PostgresConnection*> standbys_;
  bool is_met_standby_ = false, is_met_late_ = false;  // what meet() found of `connecting_`
  Connection connecting_;
  TimerId retry_timer_;
  Duration pause_ = kFirstPause;
  bool proven_ = false;        // a statement has come back since the last connection was made
  std::optional<Error> down_;  // why the last attempt failed, while there is no connection
  std::vector<OneShot<Result<void>>> checks_;
  std::unordered_set<SqlRequestPtr> in_flight_;
  std::deque<WaitingBatchPtr> batches_;             // waiting for a place
  std::deque<QuestionPtr> questions_;               // waiting for a place
  std::unordered_set<QuestionPtr> open_questions_;  // these, and those that were sent
  std::weak_ptr<PostgresKeys> listing_;             // a query of keys
  std::map<std::uint32_t, GatheredOfFeature> gathered_;
  std::size_t confirmations_waiting_ = 0;
};

namespace {

constexpr const char* kMakePostgresTable =
    "create table if not exists candor_write_behind(log_id text primary key, position bigint not null)";

// A row of one number, a row of none, or why not.
using Found = Result<std::optional<std::uint64_t>>;

}  // namespace

// Asked for at a start and after a failure only. Three questions, each a transaction of its own.
Task<Result<std::uint64_t>> PostgresOrigin::Desk::applied_position(std::string log_id, MonoTime deadline) {
  const auto self = shared_from_this();
  const auto ask_one = [this, deadline](std::string sql, std::vector<std::string> parameters) {
    OneShot<Found> answer;
    ask(std::move(sql), std::move(parameters), deadline, [answer](Result<const PGresult*> rows) {
      if (!rows) {
        (void)answer.set(std::unexpected(rows.error()));
        return;
      }
      std::optional<std::uint64_t> position;
      if (PQntuples(*rows) == 1) position = std::strtoull(PQgetvalue(*rows, 0, 0), nullptr, 10);
      (void)answer.set(Found(position));
    });
    return answer;
  };
  const std::string find_sql = "select position from candor_write_behind where log_id = $1";
  auto asked = ask_one(find_sql, {log_id});
  Found found = co_await asked;
  if (!found && found.error().code == ErrorCode::kRejected) {
    asked = ask_one(kMakePostgresTable, {});
    found = co_await asked;
    if (!found) {
      found.error().message += fmt::format(
          "; write-behind keeps its position there: run \"{}; grant select, insert, update on "
          "candor_write_behind to "
          "…\" as somebody who may",
          kMakePostgresTable);
    }
  }
  if (!found) co_return std::unexpected(found.error());
  if (*found) co_return **found;
  asked = ask_one("insert into candor_write_behind(log_id, position) values ($1, 0) on conflict do nothing",
                  {log_id});
  found = co_await asked;
  if (!found) co_return std::unexpected(found.error());
  asked = ask_one(find_sql, {log_id});
  found = co_await asked;
  if (!found) co_return std::unexpected(found.error());
  co_return found->value_or(0);
}

PostgresOrigin::PostgresOrigin(PostgresTarget target, Options options, Executor& executor,
                               Transport& transport, BlockingPool& pool)
    : desk_(std::make_shared<Desk>(std::move(target), std::move(options), executor, transport, pool)) {}

PostgresOrigin::~PostgresOrigin() { desk_->close(); }

Result<std::unique_ptr<OriginFeature>> PostgresOrigin::bind(OriginStatements statements) {
  return desk_->bind(statements, SqlDialect::kPostgres);
}

Task<Result<void>> PostgresOrigin::prepare() {
  auto done = desk_->check_all();
  Result<void> result = co_await done;
  co_return result;
}

Task<Result<std::vector<std::string>>> PostgresOrigin::list_keys(std::string sql, std::size_t rows_max,
                                                                 MonoTime deadline) {
  const auto desk = desk_;
  const OneShot<Result<std::vector<std::string>>> answer;
  desk->list_keys(std::move(sql), rows_max, deadline, answer);
  Result<std::vector<std::string>> keys = co_await answer;
  co_return keys;
}

Task<Result<OriginProbe>> PostgresOrigin::probe(MonoTime deadline) {
  const auto desk = desk_;
  const OneShot<Result<OriginProbe>> answer;
  desk->ask_probe(deadline, [answer](Result<OriginProbe> probe) { answer.set(std::move(probe)); });
  Result<OriginProbe> probe = co_await answer;
  co_return probe;
}

void PostgresOrigin::on_history_lost(std::function<void(const PostgresHistory::Verdict&)> told) {
  desk_->on_history_lost(std::move(told));
}

void PostgresOrigin::protect(const OriginProtection& protection) { desk_->protect(protection); }

OriginStats PostgresOrigin::stats() const { return desk_->stats(); }
std::string PostgresOrigin::describe() const { return "postgresql " + desk_->target().shown; }
std::uint32_t PostgresOrigin::connections() const { return desk_->connections(); }

}  // namespace candor
