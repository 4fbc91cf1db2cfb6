// How many reads of a cache are stale, and how many are staler than a limit: closed forms.
//
// The world that they describe: a key is changed and read at random moments, independently (Poisson, rates u
// and r), as in Cho & Garcia-Molina, "Synchronizing a database to improve freshness" (SIGMOD 2000), who ask
// for the share of *time* that a copy is old. Ours is the share of *reads*, and the copy is not refreshed by
// a schedule: it ends by its ttl or by an invalidation, and the next read, which loads it, is fresh.
//
// One entry's life. It is loaded at 0 and includes every change before 0. Let F be the first change after 0
// (exponential, rate u). Of the changes, a share arrives here after a delay with distribution H, independent
// of each other; the rest, q, never does. The entry ends at L = min(T, first arrival of a change after 0). A
// change that was committed before the load and arrives after it ends nothing: the stamp includes it. A read
// at t < L is staler than S exactly when F < t - S. Arrivals until t are Poisson with mean
//     A(t) = u * integral of (1 - q) H(v) over v in [0, t],
// because thinning a Poisson process by an independent delay leaves one. Hence
//     P(L > t)                 = e^-A(t)                             for t < T
//     P(L > t and F >= t - S)  = e^(-u (t - S) - A(S))               for S <= t < T
// (no change at all in the first t - S seconds, and none of the later ones, younger than S, is here), so that
//     E[L]                     = integral over [0, T] of e^-A(t)
//     E[seconds over S]        = integral over [S, T] of e^-A(t) - e^(-u (t - S) - A(S)).
// Loads are renewals: the fraction of reads over the limit is r E[over] / (1 + r E[L]), the 1 being the read
// that loads. With H a finite mixture of constants, A is piecewise linear and both integrals are sums of
// exponentials; every law below is a case of it:
//     no push (A = 0), S = 0:      r (T - (1 - e^-uT) / u) / (1 + r T), for hot keys 1 - (1 - e^-uT) / (uT)
//     no push, S:                  the same with T - S for T above the line
//     push, D < S, loss q:         only lost changes count: e^(-a (S - D)) [G(a, T-S) - G(u, T-S)],
//                                  a = u (1 - q), G(k, x) = (1 - e^-kx) / k; a lost one is found by the ttl
//                                  or by the next change of the key that arrives, whichever is first
//     uT, q small, S = 0:          u (D + q T / 2), the first order of it
//
// What it leaves out, each to the safe side or small: entries that are evicted early or refreshed before
// their expiry end sooner; a load takes no time; entries of L2 keep the time of their load, so that r is the
// reads of all nodes that share it. Delays that come in bursts (an outage) average out over moments as long
// as u E[D] is small.
//
// Pure: plain arithmetic, no clock. Sound for u T from 0 to huge (expm1, series where terms cancel).
#pragma once

#include <span>
#include <vector>

#include "budget/workload.h"

namespace candor {

// ---- the laws by themselves, as design and docs show them side by side ----

// min(1, u T): every change makes old whatever is read in the T after it.
[[nodiscard]] double stale_bound(double updates_per_second, double window_seconds);
// 1 - (1 - e^-uT) / (uT): a ttl cache, keys that are read all the time.
[[nodiscard]] double stale_hot(double updates_per_second, double ttl_seconds);
// r (T - (1 - e^-uT) / u) / (1 + r T): a ttl cache, the read that loads is fresh.
[[nodiscard]] double stale_with_refill(double updates_per_second, double reads_per_second,
                                       double ttl_seconds);
// u (D + q T / 2): push, to first order.
[[nodiscard]] double stale_push_first_order(double updates_per_second, double delay_seconds, double loss,
                                            double ttl_seconds);

// ---- the general form ----

// Some of the changes arrive, after this delay.
struct Arrival {
  double share = 0.0;  // of all changes
  double delay_seconds = 0.0;
  double missing_after = 0.0;  // of all changes: later than this, or never; settle() fills it in
};

// How changes arrive: by delay, ascending, and the share that never does.
struct Arrivals {
  std::vector<Arrival> points;
  double lost = 1.0;  // falls by what is added

  // `share` of the changes arrives by this route.
  void add(double share, double delay_seconds);
  // A delay of which mean and 99th percentile are known: log-normal, cut into points that keep its mean. A
  // p99 of 0, or not above the mean, is a constant delay.
  void add_spread(double share, double mean_seconds, double p99_seconds);
  // Anywhere in [0, longest): what a sweep with that period finds.
  void add_uniform(double share, double longest_seconds);
  // Orders them and works out what is missing after each. Call it after the last add.
  void settle();
};

// What Delivery says, as arrivals.
[[nodiscard]] Arrivals arrivals_of(const Delivery& delivery);

// Means over one entry's life, from its load to its end.
struct LifeMeans {
  double seconds = 0.0;        // E[L]
  double stale_seconds = 0.0;  // of them: stale at all
  double over_seconds = 0.0;   // of them: staler than the limit
  double reaches_ttl = 0.0;    // probability that no change ends it before its ttl
};
// `ttl_jitter`: T is uniform in [(1 - jitter) T, T].
[[nodiscard]] LifeMeans life_means(double updates_per_second, double ttl_seconds, double ttl_jitter,
                                   const Arrivals& arrivals, double limit_seconds);

// What a feature's readers see.
struct Exposure {
  bool is_known = false;              // false: the workload's classes are not known; all below means nothing
  double bound = 0.0;                 // min(1, u T), of reads stale at all
  double first_order = 0.0;           // pushed: u (D + q T / 2); else u T / 2
  double hot = 0.0;                   // stale at all, if every key were hot
  double stale = 0.0;                 // stale at all
  double over_limit = 0.0;            // staler than the limit
  double over_limit_bound = 0.0;      // min(1, u (T - S)), of reads staler than the limit
  double miss_ratio = 0.0;            // of reads: loads, as if nothing is evicted
  double loads_per_second = 0.0;      // for readers
  double refreshes_per_second = 0.0;  // loads that nobody waits for (refresh on change)
  double entries = 0.0;               // held at a time
};

// What happens to an entry when a change of it arrives.
enum class OnArrival : bool { kDrop, kReload };

[[nodiscard]] Exposure predict(const Workload& workload, const Delivery& delivery, Duration max_staleness);
// The same, where arrivals are not what Delivery says: levers.
[[nodiscard]] Exposure predict(const Workload& workload, const Delivery& delivery, const Arrivals& arrivals,
                               double limit_seconds, OnArrival on_arrival);

}  // namespace candor
