// The origin: the database, the only authority. One Origin is one configured `[origins.NAME]`; one
// OriginFeature is what a feature does with it (its load, store and erase statements, prepared).
//
// Loads of one feature that are asked for in the same turn of the loop leave together: as one statement where
// the origin can (`= any(:keys)`), else pipelined. The hard cap on statements in flight (max_concurrency)
// holds at all times; what waits for a place is bounded too, and beyond that the answer is OVERLOADED.
//
// Keys with several columns: `feature:a:b` binds :key1 = "a", :key2 = "b" (the last one takes the rest,
// colons included). Values: the first column of the row. Text and JSON as their text, bytes raw (bytea,
// blob), numbers and booleans as the database prints them, NULL as a negative result. No row is a negative
// result. Several columns: a JSON object of the row, by column name.
//
// Thread safety: one executor; completions arrive on its thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/breaker.h"
#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "origin/load_urgency.h"
#include "version/change.h"

namespace candor {

struct OriginStatements {
  std::string feature;  // for messages
  std::string
      load;  // required for SQL; for Redis origins a key pattern such as "user:{key}", default "{key}"
  std::string load_many;  // optional, uses :keys; must return (key, value) rows
  std::string store;      // optional
  std::string erase;      // optional
  // The row that the feature's value depends on, for confirm(): table and key columns. Empty: none.
  std::string watch_table{};
  std::vector<std::string> watch_columns{};
  // The feature's changes are heard of. SQL origins go by watch_table; Redis needs to know no more.
  bool is_watched = false;
};

struct OriginRow {
  std::optional<std::string> value;  // nullopt: negative result
  Stamp stamp;
  // How long the origin itself will keep the value, from the moment it was asked: a Redis key's expiry, which
  // Redis tells nobody of until somebody looks. nullopt: for ever, or not known.
  std::optional<Duration> ttl_left{};
};

struct OriginWrite {
  std::uint64_t rows = 0;  // rows that the statement changed, where the origin says
  ChangeId change;         // of the change, when known
};

// What somebody holds of a row, and wants confirmed.
struct HeldRow {
  StampBound stamp;       // of the load that it came from
  Incarnation history;    // in which that load was made: a stamp says nothing of another one
  bool negative = false;  // no row
};

// ---- write-behind: many writes and the log's position, in one transaction ----

struct BatchedWrite {
  bool is_erase = false;
  std::string key;
  std::shared_ptr<const std::string> value;  // of a store
};

// What a write-behind log brings to the origin. The origin keeps one position for each log, in the table
// `candor_write_behind(log_id, position)`; the transaction moves it from `expected` to `position`, or does
// nothing.
struct WriteBatch {
  std::string log_id;
  std::uint64_t expected = 0;
  std::uint64_t position = 0;
  std::vector<BatchedWrite> writes;
};

struct WriteBatchOutcome {
  enum class Kind : std::uint8_t {
    kApplied,  // all of it, committed
    kMoved,    // the position is not `expected`: nothing was done. It may be an earlier attempt that arrived
               // after all
    kRefused,  // nothing was done: the origin will never take write `index` (a constraint, a type)
    kFailed,   // `error`; unless it says otherwise, nobody knows what was done: ask for the position
  };
  static constexpr std::size_t kUnknownIndex = SIZE_MAX;  // refused at the commit: some write of it

  Kind kind = Kind::kFailed;
  std::size_t index = kUnknownIndex;
  Error error;
  std::vector<ChangeId> changes;  // kApplied: of each write, 0 where it is not known
};

class OriginFeature {
 public:
  virtual ~OriginFeature() = default;
  // Errors: kOriginDown (not reachable; nothing happened), kRejected (the statement failed; its SQLSTATE and
  // message are in the text), kTimeout (for writes: unknown outcome, and only that; a write that ran out of
  // time before it was sent, or was rolled back, is kOriginDown), kOverloaded, kInvalidArgument (the key has
  // too few parts).
  virtual Task<Result<OriginRow>> load(std::string key, MonoTime deadline) = 0;
  // The same, in the line where `urgency` belongs (null: a reader's of normal priority). Origins that have no
  // line load at once.
  virtual Task<Result<OriginRow>> load_urgent(std::string key, MonoTime deadline, LoadUrgencyPtr urgency) {
    (void)urgency;
    return load(std::move(key), deadline);
  }
  virtual Task<Result<OriginWrite>> store(std::string key, std::string value, MonoTime deadline) = 0;
  virtual Task<Result<OriginWrite>> erase(std::string key, MonoTime deadline) = 0;
  // Is it still what the origin holds? Asked at the origin, in this call: the origin's history must be the
  // one that the stamp is of (a standby that was promoted gives ids out again), and the row's version must be
  // included in the stamp. Confirmations of one feature that are asked for in the same turn leave as one
  // statement. False when it changed, and whenever in doubt.
  // kNotFound: this feature cannot be confirmed (no watch, or the origin has no row versions); the caller
  // loads instead.
  virtual Task<Result<bool>> confirm(std::string key, HeldRow held, MonoTime deadline) {
    (void)key, (void)held, (void)deadline;
    co_return fail(ErrorCode::kNotFound, "this origin cannot confirm row versions");
  }
  [[nodiscard]] virtual bool can_confirm() const { return false; }
  // Does confirm() look at the row itself, and not at the log that the change feed reads? What the log was
  // never told, only the row knows.
  [[nodiscard]] virtual bool confirms_by_row() const { return false; }
  // As Origin::has_local_order(), of this feature: what it loads must not meet another node's stamps, so that
  // it stays out of L2.
  [[nodiscard]] virtual bool has_local_order() const { return false; }
  [[nodiscard]] virtual bool can_store() const = 0;
  [[nodiscard]] virtual bool can_erase() const = 0;

  // Origins that have transactions over their writes and a table of ours.
  [[nodiscard]] virtual bool can_apply() const { return false; }
  virtual Task<WriteBatchOutcome> apply(WriteBatch batch, MonoTime deadline) {
    (void)batch, (void)deadline;
    WriteBatchOutcome outcome;
    outcome.error = Error{ErrorCode::kNotFound, "this origin takes no batches of writes"};
    co_return outcome;
  }
  // Up to where the origin has the log's writes. Makes the table, and the log's row, where they are missing;
  // where the right to do so is missing, the error has the SQL to run.
  virtual Task<Result<std::uint64_t>> applied_position(std::string log_id, MonoTime deadline) {
    (void)log_id, (void)deadline;
    co_return fail(ErrorCode::kNotFound, "this origin takes no batches of writes");
  }
};

struct OriginStats {
  std::uint64_t statements = 0;  // sent, all kinds
  std::uint64_t loads = 0;       // keys loaded (a batch of ten is ten)
  std::uint64_t batches = 0;     // load statements sent
  std::uint64_t errors = 0;
  std::uint32_t in_flight = 0;
  std::uint32_t in_flight_max = 0;  // the highest ever seen
  std::uint32_t waiting = 0;
  std::uint32_t max_concurrency = 0;
  // False when the last attempt to use or to open a connection failed, and before the first.
  bool connected = false;
  // ---- OriginGate ----
  std::uint32_t limit = 0;  // statements in flight that are let through now, of max_concurrency
  bool has_breaker = false;
  Breaker::State breaker = Breaker::State::kClosed;
  std::uint64_t breaker_opened = 0;                // times
  std::uint64_t refused = 0;                       // requests, by the open breaker
  std::uint64_t retries = 0;                       // statements sent again
  std::array<std::uint64_t, kLoadClasses> shed{};  // requests refused because of the line, by class
};

// How an origin is kept from harm, and its readers from waiting for nothing (OriginGate).
struct OriginProtection {
  bool is_adaptive = true;            // the limit follows the origin; else it is max_concurrency
  std::uint32_t min_concurrency = 2;  // one would let a single slow statement hold up everything
  bool has_breaker = true;
  double retry_share = 0.1;  // of the statements: so many may be repeated
};

class Origin {
 public:
  virtual ~Origin() = default;
  // Checks the statements as far as possible without the database (parameters) and keeps them. Errors name
  // the feature and the statement. With the database reachable, prepare() below says what the database thinks
  // of them.
  virtual Result<std::unique_ptr<OriginFeature>> bind(OriginStatements statements) = 0;
  // Connects and prepares everything bound; an unreachable origin is an error here but not fatal: connections
  // are made again on use.
  virtual Task<Result<void>> prepare() = 0;
  // Keys, for warming: the rows of this statement in its order, at most `rows_max`, their columns joined by
  // `:` as a key of several columns is. A row with a NULL is left out. Beside the loads, one at a time.
  // kNotFound: this origin runs no statements of that kind; kRejected: the statement is wrong.
  virtual Task<Result<std::vector<std::string>>> list_keys(std::string sql, std::size_t rows_max,
                                                           MonoTime deadline) {
    (void)sql, (void)rows_max, (void)deadline;
    co_return fail(ErrorCode::kNotFound, "this origin runs no query of keys; name them in `keys`");
  }
  // Where the origin stands now: one cheap statement. kNotFound: this origin has no positions.
  virtual Task<Result<OriginProbe>> probe(MonoTime deadline) {
    (void)deadline;
    co_return fail(ErrorCode::kNotFound, "this origin has no change positions");
  }
  // These features are known to be unheard: what probe() proves need not hold for them.
  virtual void note_unheard(const std::vector<Unheard>& /*unheard*/) {}
  // Its positions and change ids are those of this node's own connection (Redis): they mean nothing to
  // another node, so that they go over no shared stream, into no shared tier.
  [[nodiscard]] virtual bool has_local_order() const { return false; }
  // From now on. Origins that have no gate know no protection.
  virtual void protect(const OriginProtection& /*protection*/) {}
  [[nodiscard]] virtual OriginStats stats() const = 0;
  [[nodiscard]] virtual std::string describe()
      const = 0;  // "sqlite var/shop.db", "postgresql app@127.0.0.1:5432/shop"; no password
};

}  // namespace candor
