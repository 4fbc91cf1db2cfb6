#include "sim/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <utility>

#include "sim/clients.h"
#include "sim/faults.h"
#include "sim/node.h"
#include "sim/spread.h"

namespace candor::sim {
namespace {

// After the faults: longer than a write may stay in doubt (31 s), a slot held by nobody (10 s) and a few
// probes.
constexpr Duration kQuietBefore = 45s;
constexpr Duration kLastReads = 10s;
constexpr Duration kRecoveredProof = 5s;
// Commits of one key that are closer are not told apart when their way to the nodes is measured.
constexpr Duration kCommitsApart = 1s;
// Some dozen keys of four features: a pass takes seconds, and every entry is asked about again and again.
constexpr unsigned kKeysSweptPerSecond = 10;
// FaultPlan's clocks run up to 500 ppm off in either direction; a millisecond of rounding is in the claims.
constexpr std::int64_t kClockPpm = 1002;

// A region's servers and nodes.
struct Region {
  std::unique_ptr<SharedTier> tier;
  std::unique_ptr<SharedLog> log;
  std::vector<std::unique_ptr<SimNode>> nodes;
};

template <class T, std::size_t N>
T one_of(Random& random, const T (&choices)[N]) {
  return choices[random.below(N)];
}

class Run {
 public:
  explicit Run(const SimulationOptions& options)
      : options_(options), world_({.seed = options.seed}), network_(world_), random_(world_.stream("run")) {
    if (options_.sink) world_.trace().set_sink(options_.sink);
    draw_features();
    build();
    plan_ = std::make_unique<FaultPlan>(world_, network_, options_.faults, options_.certain_faults);
    add_faults();
  }

  SimulationResult run() {
    for (std::size_t i = 0; i < world_.processes(); ++i)
      world_.start(world_.process(static_cast<std::uint32_t>(i)));
    world_.run_for(2s);
    clients_->start();
    plan_->start();
    result_.weather = plan_->describe();
    world_.run_for(options_.length);
    plan_->heal();
    clients_->stop();
    world_.run_for(kQuietBefore);
    history_.quiet_from = world_.now().ns;
    clients_->read_everything();
    world_.run_for(kLastReads);
    note_holdings();
    check_recovery();
    return finish();
  }

 private:
  // Long lives, so that nothing but changes heard of ends an entry; short ones in some runs, for what expiry
  // does.
  void draw_features() {
    const Duration ttl = one_of(random_, {Duration(10min), Duration(10min), Duration(5s)});
    const auto add = [&](const char* name, Consistency level) {
      FeaturePolicy policy;
      policy.name = name;
      policy.consistency = level;
      policy.ttl = policy.negative_ttl = ttl;
      features_.push_back(policy);
    };
    add("eventual", Consistency::kEventual);
    add("session", Consistency::kSession);
    add("bounded", Consistency::kBounded);
    add("strong", Consistency::kStrong);
    if (random_.below(2) == 0) features_[0].serve_stale = 10min;
    features_[2].max_staleness = one_of(random_, {Duration(300ms), Duration(1s), Duration(2s), Duration(5s)});
  }

  [[nodiscard]] Workload draw_workload() {
    Workload load;
    load.sessions = 4 + random_.below(8);
    load.keys = 1 + random_.below(12);
    load.think = one_of(random_, {Duration(200ms), Duration(400ms), Duration(600ms)});
    load.writes = one_of(random_, {0.02, 0.1, 0.3});
    load.direct_per_second = one_of(random_, {0.2, 1.0, 3.0});
    load.direct_think_max = one_of(random_, {Duration(0), Duration(50ms), Duration(2s)});
    return load;
  }

  void build() {
    Database::Options database;
    // Of a slow origin much is under way when something happens.
    database.service_max = one_of(random_, {Duration(1ms), Duration(1ms), Duration(30ms), Duration(300ms)});
    database_ = std::make_unique<Database>(world_, network_, world_.add_process("db"), &history_, database);
    const Duration probe_period = one_of(random_, {Duration(100ms), Duration(200ms), Duration(1s)});
    std::vector<SimNode*> nodes;
    for (std::size_t r = 0; r < options_.regions; ++r) {
      Region& region = regions_.emplace_back();
      const std::string name = fmt::format("r{}", r + 1);
      region.tier =
          std::make_unique<SharedTier>(world_, network_, world_.add_process(name + ".l2"), &history_);
      region.log = std::make_unique<SharedLog>(world_, network_, world_.add_process(name + ".stream"));
      for (std::size_t n = 0; n < options_.nodes; ++n) {
        NodeOptions node{name, features_, probe_period};
        if (options_.sweeps && options_.seed % 2 == 1) node.keys_swept_per_second = kKeysSweptPerSecond;
        node.has_disk = options_.disk;
        region.nodes.push_back(std::make_unique<SimNode>(
            world_, network_, world_.add_process(fmt::format("{}.n{}", name, n + 1)), *database_,
            *region.tier, *region.log, std::move(node)));
        nodes.push_back(region.nodes.back().get());
        nodes.back()->on_applied(
            [this, node = nodes.size() - 1](std::string_view key) { spread_.note(node, key, world_.now()); });
      }
    }
    clients_ = std::make_unique<Clients>(world_, *database_, nodes, features_, draw_workload(), &history_);
  }

  void add_faults() {
    for (std::size_t i = 0; i < world_.processes(); ++i)
      plan_->add_victim(world_.process(static_cast<std::uint32_t>(i)));
    plan_->add("late visibility", 3, [this](Random& random) {
      database_->be_late(world_.now() + Duration{static_cast<std::int64_t>(random.below(5'000'000'000))});
    });
    plan_->add("changes hidden", 0.3, [this](Random& random) {
      database_->hide_changes(world_.now() +
                              Duration{static_cast<std::int64_t>(random.below(3'000'000'000))});
    });
    plan_->add("slot lost", 0.3, [this](Random&) {
      world_.faults().plan("slot lost");
      world_.faults().take_effect("slot lost");
      database_->lose_slots();
    });
    plan_->add("failover", 0.3, [this](Random& random) { database_->failover(5, random); });
    for (Region& region : regions_) {
      plan_->add("shared tier forgets", 0.5, [&region](Random&) { region.tier->forget_everything(); });
      plan_->add("shared tier restored", 0.5,
                 [&region](Random& random) { region.tier->restore_old(random); });
      plan_->add("log trimmed", 0.5, [&region](Random& random) { region.log->trim(random.below(20)); });
      plan_->add("log made anew", 0.3, [&region](Random&) { region.log->make_anew(); });
    }
  }

  void note_holdings() {
    for (Region& region : regions_) {
      const std::uint32_t tier = history_.nodes.number(region.tier->process().name());
      world_.run_on(region.tier->process(), [&] {
        for (const auto& held : region.tier->holdings())
          history_.holdings.push_back({tier, history_.keys.number(held.key), Tier::kL2, held.version});
      });
      for (const auto& node : region.nodes) world_.run_on(node->process(), [&] { note_held(*node); });
    }
  }

  // Slower, never down: after the quiet every node proves itself again and uses the shared tier, and one of
  // the region leads its feed and owes the tier nothing.
  void check_recovery() {
    recovery_.rule = "recovery";
    for (Region& region : regions_) {
      std::size_t leaders = 0;
      for (const auto& node : region.nodes) {
        world_.run_on(node->process(), [&] {
          const ApplierStatus applier = node->applier_status();
          const PublisherStatus publisher = node->publisher_status();
          const AppliedOrigin& origin = applier.origins.front();
          leaders += publisher.leading ? 1 : 0;
          const Duration proven = node->process().now() - origin.fresh_as_of;
          expect(origin.settled && proven < kRecoveredProof,
                 fmt::format(
                     "{} proves nothing since the faults ended ({}, applied {}, {} probes, {} failed{}{})",
                     node->name(), origin.settled ? "settled" : "not settled", origin.applied.value,
                     origin.probes, origin.probes_failed, publisher.problem.empty() ? "" : "; ",
                     publisher.problem));
          expect(node->uses_shared_tier(),
                 node->name() + " does not use the shared tier since the faults ended");
          expect(!publisher.leading || (!publisher.l2.lost && publisher.l2.owed == 0),
                 node->name() + " still owes the shared tier something");
        });
      }
      expect(leaders == 1, fmt::format("{} nodes of a region lead its feed", leaders));
    }
  }
  void expect(bool holds, std::string what) {
    ++recovery_.checked;
    if (holds) return;
    ++recovery_.broken;
    recovery_.violations.push_back({"recovery", std::move(what), {}});
  }

  void note_held(SimNode& node) {
    const std::uint32_t number = history_.nodes.number(node.name());
    for (std::uint32_t key = 0; key < history_.keys.size(); ++key) {
      const std::string& name = history_.keys.name(key);
      const auto colon = name.find(':');
      const auto version = node.held(name.substr(0, colon), name.substr(colon + 1));
      if (version) history_.holdings.push_back({number, key, Tier::kL1, *version});
    }
  }

  SimulationResult finish() {
    result_.seed = options_.seed;
    for (std::size_t i = 0; i < world_.processes(); ++i)
      world_.stop(world_.process(static_cast<std::uint32_t>(i)));
    for (const Region& region : regions_)
      for (const auto& node : region.nodes) node->add_swept(&result_.swept);
    result_.trace = world_.finish();
    result_.simulated = Duration{world_.now().ns};
    result_.operations = history_.operations.size();
    result_.commits = database_->commits();
    result_.events = world_.stats().events;
    result_.faults = world_.faults();
    for (const Operation& op : history_.operations) {
      if (op.kind != OperationKind::kRead || op.level != Level::kBounded || op.outcome != Outcome::kOk)
        continue;
      ++result_.bounded_reads;
      result_.reads_of_tiers += op.tier == Tier::kOrigin ? 0 : 1;
    }
    if (world_.stats().afterlives_cut > 0)
      result_.defects.push_back(fmt::format("{} processes did not come to an end after their crash",
                                            world_.stats().afterlives_cut));
    result_.lags = spread_.lags(history_, kCommitsApart);
    settle_unknown_writes();
    CheckOptions check;
    check.clock_ppm = kClockPpm;
    result_.checks = check_all(history_, check);
    result_.checks.push_back(std::move(recovery_));
    result_.history = std::move(history_);
    return std::move(result_);
  }

  // The run is over: a write that was never answered and is not in the origin's log has not happened, and one
  // that is had happened when it was visible. Less for the search for an order to try; what was promised
  // stays as it was.
  void settle_unknown_writes() {
    std::unordered_map<std::uint64_t, std::int64_t> visible;  // versions are given out once
    for (const Commit& commit : history_.commits)
      if (!commit.by_restore && commit.version != kAbsent)
        visible.try_emplace(commit.version, commit.visible);
    for (Operation& op : history_.operations) {
      if (op.kind != OperationKind::kWrite || op.outcome != Outcome::kUnknown) continue;
      const auto found = visible.find(op.version);
      if (found == visible.end()) {
        op.outcome = Outcome::kRefused;
      } else {
        op.happened_by = std::max(found->second, op.invoked);
      }
    }
  }

  const SimulationOptions& options_;
  World world_;
  Network network_;
  Random random_;
  History history_;
  std::vector<FeaturePolicy> features_;
  std::unique_ptr<Database> database_;
  Spread spread_{options_.regions * options_.nodes};
  std::deque<Region> regions_;
  std::unique_ptr<Clients> clients_;
  std::unique_ptr<FaultPlan> plan_;
  CheckResult recovery_;
  SimulationResult result_;
};

}  // namespace

SimulationResult simulate(const SimulationOptions& options) { return Run(options).run(); }

std::vector<std::string> fault_names() {
  return {"loss",
          "duplicate",
          "reorder",
          "slow",
          "partition",
          "crash",
          "pause",
          "clock step",
          "clock drift",
          "late visibility",
          "changes hidden",
          "slot lost",
          "failover",
          "shared tier forgets",
          "shared tier restored",
          "log trimmed",
          "log made anew"};
}

}  // namespace candor::sim
