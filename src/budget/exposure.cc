#include "budget/exposure.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

namespace candor {
namespace {

// Longer times mean "never ends"; keeps infinity out of the sums.
constexpr double kSecondsMax = 1e12;

// (1 - e^-x) / x, 1 at 0: the mean of e^-xv over v in [0, 1].
double mean_survival(double x) { return x == 0.0 ? 1.0 : -std::expm1(-x) / x; }

// 1 - mean_survival(x), without cancellation.
double mean_loss(double x) {
  // The series has an error below 1e-16 of its sum here; above, the subtraction loses at most five bits.
  constexpr double kSeriesBelow = 0.1;
  if (x >= kSeriesBelow) return 1.0 - mean_survival(x);
  double term = x / 2.0;
  double sum = 0.0;
  for (int n = 3; n <= 12; ++n) {
    sum += term;
    term *= -x / n;
  }
  return sum;
}

// The integral of e^-kv over v in [0, seconds].
double survival(double rate, double seconds) { return seconds * mean_survival(rate * seconds); }

// The seconds of one piece in which some change is older than a limit S and not here. `hidden` is
// u (t - S) - (A(t) - A(S)) where the piece begins, `alive` is e^-A there; within it changes come at rate u
// and arrive at `rate`. The difference of the two exponentials, as two terms that are positive each.
double hidden_seconds(double u, double rate, double length, double alive, double hidden) {
  const double within = length * (mean_loss(u * length) - mean_loss(rate * length));
  const double from_before = -std::expm1(-hidden) * survival(u, length);
  return alive * (std::max(0.0, within) + from_before);
}

// life_means() for one ttl. Walks the pieces between delays (and the limit), on each of which the rate of
// arrivals is constant.
LifeMeans life_of(double u, double ttl, const Arrivals& arrivals, double limit) {
  LifeMeans means;
  double at = 0.0;           // where the piece begins
  double arrived = 0.0;      // A(at)
  double hidden = 0.0;       // u at - A(at)
  double hidden_over = 0.0;  // the same, counted from the limit on
  double missing = 1.0;      // share of the changes that does not arrive within this piece
  std::size_t next = 0;
  while (at < ttl) {
    while (next < arrivals.points.size() && arrivals.points[next].delay_seconds <= at)
      missing = arrivals.points[next++].missing_after;
    double end = ttl;
    if (next < arrivals.points.size()) end = std::min(end, arrivals.points[next].delay_seconds);
    if (at < limit) end = std::min(end, limit);
    const double length = end - at;
    const double rate = u * (1.0 - missing);
    const double alive = std::exp(-arrived);
    means.seconds += alive * survival(rate, length);
    means.stale_seconds += hidden_seconds(u, rate, length, alive, hidden);
    hidden += u * missing * length;
    if (at >= limit) {
      means.over_seconds += hidden_seconds(u, rate, length, alive, hidden_over);
      hidden_over += u * missing * length;
    }
    arrived += rate * length;
    at = end;
  }
  means.reaches_ttl = std::exp(-arrived);
  return means;
}

// Five points of Gauss and Legendre on [0, 1]: exact for polynomials up to degree 9.
struct QuadraturePoint {
  double at, weight;
};
constexpr std::array<QuadraturePoint, 5> kQuadrature{{{0.046910077030668004, 0.118463442528094544},
                                                      {0.230765344947158454, 0.239314335249683234},
                                                      {0.5, 0.284444444444444444},
                                                      {0.769234655052841546, 0.239314335249683234},
                                                      {0.953089922969331996, 0.118463442528094544}}};

void accumulate(LifeMeans& sum, const LifeMeans& one, double weight) {
  sum.seconds += weight * one.seconds;
  sum.stale_seconds += weight * one.stale_seconds;
  sum.over_seconds += weight * one.over_seconds;
  sum.reaches_ttl += weight * one.reaches_ttl;
}

// z with P(normal > z) = tail.
double normal_quantile(double tail) {
  double low = -10.0, high = 10.0;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2.0;
    (std::erfc(middle / std::numbers::sqrt2) / 2.0 > tail ? low : high) = middle;
  }
  return (low + high) / 2.0;
}

// Upper tails at which a spread delay is cut: the further out, the finer, because the tail is what exceeds
// limits. Beyond the last one the rest is one point at its own mean.
constexpr std::array<double, 19> kCutTails = {0.8,   0.6,    0.4,   0.25, 0.15, 0.1,  0.06, 0.035, 0.02, 0.01,
                                              0.005, 0.0025, 0.001, 5e-4, 2e-4, 1e-4, 3e-5, 1e-5,  1e-6};
const std::array<double, kCutTails.size()>& cut_quantiles() {
  static const auto kQuantiles = [] {
    std::array<double, kCutTails.size()> z{};
    std::ranges::transform(kCutTails, z.begin(), normal_quantile);
    return z;
  }();
  return kQuantiles;
}

double normal_tail(double z) { return std::erfc(z / std::numbers::sqrt2) / 2.0; }

// Of a log-normal delay whose mean and 99th percentile are known. ln(p99 / mean) = z s - s^2 / 2 has a
// solution up to z^2 / 2; a ratio beyond that (15) is taken as that: no log-normal is more skewed at p99.
double spread_of(double mean, double p99) {
  constexpr double kZ99 = 2.3263478740408408;
  const double ratio = std::min(std::log(p99 / mean), kZ99 * kZ99 / 2.0);
  return kZ99 - std::sqrt(kZ99 * kZ99 - 2.0 * ratio);
}

double clamp_seconds(double seconds) { return std::clamp(seconds, 0.0, kSecondsMax); }

}  // namespace

double stale_bound(double updates_per_second, double window_seconds) {
  return std::min(1.0, updates_per_second * window_seconds);
}

double stale_hot(double updates_per_second, double ttl_seconds) {
  return mean_loss(updates_per_second * ttl_seconds);
}

double stale_with_refill(double updates_per_second, double reads_per_second, double ttl_seconds) {
  const double reads = reads_per_second * ttl_seconds;
  return reads * mean_loss(updates_per_second * ttl_seconds) / (1.0 + reads);
}

double stale_push_first_order(double updates_per_second, double delay_seconds, double loss,
                              double ttl_seconds) {
  return updates_per_second * (delay_seconds + loss * ttl_seconds / 2.0);
}

void Arrivals::add(double share, double delay_seconds) {
  if (share <= 0.0) return;
  points.push_back({.share = share, .delay_seconds = clamp_seconds(delay_seconds)});
  lost = std::max(0.0, lost - share);
}

void Arrivals::add_spread(double share, double mean_seconds, double p99_seconds) {
  if (mean_seconds <= 0.0 || p99_seconds <= mean_seconds) return add(share, mean_seconds);
  const double spread = spread_of(mean_seconds, p99_seconds);
  double tail = 1.0;       // P(delay > the cut before)
  double tail_mean = 1.0;  // E[delay; delay > the cut before] / mean
  for (std::size_t i = 0; i <= kCutTails.size(); ++i) {
    const bool is_last = i == kCutTails.size();
    const double next_tail = is_last ? 0.0 : kCutTails[i];
    const double next_mean = is_last ? 0.0 : normal_tail(cut_quantiles()[i] - spread);
    const double weight = tail - next_tail;
    add(share * weight, mean_seconds * (tail_mean - next_mean) / weight);
    tail = next_tail;
    tail_mean = next_mean;
  }
}

void Arrivals::add_uniform(double share, double longest_seconds) {
  constexpr int kPieces = 16;
  for (int i = 0; i < kPieces; ++i) add(share / kPieces, longest_seconds * (i + 0.5) / kPieces);
}

void Arrivals::settle() {
  std::ranges::sort(points, {}, &Arrival::delay_seconds);
  double missing = lost;
  for (std::size_t i = points.size(); i-- > 0;) {
    points[i].missing_after = missing;
    missing = std::min(1.0, missing + points[i].share);
  }
}

Arrivals arrivals_of(const Delivery& delivery) {
  Arrivals arrivals;
  const double own = std::clamp(delivery.own_share, 0.0, 1.0);
  const double loss = std::clamp(delivery.loss, 0.0, 1.0);
  arrivals.add(own, 0.0);
  if (delivery.is_pushed)
    arrivals.add_spread((1.0 - own) * (1.0 - loss), delivery.delay_seconds, delivery.delay_p99_seconds);
  // Not by subtraction, whose rounding would drown a small loss.
  arrivals.lost = (1.0 - own) * (delivery.is_pushed ? loss : 1.0);
  arrivals.settle();
  return arrivals;
}

LifeMeans life_means(double updates_per_second, double ttl_seconds, double ttl_jitter,
                     const Arrivals& arrivals, double limit_seconds) {
  const double u = std::max(0.0, updates_per_second);
  const double longest = clamp_seconds(ttl_seconds);
  const double limit = clamp_seconds(limit_seconds);
  const double shortest = longest * (1.0 - std::clamp(ttl_jitter, 0.0, 1.0));
  if (shortest >= longest) return life_of(u, longest, arrivals, limit);
  LifeMeans sum;
  // The means have a kink where the ttl is the limit; each side of it is smooth.
  const double kink = std::clamp(limit, shortest, longest);
  for (const auto& [low, high] : {std::pair{shortest, kink}, std::pair{kink, longest}}) {
    if (high <= low) continue;
    for (const QuadraturePoint& point : kQuadrature)
      accumulate(sum, life_of(u, low + (high - low) * point.at, arrivals, limit),
                 point.weight * (high - low) / (longest - shortest));
  }
  return sum;
}

Exposure predict(const Workload& workload, const Delivery& delivery, Duration max_staleness) {
  return predict(workload, delivery, arrivals_of(delivery), to_seconds(max_staleness), OnArrival::kDrop);
}

Exposure predict(const Workload& workload, const Delivery& delivery, const Arrivals& arrivals,
                 double limit_seconds, OnArrival on_arrival) {
  Exposure sum;
  sum.is_known = !workload.classes.empty();
  const double ttl = delivery.ttl_seconds;
  for (const KeyClass& one : workload.classes) {
    const double u = one.updates_per_second;
    const double r = one.reads_per_second;
    const double share = one.read_share;
    sum.bound += share * stale_bound(u, ttl);
    sum.over_limit_bound += share * stale_bound(u, std::max(0.0, ttl - limit_seconds));
    sum.first_order +=
        share * (delivery.is_pushed ? stale_push_first_order(u, delivery.delay_seconds, delivery.loss, ttl)
                                    : u * ttl / 2.0);
    if (r <= 0.0) continue;
    const LifeMeans life = life_means(u, ttl, delivery.ttl_jitter, arrivals, limit_seconds);
    // A reader waits for a load only where an entry ended without being replaced.
    const double waits = on_arrival == OnArrival::kReload ? life.reaches_ttl : 1.0;
    const double reads = waits + r * life.seconds;  // per entry's life
    const double keys = share * workload.reads_per_second / r;
    if (life.seconds > 0.0) sum.hot += share * life.stale_seconds / life.seconds;
    sum.stale += share * r * life.stale_seconds / reads;
    sum.over_limit += share * r * life.over_seconds / reads;
    sum.miss_ratio += share * waits / reads;
    sum.refreshes_per_second += keys * r * (1.0 - waits) / reads;
    sum.entries += keys * r * life.seconds / reads;
  }
  // Shares add up to one, but for rounding.
  for (double* fraction :
       {&sum.bound, &sum.over_limit_bound, &sum.hot, &sum.stale, &sum.over_limit, &sum.miss_ratio})
    *fraction = std::min(1.0, *fraction);
  sum.loads_per_second = workload.reads_per_second * sum.miss_ratio;
  return sum;
}

}  // namespace candor
