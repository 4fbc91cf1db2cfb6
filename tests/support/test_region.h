// One region of Candor as an operator would run it: real daemons, PostgreSQL or SQLite behind them, a Redis
// as L2, a Redis or NATS as stream, and a proxy on every link between a daemon and a server. Thread safety:
// none.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/support/candord.h"
#include "tests/support/process.h"
#include "tests/support/recorder.h"
#include "tests/support/sql_client.h"
#include "tests/support/stream_server.h"
#include "tests/support/tcp_proxy.h"
#include "tests/support/workload.h"

namespace candor::testing {

// Where the rows are: a table `item` and its journal.
class TestOrigin {
 public:
  virtual ~TestOrigin() = default;
  // Of [origins.shop], for a daemon that reaches the server at `port` (0: no server, or directly).
  [[nodiscard]] virtual std::string url(std::uint16_t port) const = 0;
  [[nodiscard]] virtual std::uint16_t server_port() const { return 0; }
  [[nodiscard]] virtual std::unique_ptr<DirectWriter> writer() = 0;
  // Entries after the first `skipped`.
  [[nodiscard]] virtual std::vector<JournalEntry> journal(std::size_t skipped) = 0;
};

// A database of its own in a PostgreSQL server that outlives this.
class PostgresTestOrigin final : public TestOrigin {
 public:
  PostgresTestOrigin(PostgresServer* server, std::string database);
  ~PostgresTestOrigin() override;
  [[nodiscard]] std::string url(std::uint16_t port) const override;
  [[nodiscard]] std::uint16_t server_port() const override { return server_->port(); }
  [[nodiscard]] std::unique_ptr<DirectWriter> writer() override;
  [[nodiscard]] std::vector<JournalEntry> journal(std::size_t skipped) override;
  [[nodiscard]] SqlClient& sql();

 private:
  PostgresServer* server_;
  std::string database_;
  std::unique_ptr<SqlClient> sql_;
};

class SqliteTestOrigin final : public TestOrigin {
 public:
  SqliteTestOrigin();
  [[nodiscard]] std::string url(std::uint16_t) const override { return "sqlite:" + file(); }
  [[nodiscard]] std::unique_ptr<DirectWriter> writer() override;
  [[nodiscard]] std::vector<JournalEntry> journal(std::size_t skipped) override;
  [[nodiscard]] std::string file() const { return folder_.path() + "/shop.db"; }

 private:
  TempDir folder_;
};

struct RegionOptions {
  std::string name;  // of the region; of a slot's name, too
  int nodes = 2;
  std::string stream = "redis";  // or "nats", "memory"
  bool l2 = true;                // a Redis; else in the daemon's memory
};

class TestRegion {
 public:
  struct Node {
    std::unique_ptr<TcpProxy> to_origin, to_l2, to_stream;  // null: there is no such link
    std::unique_ptr<Candord> daemon;
  };

  TestRegion(TestOrigin* origin, RegionOptions options);
  ~TestRegion();
  TestRegion(const TestRegion&) = delete;
  TestRegion& operator=(const TestRegion&) = delete;

  [[nodiscard]] bool start();
  [[nodiscard]] std::size_t size() const { return nodes_.size(); }
  [[nodiscard]] Node& node(std::size_t i) { return nodes_[i]; }
  [[nodiscard]] Candord& daemon(std::size_t i) { return *nodes_[i].daemon; }
  [[nodiscard]] std::vector<Candord*> daemons();
  [[nodiscard]] RedisServer& l2() { return *l2_; }
  [[nodiscard]] StreamServer& stream() { return *stream_; }
  void heal();

  // True once every node proves what it holds: its reads of "item:calm" come from a tier with a proof
  // that is younger than the load. False when the patience is over.
  [[nodiscard]] bool wait_until_proven(Duration patience);
  [[nodiscard]] static bool is_proven(const Candord& daemon);

 private:
  [[nodiscard]] std::string configuration(const Node& node) const;

  TestOrigin* origin_;
  RegionOptions options_;
  std::unique_ptr<RedisServer> l2_;
  std::unique_ptr<StreamServer> stream_;
  std::vector<Node> nodes_;
};

}  // namespace candor::testing
