// The last minutes of a node as rates: the difference of one report and the one before, second by second.
// Pure. A dashboard that opens late sees what was before it.
//
// Invariant: at most kPointsMax points; a counter that went back (a new process) gives zero, never a negative
// rate. Thread safety: none.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "app/node_report.h"

namespace candor::app {

struct TimelinePoint {
  double at_seconds = 0;                          // of the node's uptime
  double l1 = 0, l2 = 0, origin = 0, errors = 0;  // reads per second
  double loads = 0, writes = 0, evictions = 0;    // per second
  // Of the reads in this interval, hits weighted up from their sample; nullopt: there were none to measure.
  std::optional<double> p50_us, p99_us;
  std::uint64_t memory_bytes = 0, memory_limit_bytes = 0;
  std::uint32_t in_flight = 0, in_flight_limit = 0;  // statements, of all origins
};

class Timeline {
 public:
  static constexpr std::size_t kPointsMax = 300;  // five minutes of seconds: what the page shows

  // Reports closer together than this give no point: rates of tiny intervals are noise.
  static constexpr Duration kIntervalMin = 500ms;

  // True when a point was added.
  bool add(const NodeReport& report);
  [[nodiscard]] const std::deque<TimelinePoint>& points() const { return points_; }

 private:
  struct Totals {
    MonoTime at;
    std::uint64_t l1 = 0, l2 = 0, origin = 0, errors = 0, loads = 0, writes = 0, evictions = 0;
    LatencyHistogram::Snapshot hits, misses;
  };
  [[nodiscard]] static Totals totals_of(const NodeReport& report);

  std::deque<TimelinePoint> points_;
  std::optional<Totals> last_;
};

}  // namespace candor::app
