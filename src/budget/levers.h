// What may be done about a budget, what each would bring, and what it would cost. Planner and controller ask
// the same functions, so that what was promised before deployment is what is weighed afterwards.
//
// Pure: a model and positions in, numbers out.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "budget/exposure.h"
#include "budget/workload.h"

namespace candor {

enum class Lever : std::uint8_t {
  kTtl,              // a shorter (or, to give back, a longer) ttl
  kWatch,            // hear of changes at all. Configuration: it needs `watch`, and a restart
  kRefreshOnChange,  // load the new value when a change is heard of, instead of leaving that to a reader
  kSynchronous,      // a write through Candor waits until no live node can serve the old value
  kBatchWrites,      // write-behind: writes of one key within a window become one change
  kOriginReads,      // reads that go to the origin: a fraction of them, or those above a staleness
  kRelax,            // the owner allows more, and a sweep repairs what no other lever reaches
};
inline constexpr std::size_t kLevers = 7;
[[nodiscard]] constexpr std::string_view lever_name(Lever lever) {
  constexpr std::array<std::string_view, kLevers> kNames = {
      "ttl", "watch", "refresh_on_change", "synchronous", "batch_writes", "origin_reads", "relax"};
  return kNames[static_cast<std::size_t>(lever)];
}

// How the feature's level lets reads be served.
enum class Serving : std::uint8_t {
  kFromTier,   // eventual, session: whatever is fresh by ttl
  kProven,     // bounded: from a tier only with a proof
  kConfirmed,  // strong: after the origin confirmed the row
  kOrigin,     // past the cache
};

// What is known of a feature besides how it is read, changed and told of changes.
struct FeatureFacts {
  Serving serving = Serving::kFromTier;
  bool can_watch = false;       // its origin has a change feed, and a change can be traced to a key
  bool can_store = false;       // writes can come through Candor
  double through_share = 0.0;   // of the changes: made through Candor, at any node. Others no lever on
                                // writes can reach
  double load_seconds = 0.001;  // of origin time that one load takes
  bool is_batchable = false;    // loads that miss together travel in one statement
  // What hearing of changes would bring where nobody hears of them yet. Ten times and more what is measured
  // on one machine (docs/benchmarks.md: 1.5 ms, p99 4.6 ms), because networks and load come on top; and one
  // change in a million lost, which is a guess: a feed that knows of a gap says so and loses nothing.
  double push_delay_seconds = 0.020;
  double push_delay_p99_seconds = 0.200;
  double push_loss = 1e-6;
  double region_seconds = 0.005;  // until every live node has answered that it dropped a key
};

// Where the levers stand. Untouched: everything as the delivery is.
struct LeverPositions {
  double ttl_seconds = 0.0;  // 0: as the delivery has it
  bool watch = false;
  bool refresh_on_change = false;
  bool synchronous = false;
  double batch_seconds = 0.0;         // window of write-behind; 0: writes go through
  double origin_fraction = 0.0;       // of reads, chosen at random
  double origin_above_seconds = 0.0;  // reads of what may be older go to the origin; 0: none
  double sweep_seconds = 0.0;     // every entry is compared with the origin once in this time; 0: no sweep
  double relaxed_fraction = 0.0;  // the budget's fraction as the owner would have to allow it; 0: as it is
  friend bool operator==(const LeverPositions&, const LeverPositions&) = default;
};

struct LeverSetting {
  Lever lever = Lever::kTtl;
  // kTtl: seconds. kBatchWrites: window in seconds. kOriginReads: fraction. kRelax: the fraction allowed.
  // The others are on (anything above 0) or off.
  double value = 0.0;
  // kOriginReads: instead of a fraction, the staleness in seconds above which. kRelax: the sweep's period.
  double second = 0.0;
  friend bool operator==(const LeverSetting&, const LeverSetting&) = default;
};
[[nodiscard]] LeverPositions with_setting(LeverPositions positions, const LeverSetting& setting);

struct FeatureModel {
  Workload workload;
  Delivery delivery;
  Budget budget;
  FeatureFacts facts;
};

// A feature with its levers in some position.
struct Outcome {
  Exposure exposure;                      // over_limit is of the budget's max_staleness
  double origin_loads_per_second = 0.0;   // readers', refreshes' and those sent past the cache
  double origin_checks_per_second = 0.0;  // rows only asked about: confirmations and sweeps, in batches
  double origin_writes_per_second = 0.0;  // changes that reach the origin through Candor
  double write_wait_seconds = 0.0;        // added to each write through Candor
  double visibility_delay_seconds = 0.0;  // added, until a write is seen at the origin (mean)
  double updates_per_second = 0.0;        // changes that the origin commits
  double heard_per_second = 0.0;          // of them: told by a feed
};
[[nodiscard]] Outcome outcome_of(const FeatureModel& model, const LeverPositions& positions);

// Why a lever cannot be pulled here; empty: it can. Part of a sentence, for people.
[[nodiscard]] std::string why_not(const FeatureModel& model, const LeverPositions& positions, Lever lever);

// What one unit of each cost is worth. The unit of the sum is "seconds per second": of origin work, or of
// somebody waiting, each second. Weights say how the kinds compare; a product may have others.
struct CostWeights {
  double origin_work = 1.0;      // a second of origin time spent on loads and writes
  double batched_work = 0.1;     // the same for rows that are asked for by the hundred
  double write_wait = 2.0;       // a second that a writer waits: it is seen by people, and holds resources
  double visibility = 0.02;      // a second that one change is seen later at the origin by others
  double watch_standing = 0.01;  // a change feed for one more table: decoding, a slot to look after
  double watch_change = 1e-4;    // each change heard of: stream, markers, every node's applier
  double write_behind_standing = 0.05;  // a durable log to look after, and its disk
  double relaxing = 1000.0;             // the owner gives way: always the last resort
};
// Of `after` against `before`; negative: it saves.
[[nodiscard]] double cost_of(const FeatureModel& model, const LeverPositions& from, const Outcome& before,
                             const LeverPositions& to, const Outcome& after, const CostWeights& weights);

struct LeverEffect {
  Lever lever = Lever::kTtl;
  LeverSetting setting;
  std::string why_not;  // not empty: the rest means nothing
  Outcome before, after;
  double cost = 0.0;
  [[nodiscard]] bool is_possible() const { return why_not.empty(); }
  // Of reads over the limit; negative: it helps.
  [[nodiscard]] double over_limit_change() const {
    return after.exposure.over_limit - before.exposure.over_limit;
  }
  [[nodiscard]] double origin_loads_added() const {
    return after.origin_loads_per_second - before.origin_loads_per_second;
  }
};
// What one lever would do, all others staying where they are.
[[nodiscard]] LeverEffect evaluate(const FeatureModel& model, const LeverPositions& positions,
                                   const LeverSetting& setting, const CostWeights& weights = {});

}  // namespace candor
