// What a node says of itself at one moment: plain values, taken where they may be read. Metrics, status,
// dashboard and the final report of a demo are all made from this and from nothing else, so that they cannot
// disagree.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/alerting_report.h"
#include "app/capacity_report.h"
#include "app/river_report.h"
#include "app/steering.h"
#include "app/watchers.h"
#include "base/counters.h"
#include "base/time.h"
#include "cache/reconciler.h"
#include "cache/write_behind.h"
#include "monitor/exposure_report.h"
#include "origin/origin.h"
#include "tier/disk/disk_tier.h"
#include "tier/l1/store.h"
#include "tier/l2.h"
#include "warm/warmer.h"

namespace candor::app {

struct FeatureReport {
  std::string name;
  std::string origin;       // its name, or "none"
  std::string consistency;  // as configured
  std::string served_as;    // the level it runs at today
  Duration ttl{0};
  bool writable = false;

  std::uint64_t reads_l1 = 0, reads_disk = 0, reads_l2 = 0, reads_origin = 0;  // readers answered from there
  std::uint64_t reads_stale = 0;     // of reads_l1: past their ttl, because the origin failed
  std::uint64_t reads_negative = 0;  // of reads_l1: "no such row"
  std::uint64_t errors = 0;          // readers that got an error
  std::uint64_t shed = 0;            // readers whose load was refused: too much waits for the origin
  std::uint64_t coalesced = 0;       // readers that waited for a load already under way
  std::uint64_t refreshes = 0;
  std::uint64_t loads_ok = 0, loads_absent = 0, loads_failed = 0, loads_timeout = 0;
  std::uint64_t writes = 0, write_errors = 0;
  std::uint64_t past_tiers = 0, refreshes_skipped = 0, writes_unconfirmed = 0;  // levers
  std::optional<write_behind::Stats> behind;  // nothing: the feature has no write-behind log
  LatencyHistogram::Snapshot miss_ns;
  l1::FeatureUsage usage;
  Watchers::Counts dropped;

  [[nodiscard]] std::uint64_t reads() const {
    return reads_l1 + reads_disk + reads_l2 + reads_origin + errors;
  }
  [[nodiscard]] std::uint64_t loads() const { return loads_ok + loads_absent + loads_failed + loads_timeout; }
};

struct OriginReport {
  std::string name;
  std::string description;  // no password
  OriginStats stats;
};

struct ConnectionReport {
  std::uint64_t open = 0, accepted = 0, refused = 0;
  std::uint64_t commands = 0, command_errors = 0, protocol_errors = 0, foreign_protocols = 0;
  std::uint64_t slow_readers_cut = 0, deadlines_missed = 0, wrong_passwords = 0;
  std::uint64_t bytes_in = 0;
  LatencyHistogram::Snapshot hit_ns;  // a sample of the reads that L1 answered
};

// From the operating system; all zero where it does not say.
struct ProcessReport {
  double cpu_seconds = 0;
  double start_time_seconds = 0;  // since 1970
  std::uint64_t resident_bytes = 0, virtual_bytes = 0;
  std::uint64_t open_fds = 0, max_fds = 0, threads = 0;
};

struct NodeReport {
  std::string node, region, version;
  MonoTime at;
  Duration uptime{0};
  bool ready = false;
  std::string not_ready_because;
  std::string catching_up;            // what the start still waits for; empty: it has ended
  std::vector<std::string> degraded;  // reasons, empty when all is well

  std::vector<FeatureReport> features;  // in the order of the configuration
  l1::StoreStats l1;
  std::optional<disk::Stats> disk;  // nothing: there is none
  bool has_l2 = false;
  std::string l2_description;
  L2Stats l2;
  std::vector<OriginReport> origins;
  std::uint64_t waiting = 0;             // reads on the miss path
  std::uint64_t owed_invalidations = 0;  // that L2 has not taken yet
  RiverReport river;
  std::shared_ptr<const ExposureReport> exposure;  // null: no feature has a budget
  std::shared_ptr<const LeverSnapshot> levers;     // null: nothing was evaluated yet
  AlertingReport alerting;
  ReconcileStatus reconciliation;
  std::shared_ptr<const CapacityReport> capacity;  // null: nothing was asked of it yet
  warm::WarmProgress warm;
  std::string warming;                                    // what /readyz waits for; empty: for nothing more
  std::uint64_t tracking_clients = 0, tracking_keys = 0;  // CLIENT TRACKING
  ConnectionReport connections;
  ProcessReport process;
};

}  // namespace candor::app
