// The cache of one node without its listeners: home loop (miss path, L2, origins), upkeep loop, L1, features.
// The daemon puts a RESP server and a control plane around it, the library puts a C++ interface around it.
//
// Invariants
//   - CacheCore's miss path, L2 and the origins live on home() and are touched on its thread only.
//   - Nothing on home() blocks or computes for long: it may be the data plane's loop as well (Node decides).
//   - L1 is maintained every kMaintainPeriod from the upkeep loop, as long as the engine is open.
// Thread safety: open() and the destructor on one thread; the rest as commented.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "app/alerting.h"
#include "app/budget_file.h"
#include "app/budget_loop.h"
#include "app/capacity_desk.h"
#include "app/config.h"
#include "app/disk_desk.h"
#include "app/floor_log.h"
#include "app/health_log.h"
#include "app/node_report.h"
#include "app/problem_log.h"
#include "app/reconciliation.h"
#include "app/region_desk.h"
#include "app/river.h"
#include "app/session_desk.h"
#include "app/shed_watch.h"
#include "app/steering.h"
#include "app/warming.h"
#include "app/watchers.h"
#include "app/write_behind_desk.h"
#include "cache/cache.h"
#include "io/clock.h"
#include "io/running_loop.h"
#include "io/thread_pool.h"
#include "server/tracking.h"
#include "tier/l1/store.h"

namespace candor::app {

// What a start says besides yes or no: "origin shop: sqlite shop.db, ready".
struct StartNote {
  bool is_warning = false;
  std::string text;
};

class Engine {
 public:
  // Errors are one line: what, where, what to do. A database that cannot be used now (not reachable,
  // no such file, not a database) is a warning in notes(), and reads of its features answer why: the other
  // features are not held up by it. A statement that a database refuses is an error.
  [[nodiscard]] static Result<std::unique_ptr<Engine>> open(const Config& config) { return open(config, {}); }
  // What the caller will add to cache() itself, before traffic: the library's features by functions.
  struct Room {
    std::size_t features = 0;
    std::size_t pool_threads = 0;
    std::string home_name = "home";     // of its thread, for `top -H`
    std::string node_name = "library";  // in the region
    bool keeps_windows = false;         // of the budgets, in data_dir, over restarts
  };
  [[nodiscard]] static Result<std::unique_ptr<Engine>> open(const Config& config, Room room);
  // Callers have seen to it that nobody asks any more. Loads still under way are given kQuietPatience.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  [[nodiscard]] CacheCore& cache() { return *parts_->cache; }
  [[nodiscard]] Loop& home() { return home_->loop(); }
  [[nodiscard]] RunningLoop& home_thread() { return *home_; }
  [[nodiscard]] Loop& upkeep() { return upkeep_->loop(); }
  [[nodiscard]] RunningLoop& upkeep_thread() { return *upkeep_; }
  [[nodiscard]] ThreadPool& pool() { return *pool_; }
  [[nodiscard]] const SystemClock& clock() const { return clock_; }
  [[nodiscard]] SystemEntropy& entropy() { return entropy_; }
  [[nodiscard]] const std::vector<StartNote>& notes() const { return notes_; }

  // Everything that is known here: all but connections, process and names. Called on home(), and so is
  // `done`, some turns later: a few features in each, so that thousands of them do not hold up what else runs
  // there. Not called when the engine closes first.
  using ReportDone = std::move_only_function<void(std::unique_ptr<NodeReport>)>;
  void report(ReportDone done);
  // Session tokens over the watched origins; null: none is watched. Lives as long as this.
  [[nodiscard]] SessionDesk* session_desk() { return parts_->desk.get(); }
  // Commands that hold for the region; null: this node is alone. Lives as long as this.
  [[nodiscard]] RegionDesk* region() { return parts_->region.get(); }
  // Who of the clients keeps values on its side. Lives as long as this.
  [[nodiscard]] server::Tracking* tracking() { return parts_->tracking.get(); }
  // What is known of the features' exposure, as of the last evaluation; null: no feature has a budget. Any
  // thread.
  [[nodiscard]] std::shared_ptr<const ExposureReport> exposure() const { return parts_->budgets->latest(); }
  // What levers did and where they stand, as of then; null: nothing was evaluated. Any thread.
  [[nodiscard]] std::shared_ptr<const LeverSnapshot> levers() const { return parts_->steering->snapshot(); }
  // Curves, trends and the process's memory. On upkeep().
  [[nodiscard]] CapacityDesk& capacity() { return *parts_->capacity; }
  // What is loaded before it is read. On home(); lives as long as this.
  [[nodiscard]] Warming& warming() { return *parts_->warming; }
  // The write-behind logs. Lives as long as this.
  [[nodiscard]] WriteBehindDesk& write_behind() { return *parts_->write_behind; }
  // Replaces the policies of features that both configurations have. On home().
  void reload(const Config& config);

  static constexpr Duration kMaintainPeriod = 100ms;  // Store::maintain() asks for it
  static constexpr Duration kHealthPeriod = 500ms;
  static constexpr Duration kQuietPatience = 2s;
  // Features reported in one turn. One costs about 5 µs (a lock for each shard of L1, the histogram's slots):
  // together less than a round trip to an origin.
  static constexpr std::size_t kFeaturesPerTurn = 16;

 private:
  // What lives on home and ends together.
  struct Parts {
    std::unique_ptr<DiskDesk> disk;  // null: there is none. Sees what the store evicts
    std::unique_ptr<l1::Store> store;
    std::unique_ptr<TagRules> tags;
    std::unique_ptr<L2> l2;
    struct NamedOrigin {
      std::string name;
      std::unique_ptr<Origin> origin;
    };
    std::vector<NamedOrigin> origins;
    std::unique_ptr<server::Tracking> tracking;
    std::unique_ptr<Watchers> watchers;
    std::unique_ptr<BudgetLoop> budgets;
    std::unique_ptr<BudgetFile> budget_file;  // null: windows begin empty
    std::unique_ptr<Alerting> alerting;       // null: no feature has a budget
    std::unique_ptr<CacheCore> cache;
    std::unique_ptr<CapacityDesk> capacity;
    std::unique_ptr<RegionWrites> region_writes;  // null: no other node is reached
    std::unique_ptr<Steering> steering;
    std::vector<FeatureConfig> features;  // by FeatureId
    std::unique_ptr<WriteBehindDesk> write_behind;
    std::unique_ptr<Warming> warming;
    std::unique_ptr<SessionDesk> desk;   // null as the river
    std::unique_ptr<River> river;        // null: no feature is watched, and no stream is configured
    std::unique_ptr<RegionDesk> region;  // null as the river
  };

  Engine();
  Result<void> build(const Config& config, Room room);
  Result<void> open_disk(const Config& config);
  Result<void> make_l2(const L2Config& config);
  void reach_l2(const L2Config& config);
  Result<void> make_origin(const OriginConfig& config, const std::string& region);
  Result<void> add_feature(const Config& all, const FeatureConfig& config);
  void add_tags(const Config& config);
  void make_budgets(const Config& config, std::size_t features_max);
  void start_budgets(const Config& config, const Room& room);
  // Is it away, or does it have requests waiting? Then nothing is asked that can wait.
  [[nodiscard]] bool origin_suffers(std::string_view name) const;
  void start_reconciliation(const Config& config);
  void start_capacity(const Config& config, std::size_t features_max);
  void start_warming(const Config& config, const Room& room);
  Result<void> open_write_behind(const Config& config);
  Result<void> open_river(const Config& config, const Room& room);
  Result<void> prepare_origins(const Config& config);
  void reload_write_mode(const FeatureConfig& held, FeatureId id, bool is_rewritten);
  void keep_up();
  void watch_health();
  [[nodiscard]] std::vector<std::string> degraded_reasons(const RiverReport& river) const;
  [[nodiscard]] RiverReport river_report(bool with_lags) const;
  // What the start waits for. Once it has ended it never begins again: a feed that hiccups later is a reason
  // in `degraded`, and no reason to send a node's clients elsewhere.
  [[nodiscard]] std::string catching_up(const RiverReport& river);
  [[nodiscard]] bool is_quiet() const;
  [[nodiscard]] bool wait_until_quiet();
  [[nodiscard]] FeatureReport report_feature(FeatureId id) const;
  void report_more(std::unique_ptr<NodeReport> report, ReportDone done);
  void report_tiers(NodeReport& report);

  SystemClock clock_;
  SystemEntropy entropy_;
  std::uint64_t seed_ = 0;
  std::unique_ptr<RunningLoop> home_;
  std::unique_ptr<RunningLoop> upkeep_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<Parts> parts_;
  std::vector<StartNote> notes_;
  std::atomic<bool> memory_pressed_{false};  // upkeep's word to home
  // Home's.
  HealthLog health_{write_health_to_log()};
  ProblemLog problems_;
  ShedWatch sheds_;
  FloorLog floors_;
  MonoTime catch_up_until_{0};
  bool caught_up_ = false;
};

}  // namespace candor::app
