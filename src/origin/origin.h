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

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
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

class OriginFeature {
 public:
  virtual ~OriginFeature() = default;
  // Errors: kOriginDown (not reachable; nothing happened), kRejected (the statement failed; its SQLSTATE and
  // message are in the text), kTimeout (for writes: unknown outcome, and only that; a write that ran out of
  // time before it was sent, or was rolled back, is kOriginDown), kOverloaded, kInvalidArgument (the key has
  // too few parts).
  virtual Task<Result<OriginRow>> load(std::string key, MonoTime deadline) = 0;
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
  // As Origin::has_local_order(), of this feature: what it loads must not meet another node's stamps, so that
  // it stays out of L2.
  [[nodiscard]] virtual bool has_local_order() const { return false; }
  [[nodiscard]] virtual bool can_store() const = 0;
  [[nodiscard]] virtual bool can_erase() const = 0;
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
  [[nodiscard]] virtual OriginStats stats() const = 0;
  [[nodiscard]] virtual std::string describe()
      const = 0;  // "sqlite var/shop.db", "postgresql app@127.0.0.1:5432/shop"; no password
};

}  // namespace candor
