// What is known of L1's size: is it enough, what would more do, who should have it. Plain values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "capacity/miniature.h"
#include "capacity/trend.h"

namespace candor::app {

struct CapacityEstimate {
  std::string feature;      // empty: all together
  bool is_followed = true;  // false: it never reads L1
  double reads_per_second = 0;
  std::optional<double> hit_ratio;  // as counted; nothing: no reads
  // By capacity::kFactors: L1's hit ratio with so much of its memory, and the loads of the origin that
  // follow.
  std::array<double, capacity::kFactors.size()> predicted{}, loads_per_second{};
  double cold = 0;               // part of the reads that no memory would answer
  double working_set_bytes = 0;  // holds 99 % of what can be held
  double bytes = 0;              // that it has now
  double deserved_bytes = 0;     // that it would have if L1 were shared out by loads saved
  double load_seconds = 0;       // the mean cost of a load; 0: not known
  double rate = 0;               // of its keys that are followed
  std::uint64_t keys = 0;        // that are
};

// One figure over hours. `line`: nothing where no straight line fits.
struct CapacityTrend {
  std::string of;
  std::optional<double> now;
  std::optional<capacity::Line> line;
  std::optional<double> limit, seconds_to_limit;
  std::vector<capacity::TrendPoint> points;
};

struct MemoryReport {
  std::string source;  // what sets the line: "cgroup", "machine", "[capacity] process_memory"; empty: nothing
  std::uint64_t limit = 0;      // of the process
  std::uint64_t watermark = 0;  // L1 gives back from here on
  std::uint64_t used = 0;
  std::uint64_t l1_configured = 0, l1_allowed = 0;
  double pressure = 0, stalled = 0;
  [[nodiscard]] bool is_pressed() const { return l1_allowed < l1_configured; }
};

struct CapacityReport {
  bool is_on = false;
  CapacityEstimate all;
  std::vector<CapacityEstimate> features;  // those that were read
  std::vector<CapacityTrend> trends;
  MemoryReport memory;
  std::uint64_t model_bytes = 0, model_bytes_max = 0;
  std::uint64_t records_dropped = 0;
  double records_per_second = 0;
  double window_seconds = 0;  // what the counts stand for
};

}  // namespace candor::app
