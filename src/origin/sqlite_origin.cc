#include "origin/sqlite_origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

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

}  // namespace

class SqliteOrigin::Desk final : public SqlDesk {
 public:
  Desk(SqliteFile file, SqlDesk::Options options, Executor& executor, BlockingPool& pool)
      : SqlDesk(std::move(options), executor), file_(std::move(file)), pool_(pool) {}

  [[nodiscard]] const SqliteFile& file() const { return file_; }

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
  };
  using JobPtr = std::shared_ptr<Job>;

  void pump() override {
    while (places_left() > 0) {
      if (!writing_ && line().oldest_write()) {
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
    // Closing can copy the WAL into the database: off this thread.
    auto idle = std::exchange(readers_, {});
    idle.insert(idle.end(), writer_.begin(), writer_.end());
    writer_.clear();
    if (!idle.empty()) pool_.run([idle = std::move(idle)] {});
  }

 private:
  // The connection used last is the one whose cache is warm.
  Connection take_connection(std::vector<Connection>& idle) {
    const auto role = &idle == &writer_ ? SqliteConnection::Role::kWriter : SqliteConnection::Role::kReader;
    if (idle.empty()) return std::make_shared<SqliteConnection>(file_, role);
    auto connection = std::move(idle.back());
    idle.pop_back();
    return connection;
  }

  void start(JobPtr job) {
    took_places(1);
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
    gave_places(1);
    std::erase(jobs_, job);
    if (job->writes) writing_ = false;
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
  return desk_->bind(statements, SqlDialect::kSqlite);
}

Task<Result<void>> SqliteOrigin::prepare() {
  auto done = desk_->check_all();
  Result<void> result = co_await done;
  co_return result;
}

OriginStats SqliteOrigin::stats() const { return desk_->stats(); }

std::string SqliteOrigin::describe() const { return "sqlite " + desk_->file().path; }

}  // namespace candor
