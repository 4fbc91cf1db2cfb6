// Measures, on live reads, how much this node lies. It listens (cache/observer.h, cache/read_tap.h); the
// cache does not know it is watched.
//
//   hit path ── ReadIntake ──┬─ StreamJudge   what the change stream says, no load on the origin
//                            └─ OriginJudge   what the origin says: later, a few, paused when it suffers
//   changes ── ChangeHistory ┘
//
// A sample of the changes is looked at as well, some while after it was applied: do the tiers still hold what
// it made old? That asks L2, not the origin, under the same limit.
//
// Load on the origin: at most kAddedLoad of what the feature's readers cause, but for a trickle of
// kQuestionsMin, and `sample` of the reads at most. Questions go out together, as misses do.
//
// Thread safety: the tap on any thread; everything else on the cache's home executor.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/task.h"
#include "cache/cache.h"
#include "cache/observer.h"
#include "monitor/feature_monitor.h"
#include "monitor/read_intake.h"

namespace candor {

class Monitor final : public Observer {
 public:
  struct World {
    Executor* home = nullptr;
    const Clock* clock = nullptr;
    std::uint64_t seed = 0;
    std::size_t features_max = 0;
    // Does this origin fail, or have requests waiting? Then nothing is asked. Null: never.
    std::function<bool(std::string_view origin)> origin_suffers{};
    // Keys of a feature of which a change was lost: an alarm of its own. Null: nobody listens.
    std::function<void(const std::string& feature, const std::vector<std::string>& keys)> tell_lost{};
    // What was judged since the last call: once a second for each feature, by its place in the order of
    // watch(). Null: nobody listens.
    std::function<void(std::size_t index, MonoTime now, const SpanTally::Sum& by_stream,
                       const SpanTally::Sum& by_origin)>
        count{};
  };
  explicit Monitor(World world);
  ~Monitor() override;
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  // Of the cache that is made afterwards.
  [[nodiscard]] ReadTap* tap() { return &intake_; }
  // Before start(). Features without a budget are not measured.
  void watch(CacheCore* cache, MonitoredFeature facts);
  void start();
  void stop();
  void set_budget(std::string_view feature, const Budget& budget);

  // Was a change of the key heard of lately that such a load does not include?
  [[nodiscard]] bool was_told(KeyRef key, StampBound stamp, MonoTime loaded_at) const;
  // With what windows and models make of it left out: `fill` by others.
  [[nodiscard]] std::vector<FeatureExposure> exposures() const;
  [[nodiscard]] std::size_t size() const { return features_.size(); }

  void on_change_applied(FeatureId feature, std::optional<std::string_view> key,
                         const Change& change) override;
  void on_divergence(KeyRef key, Divergence why) override;
  void on_reload(KeyRef key, Duration interval, bool changed) override;
  void on_proven(std::string_view origin, MonoTime fresh_as_of) override;

  static constexpr Duration kDrainPeriod = 100ms;
  static constexpr Duration kTickPeriod = 1s;
  static constexpr double kAddedLoad = 0.01;
  static constexpr double kQuestionsMin = 1.0;    // each second
  static constexpr double kQuestionsMax = 500.0;  // at once
  static constexpr Duration kAnswerWithin = 2s;
  static constexpr std::size_t kChangesMax = 100'000;
  static constexpr Duration kChangesKept = 60s;

 private:
  // An origin whose changes are heard of.
  struct Source {
    explicit Source(std::string origin) : name(std::move(origin)) {}
    std::string name;
    ChangeHistory history{kChangesMax};
    MonoTime proven{0};
  };
  struct Watched {
    std::unique_ptr<FeatureMonitor> monitor;
    Source* source = nullptr;
    const Feature* feature = nullptr;
    CacheCore* cache = nullptr;
    double questions = 0.0;  // that may be asked
    std::uint64_t reads = 0, loads = 0, changes_made = 0;
    double loads_per_second = 0.0, checks_per_second = 0.0;
    std::uint64_t asked = 0;  // since the last tick
    bool is_paused = false;
    SpanTally::Sum by_stream, by_origin;  // since the last tick
  };
  void drain();
  void tick();
  void settle(std::size_t index);
  void measure_rates(Watched& watched, double seconds);
  void ask(std::size_t index);
  void check_changes(std::size_t index);
  Task<void> check_change(std::size_t index, ChangeChecks::Due due);
  Task<void> check(std::size_t index, OriginJudge::Question question);
  [[nodiscard]] Watched* find(FeatureId id) const;
  [[nodiscard]] Source* source(std::string_view origin);

  World world_;
  ReadIntake intake_;
  std::vector<std::unique_ptr<Watched>> features_;
  std::vector<std::size_t> by_id_;  // index + 1 into features_; 0: not measured
  std::vector<std::unique_ptr<Source>> sources_;
  MonoTime ticked_{0};
  TimerId drain_timer_{}, tick_timer_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor
