// The last hours of the figures that capacity is judged by, in bounded memory: when it is full, every second
// point goes and the period doubles, so that it reaches back to the start, ever more coarsely.
//
// Invariant: at most kPointsMax points, at about equal intervals. Thread safety: none. Pure.
#pragma once

#include <optional>
#include <vector>

#include "app/capacity_report.h"
#include "base/counters.h"
#include "base/time.h"

namespace candor::app {

struct CapacityTotals {
  std::uint64_t reads = 0, hits = 0, evictions = 0;
  LatencyHistogram::Snapshot misses;
  double bytes_used = 0, working_set_bytes = 0;
};

class CapacityHistory {
 public:
  static constexpr std::size_t kPointsMax = 720;
  static constexpr Duration kFirstPeriod = 1min;

  [[nodiscard]] bool is_due(MonoTime now) const { return !last_at_ || now - *last_at_ >= period_; }
  void add(CapacityTotals totals, MonoTime now);
  // `limit`: L1's, now.
  [[nodiscard]] std::vector<CapacityTrend> trends(double limit) const;
  [[nodiscard]] std::size_t size() const { return points_.size(); }
  [[nodiscard]] Duration period() const { return period_; }

 private:
  struct Point {
    double at_seconds = 0;
    double hit_ratio = 0, evictions_per_second = 0, miss_p99_ms = 0, bytes_used = 0, working_set_bytes = 0;
  };
  [[nodiscard]] CapacityTrend trend(const char* of, double Point::* figure,
                                    std::optional<double> limit) const;

  std::vector<Point> points_;
  Duration period_ = kFirstPeriod;
  std::optional<MonoTime> last_at_;
  CapacityTotals last_;
};

}  // namespace candor::app
