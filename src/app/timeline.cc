#include "app/timeline.h"

#include <algorithm>

namespace candor::app {
namespace {

void add_to(LatencyHistogram::Snapshot& sum, const LatencyHistogram::Snapshot& more) {
  for (std::size_t i = 0; i < sum.counts.size(); ++i) sum.counts[i] += more.counts[i];
  sum.count += more.count;
  sum.sum_ns += more.sum_ns;
}

double rate(std::uint64_t now, std::uint64_t before, double seconds) {
  return now > before ? static_cast<double>(now - before) / seconds : 0.0;
}

// The upper edge, in microseconds, of the bucket that holds the quantile when each sampled hit stands for
// `weight` hits.
std::optional<double> quantile_us(const LatencyHistogram::Snapshot& hits, double weight,
                                  const LatencyHistogram::Snapshot& misses, double q) {
  const double total = static_cast<double>(hits.count) * weight + static_cast<double>(misses.count);
  if (total <= 0) return std::nullopt;
  double seen = 0;
  for (unsigned i = 0; i < LatencyHistogram::kBuckets; ++i) {
    seen += static_cast<double>(hits.counts[i]) * weight + static_cast<double>(misses.counts[i]);
    if (seen >= q * total) return static_cast<double>(LatencyHistogram::bucket_limit(i)) / 1000.0;
  }
  return std::nullopt;
}

}  // namespace

Timeline::Totals Timeline::totals_of(const NodeReport& report) {
  Totals totals;
  totals.at = report.at;
  for (const FeatureReport& f : report.features) {
    totals.l1 += f.reads_l1;
    // The page shows three parts: what this node answered out of itself, the shared tier, the origin.
    totals.l1 += f.reads_disk;
    totals.l2 += f.reads_l2;
    totals.origin += f.reads_origin;
    totals.errors += f.errors;
    totals.loads += f.loads();
    totals.writes += f.writes;
    add_to(totals.misses, f.miss_ns);
  }
  totals.evictions = report.l1.evictions;
  totals.hits = report.connections.hit_ns;
  return totals;
}

bool Timeline::add(const NodeReport& report) {
  if (last_ && report.at - last_->at < kIntervalMin) return false;
  Totals totals = totals_of(report);
  if (!last_) {
    last_ = std::move(totals);
    return false;
  }
  const double seconds = to_seconds(totals.at - last_->at);
  TimelinePoint point;
  point.at_seconds = to_seconds(report.uptime);
  point.l1 = rate(totals.l1, last_->l1, seconds);
  point.l2 = rate(totals.l2, last_->l2, seconds);
  point.origin = rate(totals.origin, last_->origin, seconds);
  point.errors = rate(totals.errors, last_->errors, seconds);
  point.loads = rate(totals.loads, last_->loads, seconds);
  point.writes = rate(totals.writes, last_->writes, seconds);
  point.evictions = rate(totals.evictions, last_->evictions, seconds);
  const auto hits = totals.hits.minus(last_->hits);
  const auto misses = totals.misses.minus(last_->misses);
  const double weight =
      hits.count > 0 ? std::max(1.0, point.l1 * seconds / static_cast<double>(hits.count)) : 0.0;
  point.p50_us = quantile_us(hits, weight, misses, 0.50);
  point.p99_us = quantile_us(hits, weight, misses, 0.99);
  point.memory_bytes = report.l1.bytes_used;
  point.memory_limit_bytes = report.l1.memory_limit;
  for (const OriginReport& origin : report.origins) {
    point.in_flight += origin.stats.in_flight;
    point.in_flight_limit += origin.stats.limit;
  }
  points_.push_back(point);
  if (points_.size() > kPointsMax) points_.pop_front();
  last_ = std::move(totals);
  return true;
}

}  // namespace candor::app
