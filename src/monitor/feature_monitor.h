// All that is measured of one feature: its picked reads on their way to a verdict, what was judged, and what
// its readers and writers do. Pure but for the clock that callers pass; the Monitor drives it.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "monitor/change_checks.h"
#include "monitor/exposure_report.h"
#include "monitor/origin_judge.h"
#include "monitor/span_tally.h"
#include "monitor/stream_judge.h"
#include "monitor/workload_estimator.h"

namespace candor {

// What the owner wrote down, and what does not change while running.
struct MonitoredFeature {
  FeatureId id;
  std::string name, region, origin;
  std::string level;  // as served
  std::string owner, impact;
  bool may_steer = false;
  bool is_watched = false;
  Budget budget;
};

class FeatureMonitor {
 public:
  // `history`: of the origin's changes; null where none are heard of. Outlives this.
  FeatureMonitor(MonitoredFeature facts, const ChangeHistory* history, std::uint64_t feature_hash,
                 std::uint64_t seed);

  void on_read(MonoTime now, PickedRead read);
  // `key`: empty of a change of every key.
  void on_change(MonoTime now, std::uint64_t key_hash, const HeardChange& change, std::string_view key = {});
  // The sweep found that a change of the key was lost.
  void on_lost(MonoTime now, std::string_view key);
  // A value was loaded again, `interval` after it was loaded before: told where nobody hears of changes.
  void on_reload(Duration interval, bool changed) { by_origin_.learn(interval, changed); }
  // Changes that this node has made; where changes are heard of, they will be heard of as well.
  void on_own_changes(std::uint64_t count) { own_changes_ += static_cast<double>(count); }

  // What has been decided since the last call.
  struct News {
    SpanTally::Sum by_stream, by_origin;
    std::vector<std::string> lost_keys;  // found just now
  };
  [[nodiscard]] News settle(MonoTime now, MonoTime proven);
  // `questions`: loads that the origin may be asked for now. The sooner after a read, the sharper its
  // verdict.
  [[nodiscard]] std::vector<OriginJudge::Question> ask(MonoTime now, std::size_t questions) {
    return by_origin_.ask(now, questions);
  }
  // Changes whose traces are to be looked for now, and what was found.
  [[nodiscard]] std::vector<ChangeChecks::Due> changes_due(MonoTime now, std::size_t questions) {
    return by_change_.take(now, questions);
  }
  void judge_change(const ChangeChecks::Due& due, const TierCopies& held) { by_change_.judge(due, held); }
  // Once a second.
  void tick(MonoTime now);
  void answered(std::uint64_t entry, const OriginJudge::Answer& answer) {
    by_origin_.answered(entry, answer);
  }

  void fill(FeatureExposure& out, MonoTime now) const;
  [[nodiscard]] const MonitoredFeature& facts() const { return facts_; }
  void set_budget(const Budget& budget);
  [[nodiscard]] std::size_t waiting() const { return by_stream_.waiting() + by_origin_.waiting(); }

  static constexpr std::size_t kLostKeysMax = 16;
  static constexpr Duration kLostEntriesKept = 1min;

 private:
  // Added up one way.
  struct Judgements {
    SpanTally tally;
    JudgedTotals totals;
    std::array<std::array<JudgedPart, 5>, 4> parts{};  // by tier, level
    void add(MonoTime now, const PickedRead& read, const SpanTally::Judged& judged, bool is_stale,
             Duration staleness);
  };
  void settle_stream(MonoTime now, MonoTime proven, News& news);
  void settle_origin(MonoTime now, MonoTime proven, News& news);
  void note_lost(const std::string& key, News& news);
  [[nodiscard]] double lag_quantile(double q) const;
  [[nodiscard]] double own_share() const;

  MonitoredFeature facts_;
  const ChangeHistory* history_;
  std::uint64_t feature_hash_;
  StreamJudge by_stream_;
  OriginJudge by_origin_;
  ChangeChecks by_change_;
  Judgements stream_, origin_;
  SpanTally lost_;  // of the checked reads: those that only the origin knew of
  WorkloadEstimator workload_;
  // Delays from commit to this node, of the last minutes: current and previous minute.
  std::array<LatencyHistogram::Snapshot, 2> lags_{};
  MonoTime lags_turned_{0};
  // Heard of, and of these made by this node; they fade as the workload's estimates do.
  double changes_ = 0.0, own_changes_ = 0.0;
  std::deque<std::string> lost_keys_;
  std::vector<std::string> lost_by_sweep_;  // since the last settle()
  std::uint64_t lost_entries_ = 0;          // within kLostEntriesKept of each other
  MonoTime lost_entry_at_{0};
  std::uint64_t not_judged_ = 0;
};

}  // namespace candor
