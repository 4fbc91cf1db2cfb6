// The last hour of each budget, one point for each evaluation: what a page that opens late could not have
// seen. Pure.
//
// Invariant: at most kFeaturesMax features of kPointsMax points (4 MiB in all), times ascending. What comes
// beyond the features is not kept; the page then draws from when it was opened.
// Thread safety: none.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "monitor/exposure_report.h"

namespace candor::app {

// Floats: they are drawn.
struct BudgetPoint {
  std::int64_t at_ms = 0;                                     // wall clock
  std::optional<float> updates_per_second, reads_per_second;  // of a key, weighted by reads: u and r
  float ttl_seconds = 0, delay_seconds = 0, loads_per_second = 0;
  std::optional<float> predicted, by_stream, by_origin;  // fraction of reads staler than the limit
};

class BudgetTimeline {
 public:
  static constexpr std::size_t kPointsMax = 720;  // an hour of evaluations, five seconds apart
  static constexpr std::size_t kFeaturesMax = 100;

  // False when this report was added before: it is asked for more often than it is made.
  bool add(const ExposureReport& report);
  // Null: no such feature, or one too many.
  [[nodiscard]] const std::deque<BudgetPoint>* of(std::string_view feature) const;

 private:
  std::optional<MonoTime> last_;
  std::map<std::string, std::deque<BudgetPoint>, std::less<>> features_;
};

}  // namespace candor::app
