#include "monitor/feature_monitor.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace candor {

namespace {

constexpr Duration kLagsKept = 60s;
// Fewer changes say nothing of who makes them; without an answer none is this node's, which promises less.
constexpr double kChangesLeast = 10.0;

OriginJudge::Options judge_options(const MonitoredFeature& facts) {
  OriginJudge::Options options;
  options.limit = facts.budget.max_staleness;
  options.is_watched = facts.is_watched;
  return options;
}

}  // namespace

FeatureMonitor::FeatureMonitor(MonitoredFeature facts, const ChangeHistory* history,
                               std::uint64_t feature_hash, std::uint64_t seed)
    : facts_(std::move(facts)),
      history_(history),
      feature_hash_(feature_hash),
      by_stream_(StreamJudge::Options{}, history),
      by_origin_(judge_options(facts_), history, feature_hash, seed),
      by_change_(mix64(seed + 1)) {}

void FeatureMonitor::set_budget(const Budget& budget) {
  facts_.budget = budget;
  by_origin_.set_limit(budget.max_staleness);
}

void FeatureMonitor::on_read(MonoTime now, PickedRead read) {
  workload_.on_read(now, read.key_hash, read.weight);
  if (read.is_checked) by_origin_.add(read);
  if (history_ != nullptr) by_stream_.add(std::move(read), feature_hash_);
}

void FeatureMonitor::on_change(MonoTime now, std::uint64_t key_hash, const HeardChange& change,
                               std::string_view key) {
  workload_.on_change(now, key_hash);
  changes_ += 1.0;
  const auto lag =
      static_cast<std::uint64_t>(std::max<std::int64_t>(0, (change.applied - change.committed).count()));
  if (now - lags_turned_ > kLagsKept) {
    lags_[1] = lags_[0];
    lags_[0] = {};
    lags_turned_ = now;
  }
  ++lags_[0].counts[LatencyHistogram::bucket_of(lag)];
  ++lags_[0].count;
  lags_[0].sum_ns += lag;
  if (key.empty() || facts_.budget.sample <= 0.0) return;
  const Duration usual{static_cast<std::int64_t>(1e9 * lag_quantile(0.99))};
  by_change_.add(now, key, change, facts_.budget.sample, usual);
}

void FeatureMonitor::on_lost(MonoTime now, std::string_view key) {
  if (now - lost_entry_at_ > kLostEntriesKept) lost_entries_ = 0;
  ++lost_entries_;
  lost_entry_at_ = now;
  if (lost_by_sweep_.size() < kLostKeysMax) lost_by_sweep_.emplace_back(key);
}

double FeatureMonitor::lag_quantile(double q) const {
  LatencyHistogram::Snapshot both = lags_[0];
  for (std::size_t i = 0; i < both.counts.size(); ++i) both.counts[i] += lags_[1].counts[i];
  both.count += lags_[1].count;
  return static_cast<double>(both.quantile_ns(q)) * 1e-9;
}

void FeatureMonitor::Judgements::add(MonoTime now, const PickedRead& read, const SpanTally::Judged& judged,
                                     bool is_stale, Duration staleness) {
  tally.add(now, judged);
  totals.reads += judged.weight;
  totals.squares += judged.weight * judged.weight;
  totals.stale[static_cast<std::size_t>(judged.cause)] += judged.weight * judged.over;
  if (is_stale || judged.over > 0.0) totals.staleness.add(to_seconds(staleness), judged.weight);
  JudgedPart& part = parts[static_cast<std::size_t>(read.tier) % 4][static_cast<std::size_t>(read.level) % 5];
  part.reads += judged.weight;
  part.stale += judged.weight * judged.over;
}

void FeatureMonitor::settle_stream(MonoTime now, MonoTime proven, News& news) {
  for (StreamJudge::Verdict& verdict : by_stream_.take(now, proven)) {
    if (!verdict.is_judged) {
      ++not_judged_;
      continue;
    }
    SpanTally::Judged judged;
    judged.weight = verdict.read.weight;
    judged.over = verdict.is_stale && verdict.staleness > facts_.budget.max_staleness ? 1.0 : 0.0;
    judged.cause = verdict.cause;
    stream_.add(now, verdict.read, judged, verdict.is_stale, verdict.staleness);
    news.by_stream.add(judged);
  }
}

void FeatureMonitor::note_lost(const std::string& key, News& news) {
  if (std::ranges::find(lost_keys_, key) != lost_keys_.end()) return;
  lost_keys_.push_back(key);
  if (lost_keys_.size() > kLostKeysMax) lost_keys_.pop_front();
  news.lost_keys.push_back(key);
}

void FeatureMonitor::settle_origin(MonoTime now, MonoTime proven, News& news) {
  for (OriginJudge::Verdict& verdict : by_origin_.take(now, proven)) {
    origin_.add(now, verdict.read, verdict.judged, verdict.is_stale, verdict.staleness);
    const bool is_lost = verdict.judged.cause == StaleCause::kLost && verdict.judged.over > 0.0;
    news.by_origin.add(verdict.judged);
    SpanTally::Judged lost = verdict.judged;
    if (!is_lost) lost.over = 0.0;
    lost_.add(now, lost);
    if (is_lost) note_lost(verdict.read.key, news);
  }
}

FeatureMonitor::News FeatureMonitor::settle(MonoTime now, MonoTime proven) {
  News news;
  if (history_ != nullptr) settle_stream(now, proven, news);
  settle_origin(now, proven, news);
  for (const std::string& key : std::exchange(lost_by_sweep_, {})) note_lost(key, news);
  return news;
}

void FeatureMonitor::tick(MonoTime now) {
  workload_.tick(now);
  const double keep = std::exp2(-1.0 / to_seconds(WorkloadEstimator::kHalfLife));
  by_origin_.fade(keep);
  changes_ *= keep;
  own_changes_ *= keep;
}

// Where no change is heard of, the rate of changes is found by comparing what is held with the origin: what
// this node wrote is not held, so that none of those changes is its own.
double FeatureMonitor::own_share() const {
  if (history_ == nullptr || changes_ < kChangesLeast) return 0.0;
  return std::min(1.0, own_changes_ / changes_);
}

void FeatureMonitor::fill(FeatureExposure& out, MonoTime now) const {
  out.feature = facts_.name;
  out.region = facts_.region;
  out.origin = facts_.origin;
  out.level = facts_.level;
  out.owner = facts_.owner;
  out.impact = facts_.impact;
  out.may_steer = facts_.may_steer;
  out.has_budget = true;
  out.budget = facts_.budget;
  out.by_stream = stream_.tally.over_span(now);
  out.by_origin = origin_.tally.over_span(now);
  out.by_stream_window = stream_.tally.since_start();
  out.by_origin_window = origin_.tally.since_start();
  const Measured lost = lost_.over_span(now);
  out.lost_fraction = lost.is_measured() ? lost.stale_fraction : 0.0;
  out.lost_keys.assign(lost_keys_.begin(), lost_keys_.end());
  out.workload = workload_.workload(history_ == nullptr ? by_origin_.rate().per_second() : std::nullopt);
  if (history_ == nullptr && !by_origin_.rate().per_second()) out.workload.classes.clear();
  out.delivery.is_pushed = history_ != nullptr;
  out.delivery.own_share = own_share();
  const std::uint64_t changes = lags_[0].count + lags_[1].count;
  if (changes > 0) {
    out.delivery.delay_seconds =
        1e-9 * static_cast<double>(lags_[0].sum_ns + lags_[1].sum_ns) / static_cast<double>(changes);
    out.lag_p99 = Duration{static_cast<std::int64_t>(1e9 * lag_quantile(0.99))};
  }
  if (lost_entries_ > 0 && now - lost_entry_at_ <= kLostEntriesKept) out.lost_entries = lost_entries_;
  out.change_totals = by_change_.totals();
  out.stream_totals = stream_.totals;
  out.origin_totals = origin_.totals;
  for (std::size_t by = 0; by < 2; ++by) {
    const Judgements& way = by == 0 ? stream_ : origin_;
    for (std::size_t tier = 0; tier < way.parts.size(); ++tier)
      for (std::size_t level = 0; level < way.parts[tier].size(); ++level) {
        JudgedPart part = way.parts[tier][level];
        if (part.reads <= 0.0) continue;
        part.by_origin = by == 1;
        part.tier = static_cast<std::uint8_t>(tier);
        part.level = static_cast<std::uint8_t>(level);
        out.parts.push_back(part);
      }
  }
  out.not_judged = not_judged_;
}

}  // namespace candor
