// Those who use the nodes and the database: sessions on nodes, and writers straight at the database.
// Everything they do and are answered goes into the history, as seen from outside of every process.
//
// A session has one operation under way. Its node's death ends it, and its client begins another one, at
// times with a token of the old one. Versions are given out once and never again. Thread safety: none; events
// of nature, and the nodes' processes.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "sim/node.h"

namespace candor::sim {

struct Workload {
  std::size_t sessions = 8;
  std::size_t keys = 12;         // of each feature
  double skew = 0.8;             // of the choice of a key
  Duration think = 500ms;        // mean between a session's operations
  double writes = 0.1;           // of a session's operations
  double erases = 0.15;          // of the writes
  double tokens = 0.02;          // of the operations: issue, or adopt
  double invalidations = 0.01;   // of the operations
  double other_levels = 0.2;     // of the reads: at a level that is not the feature's
  double direct_per_second = 1;  // transactions straight at the database
  Duration direct_think_max = 200ms;
};

class Clients {
 public:
  Clients(World& world, Database& database, std::vector<SimNode*> nodes,
          const std::vector<FeaturePolicy>& features, Workload workload, History* history);

  void start();
  // No operation begins any more.
  void stop() { is_running_ = false; }
  // At the end: every key at every node, at level eventual.
  void read_everything();

  [[nodiscard]] std::uint64_t operations() const { return history_->operations.size(); }

 private:
  struct Session {
    std::uint32_t id = 0;
    std::size_t node = 0;
    std::optional<SessionToken> token;
    bool is_over = false;
  };
  using SessionPtr = std::shared_ptr<Session>;
  struct Token {
    std::uint64_t number = 0;
    SessionToken token;
  };
  struct Key {
    std::string feature, key;
    Consistency level;
    Duration bound;
    std::uint32_t number = 0;
  };

  void begin_session(std::optional<std::size_t> not_on = std::nullopt);
  void next_operation(const SessionPtr& session);
  void operate(const SessionPtr& session);
  void read(const SessionPtr& session, const Key& key);
  void write(const SessionPtr& session, const Key& key);
  void invalidate(const SessionPtr& session, const Key& key);
  void issue_token(const SessionPtr& session);
  void adopt_token(const SessionPtr& session);
  void write_directly();
  void on_death(std::size_t node);
  // Runs on the session's node when it gets there; the operation is under way from now on.
  std::size_t begin(const SessionPtr& session, OperationKind kind);
  void at_node(const SessionPtr& session, Work work);
  // The session's operation was answered; false: too late, nobody waits for it.
  [[nodiscard]] bool end(const SessionPtr& session, std::size_t operation, Outcome outcome);
  [[nodiscard]] const Key& draw_key();
  [[nodiscard]] Duration draw_think(Duration mean);
  [[nodiscard]] std::uint64_t new_version() { return ++last_version_; }

  World& world_;
  Database& database_;
  std::vector<SimNode*> nodes_;
  Workload workload_;
  History* history_;
  Random random_;
  std::vector<Key> keys_;
  std::vector<double> weights_;  // running sums
  std::vector<SessionPtr> sessions_;
  std::deque<Token> tokens_;
  std::uint32_t last_session_ = 0;
  std::uint64_t last_version_ = 0, last_token_ = 0;
  std::vector<std::uint32_t> node_numbers_;
  bool is_running_ = false;
};

}  // namespace candor::sim
