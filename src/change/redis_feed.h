// The change feed of a Redis origin: what the loading connection hears (origin/redis_tracking.h), as changes
// of keys.
//
// Every node has its own feed of its own loads: there is no leader to elect, nothing to share and nothing to
// confirm. Positions are this node's, so that the feed belongs on a stream of this node's own.
//
//   connection lost       a break in the same history: what was loaded is suspect, and may be served as stale
//                         where the owner allows it
//   another connection    a break with another incarnation: nobody knows what was missed
//   null invalidation     FLUSHALL, FLUSHDB, of any database: a change of every feature
//   not tracked           kMisconfigured, with what to do; asked again by the origin
//
// Pushes cannot be held back without holding back replies, which are in the same stream. So what the sink has
// not taken is bounded by forgetting names: beyond `pending_max` every feature changed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "change/feed.h"
#include "origin/key_pattern.h"
#include "origin/redis_origin.h"

namespace candor {

struct RedisWatch {
  std::string feature;
  KeyPattern load;
};

struct RedisFeedOptions {
  std::string origin;
  std::vector<RedisWatch> watches;
  // Changes that wait for the sink: at some 100 bytes each, 10 MB. Redis pushes a million a second at the
  // very most, and the sink takes them in a turn or two.
  std::size_t pending_max = 100'000;
};

class RedisFeed final : public Feed, private RedisInvalidationListener {
 public:
  // `origin` outlives the feed.
  RedisFeed(Executor* executor, const Clock* clock, RedisOrigin* origin, RedisFeedOptions options);
  ~RedisFeed() override;
  RedisFeed(const RedisFeed&) = delete;
  RedisFeed& operator=(const RedisFeed&) = delete;

  void start(FeedSink* sink) override;
  void confirm(Position position) override;
  void stop() override;
  [[nodiscard]] FeedStatus status() const override;
  [[nodiscard]] std::string describe() const override;

 private:
  void on_tracked(Incarnation incarnation, Position position) override;
  void on_invalidated(const std::string* name, ChangeId id) override;
  void on_lost(const std::string& reason) override;
  void on_refused(const std::string& error) override;

  void add(const RedisWatch& watch, const std::string& name, ChangeId id);
  void change_everything(ChangeId id);
  void pump_soon();
  void pump();

  Executor* executor_;
  const Clock* clock_;
  RedisOrigin* origin_;
  RedisFeedOptions options_;
  FeedSink* sink_ = nullptr;
  FeedStatus status_;
  std::vector<Change> pending_;
  Position position_;
  std::string break_reason_;  // of a break that the sink has still to hear of; empty: none
  bool led_ = false;          // the sink knows of this feed's first connection
  bool taken_ = true;         // the sink can take more
  bool pumping_ = false;      // a pump is posted
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor
