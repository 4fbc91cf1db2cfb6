// What pgoutput's messages mean for the watched tables: whole transactions as Changes. Pure.
//
// - Insert: the new row's key. Delete: the old row's. Update: the new key and, where it differs, the old one.
// - Where a key cannot be told, the change is of scope kFeature, and a problem says why and how to mend it.
// - A transaction of more than keys_max keys of one feature becomes one change of that feature: raising a
//   floor costs less than a million markers, and memory stays bounded however large a transaction is.
//
// Invariants
//   - committed() holds changes of whole transactions only, in commit order.
//   - Of a transaction that is not whole yet at most `bytes_max` and one change are held.
// Thread safety: none.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "change/pgoutput.h"
#include "version/change.h"

namespace candor {

// A watched table, as it was found in the catalog.
struct PostgresTable {
  struct Use {
    std::string feature;
    std::vector<std::string> key_columns;  // as the catalog spells them
  };
  std::uint32_t oid = 0;
  std::string shown;  // quoted where it must be, for SQL
  std::vector<Use> uses;
  // By use: the replica identity of the table, and of each of its partitions, has all key columns in it.
  std::vector<bool> identity_covers;
};

class PostgresChanges {
 public:
  struct Limits {
    // Of one feature in one transaction. Markers of 10,000 keys are a tenth of a node's table of them.
    std::size_t keys_max = 10'000;
    // Of one transaction in memory.
    std::size_t bytes_max = std::size_t{16} << 20;
  };
  // `next_xid`: with its epoch, as the server says it now.
  PostgresChanges(std::vector<PostgresTable> tables, Limits limits, std::uint64_t next_xid);

  // One message. True when it ended a transaction. After an error this object is of no further use.
  [[nodiscard]] Result<bool> take(std::string_view message);

  [[nodiscard]] bool in_transaction() const { return in_transaction_; }
  // The end of the last whole transaction.
  [[nodiscard]] Position position() const { return position_; }
  [[nodiscard]] std::vector<Change>& committed() { return committed_; }
  [[nodiscard]] std::size_t partial_bytes() const { return partial_bytes_; }
  [[nodiscard]] std::uint64_t transactions() const { return transactions_; }

  // Transaction ids advance without us, too.
  void saw_next_xid(std::uint64_t next);

  // One line a table; empty: all is well.
  [[nodiscard]] std::string problems() const;
  // Grows when problems() may have changed.
  [[nodiscard]] std::uint64_t problems_version() const { return problems_version_; }

 private:
  // A use against the table's columns as the server last described them.
  struct BoundUse {
    std::size_t feature = 0;           // index into features_
    std::vector<std::size_t> columns;  // of the key; empty: a column is missing
    bool covered = false;              // old rows carry the key
  };
  struct BoundTable {
    const PostgresTable* table = nullptr;
    std::size_t columns = 0;
    std::vector<BoundUse> uses;
  };
  // A feature's part of the transaction at hand.
  struct FeaturePart {
    std::string name;
    std::size_t keys = 0;
    bool whole = false;            // one change of scope kFeature stands for all
    std::size_t last = kNoChange;  // index of its last change, to drop repetitions
  };
  static constexpr std::size_t kNoChange = SIZE_MAX;

  Result<bool> on(const pgoutput::Begin& begin);
  Result<bool> on(const pgoutput::Commit& commit);
  Result<bool> on(const pgoutput::Relation& relation);
  Result<bool> on(const pgoutput::Insert& insert);
  Result<bool> on(const pgoutput::Update& update);
  Result<bool> on(const pgoutput::Delete& gone);
  Result<bool> on(const pgoutput::Truncate& truncate);
  Result<bool> on(const pgoutput::Ignored&) { return false; }

  // The watched table of this row; null: not watched. Errors: a row that its table's description denies.
  Result<const BoundTable*> table_of(std::uint32_t relation, const pgoutput::Tuple* a,
                                     const pgoutput::Tuple* b) const;
  void bind(const PostgresTable& table, const pgoutput::Relation& relation);
  enum class Key : std::uint8_t { kKnown, kNone, kUnknown };
  Key key_of(const BoundUse& use, const pgoutput::Tuple& row, const pgoutput::Tuple* fallback,
             std::string& key) const;
  void add(std::size_t feature, Key kind, const std::string& key);
  void update_of(const BoundUse& use, const pgoutput::Update& update);
  void make_whole(std::size_t feature);
  Change change_of(std::size_t feature) const;

  std::vector<PostgresTable> tables_;
  Limits limits_;
  std::uint64_t next_xid_;
  std::unordered_map<std::uint32_t, const PostgresTable*> watched_;  // by oid, which is the server's
  std::unordered_map<std::uint32_t, BoundTable> bound_;
  std::vector<FeaturePart> features_;
  std::map<std::string, std::size_t> feature_index_;
  std::map<std::string, std::string> problems_;  // by table
  std::uint64_t problems_version_ = 0;

  bool in_transaction_ = false;
  ChangeId id_;
  std::vector<Change> partial_;
  std::size_t partial_bytes_ = 0;
  std::vector<std::size_t> touched_;  // features with a part in this transaction
  std::vector<Change> committed_;
  Position position_;
  std::uint64_t transactions_ = 0;
  std::string old_key_, new_key_;  // kept for their memory
};

}  // namespace candor
