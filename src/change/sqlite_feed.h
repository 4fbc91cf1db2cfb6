// The change feed of a SQLite file: reads the log that triggers write (sqlite_triggers.h).
//
// Waking up: SQLite tells nobody of other processes' commits, but it writes files. Each event of the file or
// its -wal leads to `pragma data_version`, which costs microseconds and says whether anybody committed. In
// WAL mode the event comes before the commit can be seen (the frames are written, synced, then published in
// shared memory without another event), so after an event it is asked again at 1, 2, 4 … ms. Where events do
// not come (network file systems), the last step of that ladder, kLookMax, goes on for ever.
//
// Leadership: sqlite_desk.h. Of the processes that read under one name, one leads; a dead or paused one is
// followed within SqliteDesk::kSilence, and duplicates are harmless.
//
// Order: one writer at a time, so seq is the order of commits, and what one snapshot shows is complete up to
// its highest seq. A large transaction is handed over in several batches; each row has its own position.
#pragma once

#include <memory>
#include <string>

#include "base/executor.h"
#include "base/transport.h"
#include "change/feed.h"
#include "change/sqlite_log.h"

namespace candor {

class SqliteFeed final : public Feed {
 public:
  // All outlive the feed. One job of the pool at a time.
  SqliteFeed(Executor* executor, Transport* transport, BlockingPool* pool, SqliteLogOptions options);
  ~SqliteFeed() override;
  SqliteFeed(const SqliteFeed&) = delete;
  SqliteFeed& operator=(const SqliteFeed&) = delete;

  void start(FeedSink* sink) override;
  void confirm(Position position) override;
  void stop() override;
  [[nodiscard]] FeedStatus status() const override { return status_; }
  [[nodiscard]] std::string describe() const override;
  // This process wrote: look now.
  void wake();

  static constexpr Duration kLookMin = 1ms;
  static constexpr Duration kLookMax = 250ms;

 private:
  class Shared;
  void visit();
  void visited(SqliteLog::Found found);
  void tell(SqliteLog::Found& found);
  void look_later();

  Executor* executor_;
  Transport* transport_;
  BlockingPool* pool_;
  std::string path_, reader_;
  std::shared_ptr<SqliteLog> log_;  // shared with the job under way
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<FileWatch> watch_;
  FeedSink* sink_ = nullptr;
  FeedStatus status_;
  Position confirmed_;
  Duration delay_ = kLookMin;
  TimerId timer_;
  bool busy_ = false;             // a job is under way
  bool again_ = false;            // something happened meanwhile
  bool taken_ = true;             // the sink can take a batch
  std::uint64_t leadership_ = 0;  // counts changes of it
  bool leading_ = false;
  bool stopping_ = false;
};

}  // namespace candor
