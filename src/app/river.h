// The change river of one node, wired: feeds of the watched origins, their publishers, the region stream, and
// the applier that does to the cache what the stream says. Lives on the engine's home loop, as all its parts
// do.
//
// Redis origins have an order of this node's own (Origin::has_local_order): their changes go over a stream
// and an applier in this process, whatever the region's stream is, and past L2.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.h"
#include "app/river_report.h"
#include "base/random.h"
#include "bus/region_stream.h"
#include "change/feed.h"
#include "invalidation/applier.h"
#include "invalidation/publisher.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/thread_pool.h"
#include "tier/l2.h"

namespace candor {
class PostgresOrigin;
}

namespace candor::app {

class River {
 public:
  struct World {
    Loop* home = nullptr;
    const SystemClock* clock = nullptr;
    ThreadPool* pool = nullptr;
    SystemEntropy* entropy = nullptr;
    std::function<void(const FloorNews&)> tell_floor{};  // on home; null: nobody listens
    RegionWrites* writes = nullptr;                      // as ApplierOptions
  };
  // On home. Only if a feature has `watch`. `origins`: by name, outliving this.
  struct NamedOrigin {
    std::string name;
    Origin* origin = nullptr;
  };
  [[nodiscard]] static Result<std::unique_ptr<River>> open(const Config& config, const World& world,
                                                           const std::string& node, L2* l2,
                                                           ChangeTarget* target,
                                                           const std::vector<NamedOrigin>& origins);
  ~River();
  River(const River&) = delete;
  River& operator=(const River&) = delete;

  void start();
  // Leaves the region: goodbye, and leadership to another node.
  void stop();
  // `with_lags`: the histograms too, which cost some microseconds each.
  [[nodiscard]] RiverReport report(bool with_lags) const;
  [[nodiscard]] Applier& applier() { return *applier_; }
  // When the change at this position came by, by this node's wall clock. Only the node that reads the
  // origin's feed knows, and only of the last positions.
  struct Stages {
    std::optional<WallTime> heard, told_l2, appended;
  };
  [[nodiscard]] Stages stages(std::string_view origin, Position position) const;

 private:
  River() = default;
  struct Source {
    std::string name;
    std::unique_ptr<Feed> feed;
    std::unique_ptr<Publisher> publisher;
  };
  struct LocalRiver;

  [[nodiscard]] static ApplierOptions applier_options(const Config& config, const World& world,
                                                      const std::string& node);
  void listen_for_history(const NamedOrigin& origin, Applier* applier);
  void open_local(const World& world, ChangeTarget* target, const ApplierOptions& options);

  std::unique_ptr<RegionStream> stream_;
  std::unique_ptr<LocalRiver> local_;  // null: no origin needs it
  L2Known l2_known_;                   // by all publishers and the applier of this node
  std::vector<Source> sources_;
  std::vector<PostgresOrigin*> heard_;  // they call the applier
  std::unique_ptr<Applier> applier_;
};

// The watched columns of a feature: "id", or "a, b" for a key of several.
[[nodiscard]] std::vector<std::string> watch_columns(const WatchConfig& watch);
// What features watch of an origin.
[[nodiscard]] std::vector<Watch> watches_of(const Config& config, const std::string& origin);

}  // namespace candor::app
