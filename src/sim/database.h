// A model of the origin: a database with snapshots, row locks and a replicated log, by PostgreSQL's rules.
//
//   begin (takes a transaction id) ── lock row by row ── commit (a place in the log; the slots are told)
//     ── visible to new snapshots, locks released, the writer is answered
//
// Between commit and visibility passes nothing, or the time that a synchronous standby takes ("late
// visibility"): the log hands a commit out before new loads see it. Ids are taken in the order of beginnings
// and committed in another. What is in rows and log survives a crash; failover() goes on from a standby that
// lacks the last commits, or from a backup that does (on the timeline that was), and gives their ids out
// again. A slot that was lost is made anew, and names another history: whoever dies before the region heard
// of the loss cannot keep it from those who come next.
//
// Invariants
//   - Writers of one row follow each other: the next one begins to write when the one before is visible or
//   gone.
//   - The history of a run holds every version with the moment from which a new load would show it.
// Thread safety: none; runs as a process of the world.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/task.h"
#include "origin/origin.h"
#include "origin/postgres_history.h"
#include "sim/channel.h"
#include "sim/history.h"
#include "sim/network.h"
#include "version/change.h"

namespace candor::sim {

// What a row, or a snapshot's view of it, is.
struct RowState {
  std::uint64_t version = kAbsent;
  std::uint64_t xid = 0;  // of the transaction that made it
};

class Database {
 public:
  struct Options {
    Duration service_max = 1ms;  // of a statement, before and after it looks
    Duration late_max = 3s;      // a synchronous standby's worst
    Duration lock_patience = 10s;
    std::size_t undo_max = 64;  // commits that a failover may lose
  };
  struct Write {
    std::uint32_t key = 0;
    std::uint64_t version = kAbsent;
  };
  // A transaction's end: its id, or why it was rolled back.
  using Done = std::function<void(Result<std::uint64_t>)>;

  Database(World& world, Network& network, Process& process, History* history, Options options);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  [[nodiscard]] PlaceId place() const { return place_; }
  [[nodiscard]] Process& process() { return process_; }

  // ---- statements; on the database's process ----
  // A connection ends with the server that it was made to, and every statement on it after that is kRejected:
  // it has not begun, which a client that wrote cannot know.
  using Connection = std::uint64_t;
  struct Met {
    Connection connection = 0;
    PostgresPlace place;
  };
  struct Loaded {
    Connection on = 0;
    std::uint64_t version = kAbsent;
    Stamp stamp;
  };
  struct Probed {
    OriginProbe probe;
    PostgresPlace place;
  };
  // As a client of a region, whose slot names the history.
  Task<Result<Met>> connect(std::string slot);
  Task<Result<Loaded>> load(Connection connection, std::uint32_t key);
  // The transaction's id once it is visible.
  Task<Result<std::uint64_t>> store(Connection connection, std::uint32_t key, std::uint64_t version);
  Task<Result<bool>> confirm(Connection connection, std::string slot, std::uint32_t key, HeldRow held);
  Task<Result<Probed>> probe(Connection connection, std::string slot);

  // ---- other clients of the database ----
  // Writes row after row with `think` between them. On the database's process, or as an event of nature.
  void transact(std::vector<Write> writes, Duration think, Done done);

  // ---- replication slots ----
  // A consumer's end of its channel. Work sent over it runs on the consumer's process.
  struct Consumer {
    std::shared_ptr<Channel> channel;
    std::function<void(Incarnation, Position from, bool is_break)> granted;
    std::function<void()> refused;
    std::function<void(std::vector<Change>, Position up_to)> changes;
  };
  void start_replication(const std::string& slot, std::shared_ptr<Consumer> consumer);
  void confirm_position(const std::string& slot, const Consumer* consumer, Position position);
  void keep_alive(const std::string& slot, const Consumer* consumer);

  // ---- faults ----
  // Commits from now on are visible late, until `until`.
  void be_late(TrueTime until);
  // The log that the slots need is gone.
  void lose_slots();
  // Commits from now on, until `until`, are kept from the slots, as when triggers or publications lack a
  // table; then each slot's consumer hears of a break within the same history, and hears of it again until it
  // has confirmed it.
  void hide_changes(TrueTime until);
  // Up to `lost_max` of the last commits are lost.
  void failover(std::size_t lost_max, Random& random);
  [[nodiscard]] std::uint64_t commits() const { return commits_; }

  // The history's keys, "feature:key".
  [[nodiscard]] const std::string& key_name(std::uint32_t key) const { return history_->keys.name(key); }
  [[nodiscard]] std::uint32_t key_number(const std::string& name) { return history_->keys.number(name); }

 private:
  struct Transaction {
    std::uint64_t xid = 0;
    std::vector<Write> writes;
    std::size_t locked = 0;
    Duration think{0};
    Done done;
    bool committed = false, over = false;
  };
  using Txn = std::shared_ptr<Transaction>;
  struct Row {
    RowState visible;
    Txn owner;
    std::deque<Txn> waiting;
  };
  struct Undo {
    std::uint32_t key;
    RowState before;
  };
  struct Commit {
    Position position;
    std::uint64_t xid = 0;
    WallTime at;
    bool is_hidden = false;
    std::vector<Write> writes;
    std::vector<Undo> undo;
    Txn txn;
  };
  struct Slot {
    Position confirmed, sent;
    bool is_there = false;  // among the server's slots, if only as one that is lost
    bool is_good = false;   // the log from `confirmed` on is there
    Position broke_at;      // a break that is not confirmed yet; 0: none
    Incarnation incarnation;
    std::shared_ptr<Consumer> consumer;
    TrueTime heard;
  };

  [[nodiscard]] Row& row(std::uint32_t key);
  [[nodiscard]] Stamp snapshot() const;
  [[nodiscard]] Incarnation incarnation_of(const std::string& slot) const;
  [[nodiscard]] PostgresPlace place_of(const std::string& slot) const;
  [[nodiscard]] std::uint64_t xmin() const { return running_.empty() ? next_xid_ : *running_.begin(); }
  [[nodiscard]] Duration service();
  // On this process, unless it crashes before.
  void after(Duration delay, Work work);
  void go_on(const Txn& txn);
  void commit(const Txn& txn);
  void show(const Txn& txn);
  void release(const Txn& txn);
  void roll_back(const Txn& txn, const char* why);
  void end_statements();
  void record(std::uint32_t key, std::uint64_t version, bool by_restore);
  void stream(Slot& slot);
  void stream_all();
  void trim();
  void disconnect_slots();
  void tick();
  void on_crash();

  World& world_;
  Process& process_;
  PlaceId place_;
  History* history_;
  Options options_;
  Random random_;
  std::uint64_t boot_ = 1;  // counts crashes and failovers: what was under way is void
  std::uint32_t timeline_ = 1;
  std::uint64_t next_xid_ = 1000;
  Position position_{1};
  std::set<std::uint64_t> running_;  // ids that new snapshots do not see
  std::vector<Txn> transactions_;    // begun and not over
  std::vector<Row> rows_;
  std::deque<Commit> log_;
  std::map<std::string, Slot> slots_;
  TrueTime late_until_, hidden_until_;
  std::uint64_t commits_ = 0;
};

}  // namespace candor::sim
