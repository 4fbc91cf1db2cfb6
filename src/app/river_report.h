// What the change river of a node says of itself: plain values.
#pragma once

#include <string>
#include <vector>

#include "base/counters.h"
#include "bus/region_stream.h"
#include "cache/gap_repair.h"
#include "change/feed.h"
#include "invalidation/applier.h"
#include "invalidation/publisher.h"

namespace candor::app {

// From the commit at the origin to each stage on this node. Only the node that leads has the first three.
struct RiverLag {
  LatencyHistogram::Snapshot feed;     // handed over by the feed
  LatencyHistogram::Snapshot l2;       // L2 has its marker
  LatencyHistogram::Snapshot append;   // on the region stream
  LatencyHistogram::Snapshot applied;  // dropped here
};

struct RiverOrigin {
  std::string name;
  std::string description;
  FeedStatus feed;
  PublisherStatus publisher;
  AppliedOrigin applied;
  RiverLag lag;
  RepairStatus repair;
  std::size_t markers = 0;  // names of keys that a load must include a change of to be kept
};

struct RiverReport {
  bool is_built = false;
  std::string stream;  // description
  StreamStatus bus;
  std::vector<RiverOrigin> origins;
  ApplierStatus applier;
};

// What this node still waits for before its tiers hold what the origins say; empty: for nothing.
[[nodiscard]] std::string what_is_missing(const RiverReport& river);

// Everything that is wrong with the river, as reasons for `degraded`. `now`: of the report. What every start
// lacks at first is no trouble while it `starts`.
[[nodiscard]] std::vector<std::string> river_troubles(const RiverReport& river, MonoTime now, bool starts);

// The problem of each part in words, for the log; `text` empty: none.
struct RiverProblem {
  std::string part;
  std::string text;
};
[[nodiscard]] std::vector<RiverProblem> river_problems(const RiverReport& river);

}  // namespace candor::app
