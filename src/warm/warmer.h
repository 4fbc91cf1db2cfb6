// Warming: keys that somebody says will be read are loaded before they are. Sources name keys, lines put them
// in order, an origin's pace says how many statements at a time; every key is loaded as a reader's miss would
// load it (CacheCore::warm), so that it is stamped and fenced.
//
// Invariants
//   - Of each origin at most `statements_max` statements of warming are under way; fewer while it is slow,
//     while readers wait for it, or while it fails.
//   - One key's failure is counted, told, and holds up no other key; one origin's failure no other origin.
//   - Every key that was named ends in exactly one state.
//   - What is not critical is given up when L1 is full: it would only push out what was warmed before.
// A run begins with the first source that is opened and ends when all are closed and no key is left; what is
// named meanwhile joins it.
// Thread safety: the cache's home executor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "cache/cache.h"
#include "warm/warm_line.h"
#include "warm/warm_pace.h"

namespace candor::warm {

// What became of a key, or not yet.
enum class WarmState : std::uint8_t { kWaiting, kLoaded, kHeld, kAbsent, kDropped, kFailed, kSkipped };
inline constexpr std::size_t kWarmStates = 7;
inline constexpr std::array<std::string_view, kWarmStates> kWarmStateNames = {
    "waiting", "loaded", "held", "absent", "dropped", "failed", "skipped"};

struct WarmTally {
  std::array<std::uint64_t, kWarmStates> keys{};
  [[nodiscard]] std::uint64_t of(WarmState state) const { return keys[static_cast<std::size_t>(state)]; }
  [[nodiscard]] std::uint64_t total() const;
  void add(WarmState state, std::uint64_t count = 1) { keys[static_cast<std::size_t>(state)] += count; }
  void end(WarmState state) {  // of one that waited
    --keys[static_cast<std::size_t>(WarmState::kWaiting)];
    add(state);
  }
};

// Of the run that is under way, or of the last one.
struct WarmProgress {
  bool is_running = false;
  std::uint64_t runs = 0;
  Duration took{0};  // until now, or until its end
  double keys_per_second = 0.0;
  std::optional<Duration> eta;  // null: not running, or no pace yet
  WarmTally all;
  WarmTally ever;  // of this and all runs before; nothing in it waits
  std::array<WarmTally, kWarmClasses> by_class;
  struct OfFeature {
    FeatureId feature;
    WarmTally keys;
    std::string problem;  // of the last key that failed; no key in it
  };
  std::vector<OfFeature> features;  // that have keys
  struct OfSource {
    std::string name;
    std::uint64_t keys = 0;  // named, and not named before
    bool is_open = false;
    std::string problem;
    bool is_the_origins = false;  // `problem`
  };
  std::vector<OfSource> sources;
  struct OfOrigin {
    std::string name;
    unsigned statements = 0, window = 0, statements_max = 0;
    unsigned most = 0;  // at a time, in this run
  };
  std::vector<OfOrigin> origins;
  // The share of expected reads that would find their key, if reads come as they did; null: not known.
  std::optional<double> predicted_hit_rate;
};

class Warmer {
 public:
  enum class Health : std::uint8_t { kWell, kBusy, kAway };
  struct Lane {
    std::string origin;
    unsigned statements_max = 1;
  };
  struct World {
    Executor* home = nullptr;
    std::size_t features = 0;
    std::vector<Lane> lanes;
    std::function<std::size_t(FeatureId)> lane_of;
    // Keys that leave as one statement when they are asked for in one turn; 1: each is its own.
    std::function<std::size_t(FeatureId)> batch_of;
    std::function<void(FeatureId, std::string key, CacheCore::WarmDone)> load;
    std::function<Health(std::size_t lane)> health;
    std::function<bool()> is_full;
    std::function<void()> ended;  // a run; may begin another
  };
  explicit Warmer(World world);
  ~Warmer();
  Warmer(const Warmer&) = delete;
  Warmer& operator=(const Warmer&) = delete;

  // A source of keys, which names the best first: `name` is for people. Its number, for the calls below. One
  // of the same name and class, in the same run, is gone on with.
  std::size_t open_source(std::string name, WarmClass of);
  void add(std::size_t source, std::vector<WarmItem> items);
  // `problem`: why it named none, or not all.
  // `is_the_origins`: in its words, which may quote values.
  void close_source(std::size_t source, std::string problem = {}, bool is_the_origins = false);
  // Reads a second of the feature that the prediction is of; the first word on it holds for the run.
  void expect(FeatureId feature, double reads);

  [[nodiscard]] WarmProgress progress() const;
  [[nodiscard]] bool is_running() const { return is_running_; }
  // Something is left to do that can be done now: not at origins that are away.
  [[nodiscard]] bool is_busy() const;
  [[nodiscard]] const WarmTally& tally(WarmClass of) const { return tallies_[static_cast<std::size_t>(of)]; }
  // Nothing critical waits, is under way, or may still be named.
  [[nodiscard]] bool is_critical_done() const;
  [[nodiscard]] std::optional<double> predicted_hit_rate() const;
  // The cache is closing: nothing more is asked for.
  void halt();

  static constexpr std::size_t kBatchMax = 64;
  static constexpr unsigned kAttemptsMax = 3;
  static constexpr std::size_t kKeysMax = 2'000'000;  // different ones of one run; more are skipped
  static constexpr std::size_t kKeysPerTurn = 256;    // held keys cost home some 0.5 µs each
  static constexpr Duration kAwayPause = 1s, kBusyPause = 20ms;

 private:
  struct Source {
    std::string name;
    WarmClass of{};
    std::uint64_t keys = 0;
    unsigned open = 0;  // calls of open_source() that were not closed
    std::string problem;
    bool is_the_origins = false;
  };
  struct LaneState {
    WarmLine line;
    WarmPace pace;
    unsigned statements = 0, most = 0;
    std::uint64_t sent = 0;
    MonoTime next_probe{0};  // while the origin is away
  };
  struct Flying {
    std::size_t lane = 0;
    WarmLine::Group group;
    std::size_t waiting = 0;
    MonoTime began{0};
    bool is_full = false;  // as large as they come, and every key of it was loaded: its time is typical
    bool failed = false;   // the origin did
    bool alone = false;    // at its beginning; it stays so if nothing else is sent
    std::uint64_t number = 0;
  };

  void begin_run();
  void end_run_if_done();
  void turn();
  void wake(MonoTime at);
  // Sets `next` to when to look again, if that is earlier.
  void work_on(std::size_t lane, std::size_t keys_max, MonoTime* next);
  void send(std::size_t lane, WarmLine::Group group);
  void on_warmed(const std::shared_ptr<Flying>& flying, std::size_t index, CacheCore::Warmed how,
                 const Error* error);
  void on_landed(Flying& flying);
  void finish(WarmClass of, const WarmItem& item, WarmState state);
  void skip_what_has_no_room(LaneState& lane);
  [[nodiscard]] std::size_t batch_of(FeatureId feature) const;

  World world_;
  std::vector<LaneState> lanes_;
  std::vector<Source> sources_;
  struct Named {
    WarmClass of{};  // the best one so far
    bool is_done = false;
  };
  [[nodiscard]] static std::uint64_t name_of(const WarmItem& item);
  // Does it go into the line of that class, beside what was named before?
  [[nodiscard]] bool note_name(WarmClass of, WarmItem* item);
  std::unordered_map<std::uint64_t, Named> named_;  // by a hash of feature and key; of this run
  std::array<WarmTally, kWarmClasses> tallies_;
  WarmTally ever_;
  std::vector<WarmTally> by_feature_;
  std::vector<std::string> problems_;
  std::vector<double> expected_;  // reads a second; 0: not known
  double warmed_reads_ = 0.0;
  bool is_running_ = false, is_halted_ = false;
  std::uint64_t runs_ = 0;
  MonoTime began_{0}, ended_{0};
  TimerId timer_;
  MonoTime wake_at_ = MonoTime::max();
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace candor::warm
