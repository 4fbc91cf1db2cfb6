#include "origin/sqlite_origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <utility>

#include "origin/sqlite_handle.h"
#include "origin/sqlite_proof.h"

namespace candor {
namespace {

// Keys in one read transaction. Longer ones would hold the snapshot, and with it the WAL's checkpoint, for
// longer than a few milliseconds.
constexpr std::size_t kLoadsPerJob = 256;
// Writes in one transaction, and their bytes: a flush to disk costs milliseconds, a row microseconds. More
// than this gains little and makes all of them wait for the last.
constexpr std::size_t kWritesPerJob = 128;
constexpr std::size_t kWriteBytesPerJob = std::size_t{16} << 20;
// Patience of the check at start with other people's locks.
constexpr Duration kPrepareTimeout = 5s;
// Confirmations that wait for the one job that makes them; a strong read that finds more is better off
// loading.
constexpr std::size_t kProofsWaitingMax = 16'384;

using Keys = std::vector<std::string>;

// Blocking.
Result<Keys> read_keys(const SqliteFile& file, const std::string& sql, std::size_t rows_max,
                       const std::atomic<bool>& stopped) {
  const auto failed = [&](Error error) {
    return fail(stopped ? ErrorCode::kTimeout : error.code,
                fmt::format("origin {}: the query of keys: {}", file.origin,
                            stopped ? "not done by the deadline" : error.message));
  };
  auto db = SqliteHandle::open(file.path, SqliteHandle::Mode::kReadOnly, kPrepareTimeout);
  if (!db) return failed(db.error());
  db->stop_when(&stopped);
  auto rows = db->query(sql);
  if (!rows) return failed(rows.error());
  Keys keys;
  while (keys.size() < rows_max) {
    const auto row = rows->step();
    if (!row) return failed(row.error());
    if (!*row) break;
    std::string key;
    bool has_null = false;
    for (int column = 0; column < rows->columns(); ++column) {
      has_null = has_null || rows->is_null(column);
      if (column > 0) key += ':';
      key += rows->text(column);
    }
    if (!has_null) keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace

class SqliteOrigin::Desk final : public SqlDesk {
 public:
  Desk(SqliteFile file, SqlDesk::Options options, Executor& executor, BlockingPool& pool)
      : SqlDesk(std::move(options), executor),
        file_(std::move(file)),
        pool_(pool),
        proof_(std::make_shared<SqliteProof>(file_.path)) {}

  [[nodiscard]] const SqliteFile& file() const { return file_; }

  void on_written(std::function<void()> call) { on_written_ = std::move(call); }
  void add_watch(const OriginStatements& of) {
    if (file_.position_query.empty()) file_.position_query = kSqlitePositionQuery;
    watches_.push_back({of.feature, {of.watch_table, of.watch_columns}});
  }
  void note_unheard(const std::vector<Unheard>& unheard) { unheard_ = unheard; }

  Task<Result<OriginProbe>> probe(MonoTime deadline) {
    if (watches_.empty()) co_return fail(ErrorCode::kNotFound, "no feature of this origin is watched");
    auto question = std::make_shared<SqliteProof::Question>();
    for (const auto& [feature, watch] : watches_)
      if (!is_unheard(unheard_, feature)) question->watches.push_back(watch);
    auto answered = ask(question, deadline);
    Result<void> asked = co_await answered;
    if (!asked) co_return std::unexpected(asked.error());
    co_return question->probe;
  }

  Task<Result<bool>> confirm(std::shared_ptr<const SqlFeature> feature, std::string key, HeldRow held,
                             MonoTime deadline) override {
    if (!can_confirm(*feature)) co_return fail(ErrorCode::kNotFound, "this feature has no watch");
    auto question = std::make_shared<SqliteProof::Question>();
    question->watches = {{feature->statements.watch_table, feature->statements.watch_columns}};
    question->key = std::move(key);
    question->stamp = held.stamp;
    auto answered = ask(question, deadline);
    Result<void> asked = co_await answered;
    if (!asked) co_return std::unexpected(asked.error());
    co_return question->confirmed && question->probe.incarnation == held.history;
  }
  [[nodiscard]] bool can_confirm(const SqlFeature& feature) const override {
    return feature.statements.is_watched();
  }

  Task<WriteBatchOutcome> apply(std::shared_ptr<const SqlFeature> feature, WriteBatch batch,
                                MonoTime deadline) override {
    auto outcome = std::make_shared<WriteBatchOutcome>();
    auto what = std::make_shared<const WriteBatch>(std::move(batch));
    counters().statements += what->writes.size() + 1;
    auto answered = run_errand(
        [outcome, what, feature = std::move(feature)](SqliteConnection& connection) -> Result<void> {
          *outcome = connection.apply(*what, requests_of(feature, *what));
          return {};
        },
        deadline);
    Result<void> ran = co_await answered;
    // The errand may still be at work: what it writes into is its own from now on.
    if (!ran) {
      WriteBatchOutcome failed;
      failed.error = std::move(ran.error());
      co_return failed;
    }
    if (outcome->kind != WriteBatchOutcome::Kind::kApplied) ++counters().errors;
    co_return std::move(*outcome);
  }

  Task<Result<std::uint64_t>> applied_position(std::string log_id, MonoTime deadline) override {
    auto position = std::make_shared<std::uint64_t>(0);
    counters().statements += 1;
    auto answered = run_errand(
        [position, log_id = std::move(log_id)](SqliteConnection& connection) -> Result<void> {
          auto found = connection.applied_position(log_id);
          if (!found) return std::unexpected(std::move(found.error()));
          *position = *found;
          return {};
        },
        deadline);
    Result<void> ran = co_await answered;
    if (!ran) co_return std::unexpected(std::move(ran.error()));
    co_return *position;
  }

  OneShot<Result<Keys>> list_keys(std::string sql, std::size_t rows_max, MonoTime deadline) {
    auto listing = std::make_shared<Listing>();
    listing->stopped = is_closed();
    listing_ = listing;
    const TimerId timer = executor().schedule(deadline, [listing] { listing->stopped = true; });
    pool_.run([&home = executor(), file = file_, listing, timer, rows_max, sql = std::move(sql)]() mutable {
      auto keys = read_keys(file, sql, rows_max, listing->stopped);
      home.post([&home, timer, listing = std::move(listing), keys = std::move(keys)]() mutable {
        home.cancel(timer);
        listing->answer.set(std::move(keys));
      });
    });
    return listing->answer;
  }

  OneShot<Result<void>> check_all() {
    OneShot<Result<void>> done;
    auto connection = std::make_shared<SqliteConnection>(file_, SqliteConnection::Role::kWriter);
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    pool_.run([&home = executor(), weak, connection, done, features = features()] {
      auto result = connection->open(kPrepareTimeout);
      for (const auto& feature : features) {
        if (result) result = connection->check(*feature);
      }
      home.post([weak, connection, done, result = std::move(result)]() mutable {
        if (auto desk = std::static_pointer_cast<Desk>(weak.lock())) desk->checked(connection, result);
        done.set(std::move(result));
      });
    });
    return done;
  }

 protected:
  using Connection = std::shared_ptr<SqliteConnection>;

  // What one pool thread does with one connection. The requests' answers are set at home.
  struct Job {
    Connection connection;
    std::vector<SqlRequestPtr> requests;
    bool writes = false;
    Duration patience{};
    OriginGate::Statement statement{};
  };
  using JobPtr = std::shared_ptr<Job>;

  void pump() override {
    while (places_left() > 0) {
      if (!writing_ && !errands_.empty()) {
        start_errand();
      } else if (!writing_ && line().oldest_write()) {
        start(std::make_shared<Job>(
            Job{take_connection(writer_), line().take_writes(kWritesPerJob, kWriteBytesPerJob), true}));
      } else if (const auto load = line().oldest_load()) {
        start(std::make_shared<Job>(
            Job{take_connection(readers_), line().take_loads_of(*load->feature, kLoadsPerJob), false}));
      } else {
        return;
      }
    }
  }

  // When nobody waits for a job's result any more, its statement is stopped, so that its place is free again.
  void on_late(const SqlRequestPtr&) override {
    for (const auto& job : jobs_) {
      const bool awaited = std::any_of(job->requests.begin(), job->requests.end(),
                                       [](const auto& request) { return !request->is_answered(); });
      if (!awaited) job->connection->stop();
    }
  }

  void on_close() override {
    if (const auto listing = listing_.lock()) {
      listing->stopped = true;
      listing->answer.set(fail(ErrorCode::kOriginDown, fmt::format("origin {} is closing", options().name)));
    }
    auto jobs = std::exchange(jobs_, {});
    for (const auto& job : jobs) {
      job->connection->stop();
      for (const auto& request : job->requests) {
        finish(request,
               fail(ErrorCode::kTimeout, fmt::format("origin {} is closing; a write that was under way "
                                                     "may or may not have happened",
                                                     options().name)));
      }
    }
    if (errand_) errand_->connection->stop();
    auto errands = std::exchange(errands_, {});
    if (errand_) errands.push_front(std::move(errand_));
    for (const auto& errand : errands)
      errand->answer.set(fail(ErrorCode::kTimeout, fmt::format("origin {} is closing", options().name)));
    // Closing can copy the WAL into the database: off this thread.
    auto idle = std::exchange(readers_, {});
    idle.insert(idle.end(), writer_.begin(), writer_.end());
    writer_.clear();
    if (!idle.empty()) pool_.run([idle = std::move(idle)] {});
    pool_.run([proof = std::move(proof_)] {});
    for (const Proof& p : std::exchange(proofs_, {}))
      p.answer.set(fail(ErrorCode::kOriginDown, fmt::format("origin {} is closing", options().name)));
  }

 private:
  // A query of keys.
  struct Listing {
    std::atomic<bool> stopped{false};
    OneShot<Result<Keys>> answer;
  };
  struct Proof {
    std::shared_ptr<SqliteProof::Question> question;
    OneShot<Result<void>> answer;
  };

  // Something of our own for the writer's connection, which nobody shares: a batch of write-behind.
  struct Errand {
    std::move_only_function<Result<void>(SqliteConnection&)> run;
    MonoTime deadline;
    OneShot<Result<void>> answer;
    Connection connection{};
  };
  using ErrandPtr = std::shared_ptr<Errand>;

  // One for each feature that writes behind, and one attempt at a time of each.
  static constexpr std::size_t kErrandsMax = 4096;

  OneShot<Result<void>> run_errand(std::move_only_function<Result<void>(SqliteConnection&)> run,
                                   MonoTime deadline) {
    auto errand = std::make_shared<Errand>(Errand{std::move(run), deadline, {}, {}});
    if (is_closed() || errands_.size() >= kErrandsMax) {
      errand->answer.set(fail(
          is_closed() ? ErrorCode::kOriginDown : ErrorCode::kOverloaded,
          fmt::format("origin {}: {}", options().name, is_closed() ? "is closed" : "too many batches wait")));
      return errand->answer;
    }
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    executor().schedule(deadline, [weak, errand] {
      auto desk = std::static_pointer_cast<Desk>(weak.lock());
      if (desk) desk->give_up(errand);
    });
    errands_.push_back(errand);
    schedule_pump();
    return errand->answer;
  }

  void give_up(const ErrandPtr& errand) {
    if (errand->answer.is_set()) return;
    if (errand == errand_) errand->connection->stop();
    std::erase(errands_, errand);
    errand->answer.set(
        fail(ErrorCode::kTimeout, fmt::format("origin {}: no answer by the deadline", options().name)));
  }

  void start_errand() {
    took_places(1);
    writing_ = true;
    errand_ = errands_.front();
    errands_.pop_front();
    errand_->connection = take_connection(writer_);
    errand_->connection->clear_stop();
    const Duration patience = errand_->deadline - executor().now();
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    pool_.run([&home = executor(), weak, errand = errand_, patience]() mutable {
      Result<void> ran = errand->connection->open(patience);
      if (ran) ran = errand->run(*errand->connection);
      home.post([weak, errand = std::move(errand), ran = std::move(ran)]() mutable {
        auto desk = std::static_pointer_cast<Desk>(weak.lock());
        if (desk) desk->errand_done(errand, std::move(ran));
      });
    });
  }

  void errand_done(const ErrandPtr& errand, Result<void> ran) {
    gave_places(1);
    writing_ = false;
    errand_.reset();
    if (on_written_) on_written_();
    give_back(errand->connection, true);
    (void)errand->answer.set(std::move(ran));
    if (!is_closed()) pump();
  }

  // Probes and confirmations have a connection and a job of their own, beside the places: a proof that waited
  // behind slow loads would be old when it came. What is asked while one job runs goes with the next,
  // together, in one read transaction.
  OneShot<Result<void>> ask(std::shared_ptr<SqliteProof::Question> question, MonoTime deadline) {
    Proof proof{std::move(question), {}};
    if (is_closed() || proofs_.size() >= kProofsWaitingMax) {
      proof.answer.set(fail(is_closed() ? ErrorCode::kOriginDown : ErrorCode::kOverloaded,
                            fmt::format("origin {}: {}", options().name,
                                        is_closed() ? "is closed" : "too many confirmations wait")));
      return proof.answer;
    }
    executor().schedule(deadline, [answer = proof.answer, name = options().name] {
      answer.set(fail(ErrorCode::kTimeout, fmt::format("origin {}: no proof by the deadline", name)));
    });
    proofs_.push_back(proof);
    if (!proving_ && proofs_.size() == 1) {
      std::weak_ptr<SqlDesk> weak = shared_from_this();
      executor().at_end_of_turn([weak] {
        if (auto desk = std::static_pointer_cast<Desk>(weak.lock())) desk->prove();
      });
    }
    return proof.answer;
  }

  void prove() {
    if (proving_ || proofs_.empty() || is_closed()) return;
    proving_ = true;
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    auto asked = std::make_shared<std::vector<Proof>>(std::exchange(proofs_, {}));
    std::vector<SqliteProof::Question*> questions;
    for (const Proof& p : *asked) questions.push_back(p.question.get());
    pool_.run([&home = executor(), weak, proof = proof_, asked, questions = std::move(questions)]() mutable {
      auto result = proof->answer(questions);
      home.post([weak, asked = std::move(asked), result = std::move(result)] {
        auto desk = std::static_pointer_cast<Desk>(weak.lock());
        if (desk) desk->proving_ = false;
        for (const Proof& p : *asked) {
          p.answer.set(!result ? result : p.question->failed ? std::unexpected(*p.question->failed) : result);
        }
        if (desk) desk->prove();
      });
    });
  }

  // The connection used last is the one whose cache is warm.
  Connection take_connection(std::vector<Connection>& idle) {
    const auto role = &idle == &writer_ ? SqliteConnection::Role::kWriter : SqliteConnection::Role::kReader;
    if (idle.empty()) return std::make_shared<SqliteConnection>(file_, role);
    auto connection = std::move(idle.back());
    idle.pop_back();
    return connection;
  }

  void start(JobPtr job) {
    job->statement = begin(job->requests);
    job->connection->clear_stop();
    writing_ = writing_ || job->writes;
    count(*job);
    auto latest = executor().now();
    for (const auto& request : job->requests) latest = std::max(latest, request->deadline);
    job->patience = latest - executor().now();
    jobs_.push_back(job);
    std::weak_ptr<SqlDesk> weak = shared_from_this();
    pool_.run([&home = executor(), weak, job = std::move(job)]() mutable {
      auto answers = perform(*job);
      // The job goes home whole: the connection must not be destroyed on the way, nor here.
      home.post([weak, job = std::move(job), answers = std::move(answers)]() mutable {
        if (auto desk = std::static_pointer_cast<Desk>(weak.lock())) desk->done(job, std::move(answers));
      });
    });
  }

  static std::vector<Result<SqlAnswer>> perform(Job& job) {
    if (auto open = job.connection->open(job.patience); !open) {
      return std::vector<Result<SqlAnswer>>(job.requests.size(), std::unexpected(open.error()));
    }
    return job.writes ? job.connection->write(job.requests) : job.connection->load(job.requests);
  }

  void count(const Job& job) {
    auto& stats = counters();
    stats.statements += job.requests.size();
    if (job.writes) return;
    stats.loads += job.requests.size();
    stats.batches += 1;
  }

  void done(const JobPtr& job, std::vector<Result<SqlAnswer>> answers) {
    const bool failed = std::ranges::any_of(
        answers, [](const auto& answer) { return !answer && !is_answer(answer.error().code); });
    end(job->statement, !failed);
    if (failed) lost();
    std::erase(jobs_, job);
    if (job->writes) writing_ = false;
    if (job->writes && on_written_) on_written_();
    give_back(job->connection, job->writes);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      // Out of time, and rolled back: the writer need not wonder.
      const bool is_write = job->requests[i]->verb != SqlVerb::kLoad;
      if (is_write && !answers[i] && answers[i].error().code == ErrorCode::kTimeout)
        answers[i].error().code = ErrorCode::kOriginDown;
      finish(job->requests[i], std::move(answers[i]));
    }
    if (!is_closed()) pump();
  }

  void give_back(Connection& connection, bool writes) {
    counters().connected = !connection->is_broken();
    if (!connection->is_broken() && !is_closed()) {
      (writes ? writer_ : readers_).push_back(std::move(connection));
    } else {
      pool_.run([connection = std::move(connection)] {});
    }
  }

  void checked(const Connection& connection, const Result<void>&) {
    Connection back = connection;
    // A job may have opened its own writer meanwhile: there is one.
    if (writing_ || !writer_.empty()) {
      pool_.run([back = std::move(back)] {});
    } else {
      give_back(back, true);
    }
  }

  SqliteFile file_;
  BlockingPool& pool_;
  std::vector<Connection> readers_;  // idle
  std::vector<Connection> writer_;   // idle; at most one
  std::vector<JobPtr> jobs_;         // in flight
  bool writing_ = false;
  std::deque<ErrandPtr> errands_;  // waiting
  ErrandPtr errand_;               // under way
  std::function<void()> on_written_;
  std::shared_ptr<SqliteProof> proof_;  // shared with its job
  struct FeatureWatch {
    std::string feature;
    SqliteProof::Watch watch;
  };
  std::vector<FeatureWatch> watches_;
  std::vector<Unheard> unheard_;
  std::weak_ptr<Listing> listing_;  // the last one
  std::vector<Proof> proofs_;       // waiting
  bool proving_ = false;
};

SqliteOrigin::SqliteOrigin(SqliteFile file, SqlDesk::Options options, Executor& executor, BlockingPool& pool)
    : desk_(std::make_shared<Desk>(std::move(file), std::move(options), executor, pool)) {}

SqliteOrigin::~SqliteOrigin() { desk_->close(); }

Result<std::unique_ptr<OriginFeature>> SqliteOrigin::bind(OriginStatements statements) {
  if (!statements.load_many.empty()) {
    return fail(
        ErrorCode::kConfiguration,
        fmt::format("features.{}.load_many: keys of a SQLite origin that miss together are loaded in one "
                    "transaction as it is; remove load_many",
                    statements.feature));
  }
  if (desk_->file().mode == SqliteMode::kReadOnly &&
      !(statements.store.empty() && statements.erase.empty())) {
    return fail(
        ErrorCode::kConfiguration,
        fmt::format("features.{}.{}: its origin is opened with mode=ro; remove the statement, or the mode",
                    statements.feature, statements.store.empty() ? "erase" : "store"));
  }
  auto bound = desk_->bind(statements, SqlDialect::kSqlite);
  if (bound && !statements.watch_table.empty()) desk_->add_watch(statements);
  return bound;
}

Task<Result<void>> SqliteOrigin::prepare() {
  auto done = desk_->check_all();
  Result<void> result = co_await done;
  co_return result;
}

Task<Result<OriginProbe>> SqliteOrigin::probe(MonoTime deadline) { return desk_->probe(deadline); }

Task<Result<std::vector<std::string>>> SqliteOrigin::list_keys(std::string sql, std::size_t rows_max,
                                                               MonoTime deadline) {
  auto done = desk_->list_keys(std::move(sql), rows_max, deadline);
  Result<Keys> keys = co_await done;
  co_return keys;
}

void SqliteOrigin::note_unheard(const std::vector<Unheard>& unheard) { desk_->note_unheard(unheard); }

void SqliteOrigin::on_written(std::function<void()> call) { desk_->on_written(std::move(call)); }

void SqliteOrigin::protect(const OriginProtection& protection) { desk_->protect(protection); }

OriginStats SqliteOrigin::stats() const { return desk_->stats(); }

std::string SqliteOrigin::describe() const { return "sqlite " + desk_->file().path; }

}  // namespace candor
