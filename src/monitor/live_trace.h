// A live tap for people: what is read, loaded, dropped and changed, as it happens, filtered.
//
// Hits come from a sample of the reads, whose chance falls when they are many; what leaves L1 (misses, loads,
// fills) and every invalidation and change is looked at one by one. Watched by nobody it costs nothing on the
// hit path: its chance is 0.
//
// Invariants
//   - At most kWatchersMax watchers, each with at most kWaitingMax events waiting and at most `rate` taken in
//     a second. What is beyond it is counted and left out, and its watcher is told.
// Thread safety: any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cache/cache.h"
#include "cache/observer.h"
#include "cache/read_tap.h"
#include "monitor/paced_chance.h"

namespace candor {

struct TraceEvent {
  enum class Kind : std::uint8_t { kHit, kMiss, kFill, kInvalidation, kChange };
  Kind kind{};
  MonoTime at{0};
  FeatureId feature;
  bool of_all_features = false;
  std::string key;
  bool of_all_keys = false;
  Tier tier{};
  Consistency level{};
  // value, absent, degraded, error; of fills stored, fenced, rejected, failed; of the rest their cause.
  std::string_view outcome;   // of static storage
  std::string_view reason{};  // why it is degraded or failed; of static storage
  Duration took{0}, in_l2{0}, in_origin{0};
  Duration age{0};
  std::optional<Duration> fresh_within{};
  std::size_t value_bytes = 0;
  ChangeId id{};
  Position position{};
};
[[nodiscard]] std::string_view trace_kind_name(TraceEvent::Kind kind);  // hit miss fill invalidation change

struct TraceFilter {
  std::optional<FeatureId> feature;     // nothing: every one
  std::string key_glob;                 // empty: every key
  std::optional<Tier> tier;             // reads that were answered from there, and nothing else
  std::string outcome;                  // empty: every one
  std::vector<TraceEvent::Kind> kinds;  // empty: every one
  Duration slower{
      0};  // reads that took longer, and nothing else; hits in L1 take no time. 0: whatever it took
  Duration staler{-1};  // reads of which it is not proven that they are at most so stale. Below 0: whatever
  std::optional<double> sample;  // of hits; nothing: as many as keep the number of those looked at bounded
  unsigned rate = 1000;          // events a second, at most

  [[nodiscard]] bool passes(const TraceEvent& event) const;
};

class LiveTrace final : public ReadTap, public Observer {
 public:
  static constexpr std::size_t kWatchersMax = 4;
  static constexpr std::size_t kWaitingMax = 4096;
  // Hits that are looked at in a second, where a watcher does not say which part it wants: a filter costs
  // about 100 ns, so that this is less than a thousandth of a core.
  static constexpr double kHitsPerSecond = 5000.0;

  LiveTrace(std::size_t features_max, const Clock* clock);

  // ---- watchers ----
  // Nothing: there are kWatchersMax already. `first`: the chance to begin with where the watcher leaves it
  // open, for nobody here knows how many reads there are.
  [[nodiscard]] std::optional<std::uint64_t> open(TraceFilter filter, double first);
  void close(std::uint64_t watcher);
  struct Taken {
    std::vector<TraceEvent> events;
    std::uint64_t left_out = 0;  // since the last call: too many waited, or came in the second
    double sample = 0.0;         // of hits, now
  };
  [[nodiscard]] Taken take(std::uint64_t watcher);
  // Every tenth of a second or so while somebody watches. True: the chance has risen so far that the readers'
  // gaps should be drawn anew.
  [[nodiscard]] bool pace();
  [[nodiscard]] bool is_watched() const { return watched_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t left_out() const { return left_out_.load(std::memory_order_relaxed); }

  // ---- what happens ----
  void take(const SampledRead& read) override;
  [[nodiscard]] double chance(FeatureId feature) const override;
  void on_load(KeyRef key, Duration took, bool ok) override;
  void on_fill(KeyRef key, Stamp stamp, FillOutcome outcome) override;
  void on_l2_hit(KeyRef key, Stamp stamp, Duration age, FillOutcome outcome) override;
  void on_answered(KeyRef key, const AnsweredRead& read) override;
  void on_invalidate(KeyRef key, const char* cause) override;
  void on_invalidate_feature(std::optional<FeatureId> feature) override;
  void on_change_applied(FeatureId feature, std::optional<std::string_view> key,
                         const Change& change) override;

 private:
  struct Watcher {
    TraceFilter filter;
    std::deque<TraceEvent> waiting;
    std::uint64_t left_out = 0;
    MonoTime second{0};  // in which `in_second` events were taken
    unsigned in_second = 0;
  };
  [[nodiscard]] TraceEvent event(TraceEvent::Kind kind, KeyRef key) const;
  void offer(const TraceEvent& event);
  void offer(Watcher& watcher, const TraceEvent& event);
  void set_chances() CANDOR_REQUIRES(mutex_);

  const Clock* clock_;
  std::vector<PacedChance> chances_;  // by feature
  std::atomic<bool> watched_{false};
  std::atomic<std::uint64_t> hits_looked_at_{0};
  std::atomic<std::uint64_t> left_out_{0};
  PacedChance paced_{1.0};
  MonoTime paced_at_{0};
  double drawn_with_ = 0.0;  // the chance when gaps were last drawn anew
  Mutex mutex_;
  std::map<std::uint64_t, Watcher> watchers_ CANDOR_GUARDED_BY(mutex_);
  std::uint64_t next_ CANDOR_GUARDED_BY(mutex_) = 1;
};

}  // namespace candor
