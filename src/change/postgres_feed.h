// The change feed of a PostgreSQL origin: logical replication through the built-in plugin pgoutput.
//
// One slot for each region and origin: who reads it leads, its confirmed position is the checkpoint, the
// server's log the replayable history. What the slot and the publication need is made where rights allow;
// where not, status().problem has the exact SQL.
//
//   control session   looks once a second: rights, settings, tables, slot, lag; makes and mends
//   replication       START_REPLICATION; frames → PostgresChanges → sink
//
// Things to know
//   - A change is handed over when it is decoded, which PostgreSQL does *before* the commit is visible to new
//     snapshots: nothing here waits for visibility. That is the markers' business (decision 0005).
//   - What is not in the log is noticed by the once-a-second look and answered with a break: another table
//     under a watched name, columns and partitions that come, go or are truncated alone.
//   - A server that shuts down waits until its subscribers have confirmed everything; while confirmation is
//     frozen the feed lets go of it, so that a shutdown ends.
//   - A leader that is stopped (SIGSTOP) or cut off loses the slot after wal_sender_timeout, which the feed
//     sets for its own session; then a standby node takes over.
//
// Thread safety: one executor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/transport.h"
#include "change/feed.h"
#include "change/postgres_changes.h"
#include "origin/postgres_connection.h"

namespace candor {

struct PostgresFeedOptions {
  std::string region;
  std::string origin;
  std::vector<Watch> watches;
  // How often the server is asked where it stands, so that `up_to` moves while nobody writes.
  Duration heartbeat_period = 100ms;
  // How often the control session looks, and a standby tries.
  Duration check_period = 1s;
  // The server drops a leader that has not answered for so long.
  Duration leader_timeout = 15s;
  // A server that says nothing for so long is taken for lost. Above what a server needs to skip a large
  // transaction of other tables, during which older versions are silent.
  Duration silence_max = 30s;
  // Whole transactions that the sink has not taken: beyond that the socket is not read, and the server waits.
  std::size_t pending_max = 50'000;
  PostgresChanges::Limits transaction;
};

class PostgresFeed final : public Feed {
 public:
  // Executor, transport, pool and entropy outlive the feed.
  PostgresFeed(PostgresTarget target, PostgresFeedOptions options, Executor& executor, Transport& transport,
               BlockingPool& pool, EntropySource& entropy);
  ~PostgresFeed() override;

  void start(FeedSink* sink) override;
  void confirm(Position position) override;
  void history_lost(Incarnation incarnation, const std::string& reason) override;
  void stop() override;
  [[nodiscard]] FeedStatus status() const override;
  [[nodiscard]] std::string describe() const override;

 private:
  class Run;
  std::shared_ptr<Run> run_;
};

}  // namespace candor
