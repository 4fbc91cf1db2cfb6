// PostgreSQL (and what speaks its protocol) as an origin: a pool of pipelined connections on the executor's
// own thread.
//
// Loads of one feature that wait together become one `load_many` where there is one; other statements that
// wait together share connections and round trips.
//
// Invariants
//   - Statements in flight <= max_concurrency; connections <= connections_max.
//   - Nothing waits for a server that is known to be down: it fails at once, and connecting goes on in the
//   background with
//     growing, jittered pauses.
//   - A load that was lost with its connection is sent once more; a write that was sent is never repeated.
//   - A new connection is asked which history it is of before anything is sent there; of another one, what
//   was
//     connected before is sent nothing more.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/random.h"
#include "base/transport.h"
#include "origin/origin.h"
#include "origin/postgres_connection.h"
#include "origin/postgres_history.h"
#include "origin/sql_desk.h"

namespace candor {

class PostgresOrigin final : public Origin {
 public:
  struct Options {
    SqlDesk::Options desk;
    std::uint32_t connections_max;
    std::uint64_t seed;  // of the pauses' jitter
    // Of the region's replication slot, postgres_slot_prefix(): the history's name for probe(). Empty:
    // unknown.
    std::string slot_prefix{};
  };
  // Executor, transport and pool outlive the origin.
  PostgresOrigin(PostgresTarget target, Options options, Executor& executor, Transport& transport,
                 BlockingPool& pool);
  ~PostgresOrigin() override;

  Result<std::unique_ptr<OriginFeature>> bind(OriginStatements statements) override;
  Task<Result<void>> prepare() override;
  // A role without any right but to log in may ask; a standby does not know (its position is not the
  // origin's).
  Task<Result<OriginProbe>> probe(MonoTime deadline) override;
  Task<Result<std::vector<std::string>>> list_keys(std::string sql, std::size_t rows_max,
                                                   MonoTime deadline) override;
  void protect(const OriginProtection& protection) override;
  [[nodiscard]] OriginStats stats() const override;
  [[nodiscard]] std::string describe() const override;

  // `told` hears, before anything else is sent or answered, that the server's history is not the one that
  // earlier answers came from (PostgresHistory), and how that shows. Null: nobody.
  void on_history_lost(std::function<void(const PostgresHistory::Verdict& lost)> told);

  [[nodiscard]] std::uint32_t connections() const;

 private:
  class Desk;
  std::shared_ptr<Desk> desk_;
};

}  // namespace candor
