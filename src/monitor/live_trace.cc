#include "monitor/live_trace.h"

#include <algorithm>
#include <utility>

#include "base/glob.h"

namespace candor {

namespace {

using Kind = TraceEvent::Kind;

std::string_view outcome_name(FillOutcome outcome) {
  switch (outcome) {
    case FillOutcome::kStored:
      return "stored";
    case FillOutcome::kFenced:
      return "fenced";
    case FillOutcome::kRejected:
      return "rejected";
  }
  return "unknown";
}

bool is_read(Kind kind) { return kind == Kind::kHit || kind == Kind::kMiss; }

}  // namespace

std::string_view trace_kind_name(Kind kind) {
  switch (kind) {
    case Kind::kHit:
      return "hit";
    case Kind::kMiss:
      return "miss";
    case Kind::kFill:
      return "fill";
    case Kind::kInvalidation:
      return "invalidation";
    case Kind::kChange:
      return "change";
  }
  return "unknown";
}

bool TraceFilter::passes(const TraceEvent& event) const {
  if (feature && event.feature != *feature && !event.of_all_features) return false;
  if (!kinds.empty() && std::ranges::find(kinds, event.kind) == kinds.end()) return false;
  if (!key_glob.empty() && !event.of_all_keys && !glob_match(key_glob, event.key)) return false;
  if (!outcome.empty() && event.outcome != outcome) return false;
  const bool asks_of_reads = tier || slower > Duration::zero() || staler >= Duration::zero();
  if (!asks_of_reads) return true;
  if (!is_read(event.kind)) return false;
  if (tier && event.tier != *tier) return false;
  if (slower > Duration::zero() && event.took <= slower) return false;
  // What is not proven at all is not proven to be fresh enough.
  return staler < Duration::zero() || !event.fresh_within || *event.fresh_within > staler;
}

LiveTrace::LiveTrace(std::size_t features_max, const Clock* clock) : clock_(clock), chances_(features_max) {}

double LiveTrace::chance(FeatureId feature) const {
  return feature.value < chances_.size() ? chances_[feature.value].get() : 0.0;
}

// The highest that a watcher asks for, of each feature: a watcher of one feature costs the others nothing.
void LiveTrace::set_chances() {
  watched_.store(!watchers_.empty(), std::memory_order_relaxed);
  for (std::size_t i = 0; i < chances_.size(); ++i) {
    double most = 0.0;
    for (const auto& [id, watcher] : watchers_) {
      const TraceFilter& filter = watcher.filter;
      const bool wants_hits =
          filter.kinds.empty() || std::ranges::find(filter.kinds, Kind::kHit) != filter.kinds.end();
      const bool may_pass = !filter.tier || *filter.tier == Tier::kL1;
      if (!wants_hits || !may_pass || filter.slower > Duration::zero()) continue;
      if (filter.feature && filter.feature->value != i) continue;
      most = std::max(most, filter.sample.value_or(paced_.get()));
    }
    chances_[i].set(most);
  }
}

std::optional<std::uint64_t> LiveTrace::open(TraceFilter filter, double first) {
  const MutexLock lock(mutex_);
  if (watchers_.size() >= kWatchersMax) return std::nullopt;
  if (watchers_.empty()) {
    paced_.set(first);
    drawn_with_ = first;
    paced_at_ = clock_->now();
    hits_looked_at_.store(0, std::memory_order_relaxed);
  } else if (!filter.sample) {
    // Watchers who want no hits may have let it grow to "all of them".
    paced_.set(std::min(paced_.get(), first));
    drawn_with_ = paced_.get();
  }
  const std::uint64_t id = next_++;
  watchers_[id].filter = std::move(filter);
  set_chances();
  return id;
}

void LiveTrace::close(std::uint64_t watcher) {
  const MutexLock lock(mutex_);
  watchers_.erase(watcher);
  set_chances();
}

LiveTrace::Taken LiveTrace::take(std::uint64_t watcher) {
  Taken out;
  const MutexLock lock(mutex_);
  const auto it = watchers_.find(watcher);
  if (it == watchers_.end()) return out;
  out.events.assign(std::move_iterator(it->second.waiting.begin()),
                    std::move_iterator(it->second.waiting.end()));
  it->second.waiting.clear();
  out.left_out = std::exchange(it->second.left_out, 0);
  out.sample = it->second.filter.sample.value_or(paced_.get());
  return out;
}

bool LiveTrace::pace() {
  const MutexLock lock(mutex_);
  const MonoTime now = clock_->now();
  const double seconds = to_seconds(now - paced_at_);
  const auto looked = static_cast<double>(hits_looked_at_.exchange(0, std::memory_order_relaxed));
  paced_at_ = now;
  if (watchers_.empty() || seconds <= 0.0) return false;
  paced_.pace(looked, kHitsPerSecond * seconds, 1.0);
  set_chances();
  const double chance = paced_.get();
  const bool has_risen = chance >= 2.0 * drawn_with_ || (chance >= 1.0 && drawn_with_ < 1.0);
  if (has_risen || chance < drawn_with_) drawn_with_ = chance;
  return has_risen;
}

void LiveTrace::offer(const TraceEvent& event) {
  const MutexLock lock(mutex_);
  for (auto& [id, watcher] : watchers_)
    if (watcher.filter.passes(event)) offer(watcher, event);
}

void LiveTrace::offer(Watcher& watcher, const TraceEvent& event) {
  if (event.at - watcher.second >= 1s) {
    watcher.second = event.at;
    watcher.in_second = 0;
  }
  if (watcher.waiting.size() >= kWaitingMax || watcher.in_second >= watcher.filter.rate) {
    ++watcher.left_out;
    left_out_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  ++watcher.in_second;
  watcher.waiting.push_back(event);
}

TraceEvent LiveTrace::event(Kind kind, KeyRef key) const {
  TraceEvent one;
  one.kind = kind;
  one.at = clock_->now();
  one.feature = key.feature;
  one.key = key.key;
  return one;
}

// Reads that left L1 are told by on_answered(), all of them.
void LiveTrace::take(const SampledRead& read) {
  if (!is_watched() || read.tier != Tier::kL1 || read.degraded) return;
  hits_looked_at_.fetch_add(1, std::memory_order_relaxed);
  TraceEvent one = event(Kind::kHit, KeyRef{read.feature, read.key});
  one.tier = read.tier;
  one.level = read.level;
  one.outcome = read.negative ? "absent" : "value";
  one.age = std::chrono::milliseconds(read.at - read.loaded_at);
  if (read.fresh_within >= 0) one.fresh_within = std::chrono::milliseconds(read.fresh_within);
  one.value_bytes = read.value.size();
  one.id = read.stamp.up_to;
  offer(one);
}

void LiveTrace::on_answered(KeyRef key, const AnsweredRead& read) {
  if (!is_watched()) return;
  TraceEvent one = event(Kind::kMiss, key);
  one.tier = read.tier;
  one.level = read.level;
  one.took = read.took;
  one.in_l2 = read.in_l2;
  one.in_origin = read.in_origin;
  one.age = read.age;
  one.fresh_within = read.fresh_within;
  one.value_bytes = read.value_bytes;
  one.outcome = !read.error.empty()        ? "error"
                : read.degraded != nullptr ? "degraded"
                : read.negative            ? "absent"
                                           : "value";
  one.reason = !read.error.empty() ? read.error : read.degraded != nullptr ? read.degraded : "";
  offer(one);
}

void LiveTrace::on_load(KeyRef key, Duration took, bool ok) {
  if (!is_watched() || ok) return;  // what came of a good one is told by on_fill()
  TraceEvent one = event(Kind::kFill, key);
  one.tier = Tier::kOrigin;
  one.outcome = "failed";
  one.took = took;
  offer(one);
}

void LiveTrace::on_fill(KeyRef key, Stamp stamp, FillOutcome outcome) {
  if (!is_watched()) return;
  TraceEvent one = event(Kind::kFill, key);
  one.tier = Tier::kOrigin;
  one.outcome = outcome_name(outcome);
  one.id = stamp.up_to;
  offer(one);
}

void LiveTrace::on_l2_hit(KeyRef key, Stamp stamp, Duration age, FillOutcome outcome) {
  if (!is_watched()) return;
  TraceEvent one = event(Kind::kFill, key);
  one.tier = Tier::kL2;
  one.outcome = outcome_name(outcome);
  one.id = stamp.up_to;
  one.age = age;
  offer(one);
}

void LiveTrace::on_invalidate(KeyRef key, const char* cause) {
  if (!is_watched() || std::string_view(cause) == "change") return;
  TraceEvent one = event(Kind::kInvalidation, key);
  one.outcome = cause;
  offer(one);
}

void LiveTrace::on_invalidate_feature(std::optional<FeatureId> feature) {
  if (!is_watched()) return;
  TraceEvent one = event(Kind::kInvalidation, KeyRef{feature.value_or(FeatureId{0}), {}});
  one.of_all_keys = true;
  one.of_all_features = !feature;
  one.outcome = "everything";
  offer(one);
}

void LiveTrace::on_change_applied(FeatureId feature, std::optional<std::string_view> key,
                                  const Change& change) {
  if (!is_watched()) return;
  TraceEvent one = event(Kind::kChange, KeyRef{feature, key.value_or(std::string_view{})});
  one.of_all_keys = !key;
  one.outcome = "applied";
  one.id = change.id;
  one.position = change.position;
  if (change.committed.ns != 0)
    one.age = Duration{std::max<std::int64_t>(0, clock_->wall().ns - change.committed.ns)};
  offer(one);
}

}  // namespace candor
