// What is known of a feature's exposure at one moment: plain values. The controller decides from it, metrics,
// API, dashboard and `candor budget` show it, and nothing else is asked.
//
// "Not measured" is not zero: a Measured without reads says so.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "budget/workload.h"

namespace candor {

// Why a read was stale.
enum class StaleCause : std::uint8_t {
  kLag,         // the change was on its way: applied here after the read
  kLost,        // the origin had it, and the stream never told
  kTtlOnly,     // nobody listens for this feature's changes; only the ttl ends an old value
  kRace,        // the change was applied here before the read, and the old value was served all the same
  kServeStale,  // past its ttl on purpose, because the origin failed
  kReplica,     // the load itself brought a value that had been superseded before the load began
};
inline constexpr std::size_t kStaleCauses = 6;
[[nodiscard]] constexpr std::string_view stale_cause_name(StaleCause cause) {
  constexpr std::array<std::string_view, kStaleCauses> kNames = {"lag",  "lost",        "ttl-only",
                                                                 "race", "serve-stale", "replica"};
  return kNames[static_cast<std::size_t>(cause)];
}

// Reads judged in one way over one span of time. Reads are weighted: where only some of those that were
// picked could be judged, each stands for the others.
struct Measured {
  double reads = 0.0;            // effective number of reads judged (Kish: (sum w)^2 / sum w^2)
  double stale_fraction = 0.0;   // of reads: staler than max_staleness
  double low = 0.0, high = 1.0;  // 95 % interval of stale_fraction
  std::array<double, kStaleCauses> by_cause{};  // fractions of reads; together stale_fraction
  [[nodiscard]] bool is_measured() const { return reads > 0.0; }
};

enum class BudgetState : std::uint8_t { kUnknown, kOk, kTicket, kPage };
[[nodiscard]] constexpr std::string_view budget_state_name(BudgetState state) {
  constexpr std::array<std::string_view, 4> kNames = {"unknown", "ok", "ticket", "page"};
  return kNames[static_cast<std::size_t>(state)];
}

struct BurnRate {
  Duration window{0};
  double rate = 0.0;   // 1: the budget lasts exactly its window
  double reads = 0.0;  // judged within the window
};

struct Predicted {
  bool is_known = false;
  double bound = 0.0;       // min(1, u T), of reads stale at all
  double stale = 0.0;       // exact, of reads stale at all
  double over_limit = 0.0;  // exact, of reads staler than max_staleness
};

// Of the reads judged since the start, one way, one tier, one level: sums of weights.
struct JudgedPart {
  bool by_origin = false;            // else by the stream
  std::uint8_t tier = 0, level = 0;  // as in cache/cache.h
  double reads = 0.0, stale = 0.0;
};

// Staleness of reads that were stale at all, since the start: counts below each edge, and all.
inline constexpr std::array<double, 14> kStalenessEdges = {0.001, 0.003, 0.01, 0.03,  0.1,   0.3,    1.0,
                                                           3.0,   10.0,  30.0, 100.0, 300.0, 1000.0, 3600.0};
struct StalenessHistogram {
  std::array<double, kStalenessEdges.size() + 1> counts{};  // not cumulative; the last: above all edges
  double sum_seconds = 0.0;
  void add(double seconds, double weight) {
    std::size_t i = 0;
    while (i < kStalenessEdges.size() && seconds > kStalenessEdges[i]) ++i;
    counts[i] += weight;
    sum_seconds += seconds * weight;
  }
  [[nodiscard]] double total() const {
    double sum = 0.0;
    for (const double count : counts) sum += count;
    return sum;
  }
};

// Totals of one way of judging since the start, for counters.
struct JudgedTotals {
  double reads = 0.0;
  double squares = 0.0;  // of their weights: what reads alone cannot say, how many were seen
  std::array<double, kStaleCauses> stale{};  // staler than the limit, by cause
  StalenessHistogram staleness;
};

// Of changes that were applied here, looked at some while later, since the start.
struct ChangeTotals {
  std::uint64_t checked = 0;
  std::uint64_t old_in_l1 = 0, old_in_l2 = 0;  // a reader would have been served a value from before it
};

struct FeatureExposure {
  std::string feature, region, origin;
  std::string level;  // consistency, as served
  std::string owner, impact;
  bool may_steer = false;  // control = "auto"
  bool has_budget = false;
  Budget budget;

  Workload workload;
  Delivery delivery;
  Duration lag_p99{0};  // commit to this node's L1
  Predicted predicted;

  // Over the last evaluation span (Monitor::kSpan), and over the budget's window.
  Measured by_stream, by_origin;
  Measured by_stream_window, by_origin_window;
  double reads_window = 0.0;  // reads that the budget's window has seen judged
  // Of by_origin beyond by_stream: changes that the stream never told of.
  double lost_fraction = 0.0;
  std::vector<std::string> lost_keys;  // the latest, at most a few
  std::uint64_t lost_entries = 0;      // that the sweep over the tiers found in the last minute or so

  double budget_remaining = 1.0;  // of what the window allows; below 0: overspent
  std::vector<BurnRate> burn;
  BudgetState state = BudgetState::kUnknown;

  double origin_loads_per_second = 0.0;  // of this feature, readers' and refreshes'
  double check_loads_per_second = 0.0;   // of the monitor
  double load_seconds_mean = 0.0;

  JudgedTotals stream_totals, origin_totals;
  ChangeTotals change_totals;
  std::vector<JudgedPart> parts;
  std::uint64_t not_judged = 0;  // by the stream: it gave no proof in time
  bool checks_paused = false;    // the origin suffers
};

struct ExposureReport {
  MonoTime at{0};
  WallTime wall{0};
  std::vector<FeatureExposure> features;  // in the order of the configuration
};

}  // namespace candor
