// A test with a region of real daemons: clients run while the test breaks things; at the end everything
// heals, the writers stop, every node is read, a node is killed and read again (what it then serves comes
// from L2), and the checkers of the simulator judge the whole history.
//
// CANDOR_HISTORY_SECONDS   how long the test of random faults goes on (12)
// CANDOR_HISTORY_SEED      of clients, jitter and random faults (1)
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "sim/checkers.h"
#include "tests/support/test_region.h"

namespace candor {

class HistoryTest : public ::testing::Test {
 protected:
  static std::uint64_t setting(const char* name, std::uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
  }
  static std::vector<std::string> postgres_settings() {
    return {"wal_level=logical",         "max_connections=100",  "max_wal_senders=20",
            "max_replication_slots=20",  "autovacuum=off",       "log_min_messages=fatal",
            "max_slot_wal_keep_size=-1", "checkpoint_timeout=1h"};
  }
  static void SetUpTestSuite() {
    postgres_ = new testing::PostgresServer(postgres_settings());
    ASSERT_TRUE(postgres_->start());
  }
  static void TearDownTestSuite() {
    delete postgres_;
    postgres_ = nullptr;
  }

  // A database in the shared server, and a region over it. The name is the region's and the database's.
  void over_postgres(testing::RegionOptions options) { over_postgres(*postgres_, std::move(options)); }
  void over_postgres(testing::PostgresServer& server, testing::RegionOptions options) {
    auto origin = std::make_unique<testing::PostgresTestOrigin>(&server, options.name);
    database_ = origin.get();
    origin_ = std::move(origin);
    ASSERT_NO_FATAL_FAILURE(open(std::move(options)));
  }
  void over_sqlite() {
    origin_ = std::make_unique<testing::SqliteTestOrigin>();
    ASSERT_NO_FATAL_FAILURE(open({.name = "sqlite", .nodes = 1, .stream = "memory", .l2 = false}));
  }
  void open(testing::RegionOptions options) {
    region_ = std::make_unique<testing::TestRegion>(origin_.get(), std::move(options));
    ASSERT_TRUE(region_->start());
  }

  void begin(testing::WorkloadOptions options = {}) {
    options.seed = setting("CANDOR_HISTORY_SEED", 1);
    clients_ = std::make_unique<testing::Workload>(
        &recorder_, daemons(), [this] { return origin_->writer(); }, options);
    clients_->start();
    run(1s);
  }
  // Of both regions.
  std::vector<testing::Candord*> daemons() {
    auto all = region_->daemons();
    if (also_ != nullptr)
      for (testing::Candord* daemon : also_->daemons()) all.push_back(daemon);
    return all;
  }
  static void run(Duration duration) { std::this_thread::sleep_for(duration); }
  testing::TestRegion::Node& node(std::size_t i) { return region_->node(i); }

  // Heals, stops the writers, and judges. `repair`: after it every node must prove what it holds again.
  void finish(Duration repair = 10s);
  // The parts of it, for tests that do more in between.
  void settle(Duration repair);
  void read_everything();
  void show_standing();
  void check();
  [[nodiscard]] std::vector<sim::CheckResult> judge(const sim::History& history) const;

  static testing::PostgresServer* postgres_;
  std::unique_ptr<testing::TestOrigin> origin_;
  testing::PostgresTestOrigin* database_ = nullptr;  // null: SQLite
  testing::Recorder recorder_;
  std::unique_ptr<testing::TestRegion> region_;
  testing::TestRegion* also_ = nullptr;  // a second region
  std::unique_ptr<testing::Workload> clients_;
  std::size_t journal_done_ = 0;  // entries that the recorder has
  std::int64_t lost_at_ = 0;      // when the origin lost commits, which no order explains; 0: never
};

}  // namespace candor
