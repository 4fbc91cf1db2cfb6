// The desk of an SQL origin: admits requests within limits, answers them exactly once (result, deadline or
// closing), and leaves to its subclass how the database is spoken to.
//
// Invariants
//   - Every admitted request is answered once, at its deadline at the latest.
//   - What waits is bounded in count and in bytes; beyond that the answer is kOverloaded, at once.
//   - Nothing is dispatched inside run(): requests of one turn are gathered, then pump() runs once.
// Thread safety: one executor. Shared ownership, because answers and pool jobs can outlive the Origin.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/executor.h"
#include "origin/origin.h"
#include "origin/sql_request.h"

namespace candor {

// What may wait, in bytes: four values of the largest size. Only writes carry values.
inline constexpr std::size_t kOriginWaitingBytesMax = std::size_t{256} << 20;

class SqlDesk : public std::enable_shared_from_this<SqlDesk> {
 public:
  struct Options {
    std::string name;  // of the origin, for messages
    std::uint32_t max_concurrency;
    std::uint32_t waiting_max;
    OriginProtection protection{};
    std::uint64_t seed = 0;
  };
  SqlDesk(Options options, Executor& executor);
  virtual ~SqlDesk() = default;

  [[nodiscard]] Task<Result<SqlAnswer>> run(SqlVerb verb, std::shared_ptr<const SqlFeature> feature,
                                            std::string key, std::string value, MonoTime deadline,
                                            LoadUrgencyPtr urgency = {});
  void protect(const OriginProtection& protection);
  // Nothing is asked of the origin now, because it fails; why.
  [[nodiscard]] std::optional<Error> shut() const;

  // Checks the statements and keeps them.
  [[nodiscard]] Result<std::unique_ptr<OriginFeature>> bind(const OriginStatements& statements,
                                                            SqlDialect dialect);
  // As OriginFeature::confirm(). For origins that have row versions.
  [[nodiscard]] virtual Task<Result<bool>> confirm(std::shared_ptr<const SqlFeature> feature, std::string key,
                                                   HeldRow held, MonoTime deadline) {
    (void)feature, (void)key, (void)held, (void)deadline;
    co_return fail(ErrorCode::kNotFound, "this origin cannot confirm row versions");
  }
  [[nodiscard]] virtual bool can_confirm(const SqlFeature& feature) const {
    (void)feature;
    return false;
  }
  [[nodiscard]] virtual bool confirms_by_row() const { return false; }
  // As OriginFeature's.
  [[nodiscard]] virtual Task<WriteBatchOutcome> apply(std::shared_ptr<const SqlFeature> feature,
                                                      WriteBatch batch, MonoTime deadline) = 0;
  [[nodiscard]] virtual Task<Result<std::uint64_t>> applied_position(std::string log_id,
                                                                     MonoTime deadline) = 0;
  // Answers everything that waits or is in flight with an error, and takes nothing more.
  void close();

  [[nodiscard]] OriginStats stats() const;

 protected:
  // Sends what can be sent. Called at the end of a turn in which something arrived, and by the subclass.
  virtual void pump() = 0;
  // The deadline of a request in flight has passed; it has its answer. What runs for it can be stopped.
  virtual void on_late(const SqlRequestPtr& request) = 0;
  virtual void on_close() = 0;

  // Answers, unless the deadline did. May run anything: callers have their state in order, and are prepared
  // to be closed.
  void finish(const SqlRequestPtr& request, Result<SqlAnswer> result);
  void schedule_pump();

  [[nodiscard]] bool is_closed() const { return closed_; }
  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] Executor& executor() const { return executor_; }
  [[nodiscard]] WaitingLine& line() { return line_; }
  [[nodiscard]] OriginStats& counters() { return stats_; }
  [[nodiscard]] const std::vector<std::shared_ptr<const SqlFeature>>& features() const { return features_; }
  [[nodiscard]] OriginGate& gate() { return gate_; }
  void took_places(std::uint32_t count);
  void gave_places(std::uint32_t count);
  [[nodiscard]] std::uint32_t places_left() const {
    const std::uint32_t limit = gate_.limit(executor_.now());
    return limit > stats_.in_flight ? limit - stats_.in_flight : 0;
  }
  // These leave as one statement, which takes a place; end() gives it back. `answered`: the origin did what
  // it was asked, so that its time counts.
  [[nodiscard]] OriginGate::Statement begin(const std::vector<SqlRequestPtr>& requests);
  void end(const OriginGate::Statement& statement, bool answered);
  // A statement was lost on the way, or failed for a reason that says the origin suffers.
  void lost();
  // Again, in front of the line.
  void put_back(const SqlRequestPtr& request);

 private:
  void on_deadline(const SqlRequestPtr& request);
  void listen_for_raise(const LoadUrgencyPtr& urgency, const SqlRequestPtr& request);
  void empty_line_if_shut();
  void pump_after_dip();

  Options options_;
  Executor& executor_;
  OriginGate gate_;
  WaitingLine line_;
  OriginStats stats_;
  std::vector<std::shared_ptr<const SqlFeature>> features_;
  std::uint64_t arrivals_ = 0;
  bool pump_scheduled_ = false;
  bool closed_ = false;
};

}  // namespace candor
