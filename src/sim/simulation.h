// One run: a database, regions of nodes with a shared tier and a stream each, clients, faults; then quiet,
// and the history is held against every rule. A pure function of its options.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"
#include "cache/reconciler.h"
#include "sim/checkers.h"
#include "sim/fault_ledger.h"
#include "sim/history.h"
#include "sim/trace.h"

namespace candor::sim {

struct SimulationOptions {
  std::uint64_t seed = 1;
  std::size_t regions = 1;
  std::size_t nodes = 3;            // of each region
  Duration length = 10min;          // with faults; the quiet at the end comes on top
  std::vector<std::string> faults;  // kinds wanted; empty: all; "none": none
  bool certain_faults = false;      // every wanted kind strikes, and often
  // Nodes of odd seeds sweep (cache/reconciler.h): in all of them it would repair what a rule should notice.
  bool sweeps = false;
  // Nodes have a disk tier, and evict what they hold (sim/node_disk.h).
  bool disk = false;
  Trace::Sink sink;  // hears of what happens; may be empty
};

struct SimulationResult {
  std::uint64_t seed = 0;
  std::uint64_t trace = 0;  // equal for equal options
  Duration simulated{0};
  std::uint64_t operations = 0, commits = 0, events = 0;
  std::uint64_t reads_of_tiers = 0;  // bounded, answered by a tier
  std::uint64_t bounded_reads = 0;
  // From a commit to the last node's L1, in nanoseconds, one for each commit that reached all (spread.h).
  std::vector<std::int64_t> lags;
  // What the sweep found on all nodes: entries by how they were judged.
  std::array<std::uint64_t, kReconciledKinds> swept{};
  FaultLedger faults;
  std::string weather;  // the faults that were drawn, for a person
  std::vector<CheckResult> checks;
  std::vector<std::string> defects;  // of the run itself: an afterlife cut short
  History history;

  [[nodiscard]] bool holds() const { return defects.empty() && sim::holds(checks); }
};

[[nodiscard]] SimulationResult simulate(const SimulationOptions& options);

// Names of the kinds of faults, for --faults.
[[nodiscard]] std::vector<std::string> fault_names();

}  // namespace candor::sim
