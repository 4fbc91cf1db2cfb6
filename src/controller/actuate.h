// Does what decide() says: pulls levers, gives them back, and keeps the audit log.
//
// Invariants
//   - Every action is in the log with the numbers that caused it, whether it was applied, refused or only
//     advised. The log is a ring of kRecordsMax; whoever wants more listens to `tell` (candord: its own log).
//   - What memory() says is pulled is what the target was told and did not refuse.
// A restart begins with nothing pulled: levers are a node's reaction to what it measures, and are pulled
// again within minutes if they are still needed. Thread safety: none; the executor that owns the reports.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "controller/decide.h"

namespace candor {

// Where levers are. Each call takes effect at once or refuses with a reason; none drops what is cached.
class LeverTarget {
 public:
  virtual ~LeverTarget() = default;
  virtual Result<void> set_ttl(std::string_view feature, std::optional<Duration> ttl) = 0;  // as configured
  virtual Result<void> set_refresh_on_change(std::string_view feature, bool is_on) = 0;
  virtual Result<void> set_synchronous(std::string_view feature, bool is_on) = 0;
  virtual Result<void> set_batch_window(std::string_view feature,
                                        Duration window) = 0;  // 0: writes go through
  virtual Result<void> set_origin_reads(std::string_view feature, double fraction) = 0;
};

struct LeverRecord {
  WallTime at;
  Action action;
  std::string refusal;  // not empty: the target refused, and why
};

// For whoever shows it: what was done and what is pulled, as of the last evaluation.
struct LeverSnapshot {
  std::vector<LeverRecord> log;  // the oldest first
  std::vector<FeatureMemory> features;
  double added_load = 0.0, added_load_cap = 0.0;
};

class Controller {
 public:
  using Tell = std::function<void(const LeverRecord& record)>;
  // `target` outlives this. `tell` may be null.
  Controller(std::vector<SteeredFeature> features, ControlLimits limits, LeverTarget* target, Tell tell);

  void on_report(const ExposureReport& report);
  // Others have put the lever back, a reload for one: it is pulled no more. Nothing is asked of the target.
  void note_put_back(std::string_view feature, Lever lever, std::string reason, MonoTime now, WallTime wall);
  // From the next report on. What is pulled beyond them is given back as the cap says.
  void set_limits(const ControlLimits& limits) { limits_ = limits; }
  [[nodiscard]] LeverSnapshot snapshot() const;

  // What is known of features changes while running: shares of writes, a reloaded ttl.
  [[nodiscard]] std::vector<SteeredFeature>& features() { return features_; }
  [[nodiscard]] const ControlMemory& memory() const { return memory_; }
  [[nodiscard]] const std::deque<LeverRecord>& log() const { return log_; }  // the oldest first
  [[nodiscard]] const ControlLimits& limits() const { return limits_; }
  // Of the last report, before its actions.
  [[nodiscard]] double added_load() const { return added_load_; }
  [[nodiscard]] double added_load_cap() const { return added_load_cap_; }

  static constexpr std::size_t kRecordsMax = 1000;

 private:
  [[nodiscard]] Result<void> apply(const Action& action);
  void write_down(WallTime at, Action action, std::string refusal);

  std::vector<SteeredFeature> features_;
  ControlLimits limits_;
  LeverTarget* target_;
  Tell tell_;
  ControlMemory memory_;
  std::deque<LeverRecord> log_;
  double added_load_ = 0.0, added_load_cap_ = 0.0;
};

}  // namespace candor
