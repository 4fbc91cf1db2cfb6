// A node's ends of the database: the origin that loads, writes and probes over the network, and the change
// feed that follows a replication slot. What PostgresOrigin and PostgresFeed are to the real one; as there,
// every new connection and every probe is held against the history that was seen before.
//
// Thread safety: the node's process. Destroying the feed ends its connection; work under way outlives it
// harmlessly.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "change/feed.h"
#include "origin/origin.h"
#include "origin/postgres_history.h"
#include "sim/database.h"

namespace candor::sim {

class DatabaseOrigin final : public Origin {
 public:
  // `slot`: the region's.
  DatabaseOrigin(Network& network, PlaceId node, Database& database, std::string slot);

  // Told on the node's process before anything is read of the other history; null: nobody.
  using HistoryTold = std::function<void(const PostgresHistory::Verdict& lost)>;
  void on_history_lost(HistoryTold told);

  Result<std::unique_ptr<OriginFeature>> bind(OriginStatements statements) override;
  Task<Result<void>> prepare() override;
  Task<Result<OriginProbe>> probe(MonoTime deadline) override;
  [[nodiscard]] OriginStats stats() const override { return {}; }
  [[nodiscard]] std::string describe() const override { return "simulated"; }

 private:
  class Bound;
  struct Link;
  static Task<Result<OriginProbe>> probe_of(std::shared_ptr<Link> link, MonoTime deadline);
  std::shared_ptr<Link> link_;  // with whatever is under way
};

class DatabaseFeed final : public Feed {
 public:
  DatabaseFeed(Network& network, PlaceId node, Database& database, std::string slot);
  ~DatabaseFeed() override;

  void start(FeedSink* sink) override;
  void confirm(Position position) override;
  void stop() override;
  [[nodiscard]] FeedStatus status() const override { return status_; }
  [[nodiscard]] std::string describe() const override { return "simulated slot " + slot_; }

 private:
  struct Batch {
    std::vector<Change> changes;
    Position up_to;
  };
  void connect();
  void retry();
  void lose();
  void on_granted(Incarnation incarnation, Position from, bool is_break);
  void on_changes(std::vector<Change> changes, Position up_to);
  void hand_over();
  void beat();
  void to_database(std::function<void()> work);

  Network& network_;
  PlaceId node_;
  Database& database_;
  std::string slot_;
  FeedSink* sink_ = nullptr;
  FeedStatus status_;
  std::shared_ptr<Database::Consumer> consumer_;  // of the connection that is open
  std::deque<Batch> batches_;                     // received and not taken
  bool sink_is_busy_ = false;
  bool stopped_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor::sim
