#include "origin/concurrency_limit.h"

#include <algorithm>
#include <bit>

#include "base/assert.h"

namespace candor {
namespace {

// One statement that waited for a lock must not outvote the window.
constexpr double kRatioMax = 20.0;
// Where a shrinking limit aims: between the two thresholds.
constexpr double kShrinkTo = 1.75;
// Weights of a new sample: steady, yet a baseline follows a database, or a network, that has become slower
// within ten statements sent at the floor. One that was unlucky counts for no more than kUnluckyMax.
constexpr double kBaselineWeight = 1.0 / 16;
constexpr double kSlowerWeight = 1.0 / 4;
constexpr double kSlowerAbove = 2.0;
constexpr double kUnluckyMax = 4.0;

}  // namespace

ConcurrencyLimit::ConcurrencyLimit(Options options) : options_(options) {
  CANDOR_ASSERT(options_.ceiling > 0);
  options_.floor = std::clamp<std::uint32_t>(options_.floor, 1, options_.ceiling);
  // A quarter: a cold node does not begin with a stampede, and doubles to its cap within three windows.
  limit_ = options_.is_fixed ? options_.ceiling : std::max(options_.floor, options_.ceiling / 4);
  doubles_below_ = options_.ceiling;
}

void ConcurrencyLimit::adopt(Options options) {
  options_ = options;
  options_.floor = std::clamp<std::uint32_t>(options_.floor, 1, options_.ceiling);
  doubles_below_ = options_.ceiling;
  is_dipping_ = false;
  set(options_.is_fixed ? options_.ceiling : limit_);
}

std::uint32_t ConcurrencyLimit::index_of(Kind kind) {
  // 1, 2..7, 8..63, 64..511, more.
  const auto step = static_cast<std::uint32_t>(kind.keys <= 1 ? 0 : 1 + (std::bit_width(kind.keys) - 1) / 3);
  return (kind.feature % kFeaturesMax) * 8 + std::min(step, 7U);
}

void ConcurrencyLimit::on_sent(std::uint32_t in_flight, MonoTime now) {
  if (options_.is_fixed) return;
  if (answers_ + failures_ == 0 && now - since_ > 2 * kWindow) begin_window(now);  // idle time is no window
  in_flight_max_ = std::max(in_flight_max_, in_flight);
}

void ConcurrencyLimit::on_answered(Kind kind, Duration took, std::uint32_t in_flight_then, MonoTime now) {
  if (options_.is_fixed) return;
  const auto took_ns = static_cast<double>(std::max<std::int64_t>(1, took.count()));
  Baseline& baseline = baselines_[index_of(kind)];
  if (in_flight_then <= options_.floor) note_baseline(baseline, took_ns, now);
  ++answers_;
  if (baseline.samples >= kColdSamples + kBaselineSamples) {
    ++votes_;
    ratios_ += std::min(took_ns / baseline.mean_ns, kRatioMax);
  }
  if (now - since_ >= kWindow && answers_ + failures_ >= kSamplesMin) look(now);
}

void ConcurrencyLimit::on_failed(MonoTime now) {
  if (options_.is_fixed) return;
  ++failures_;
  if (now - since_ >= kWindow) look(now);
}

void ConcurrencyLimit::note_baseline(Baseline& baseline, double took_ns, MonoTime now) {
  ++baseline.samples;
  if (baseline.samples <= kColdSamples) return;
  const double seen = baseline.samples - kColdSamples;
  if (seen > kBaselineSamples) took_ns = std::min(took_ns, kUnluckyMax * baseline.mean_ns);
  const bool is_slower = took_ns > kSlowerAbove * baseline.mean_ns;
  baseline.mean_ns +=
      (took_ns - baseline.mean_ns) * std::max(1.0 / seen, is_slower ? kSlowerWeight : kBaselineWeight);
  baseline_at_ = now;
  if (is_dipping_ && (++dip_samples_ >= kDipSamples || now >= dip_until_)) {
    is_dipping_ = false;
    begin_window(now);
  }
}

// What the window says.
void ConcurrencyLimit::look(MonoTime now) {
  const bool was_reached = in_flight_max_ >= limit(now);
  if (is_dipping_) {
    // Its statements were sent at two limits: nothing to compare.
    if (now >= dip_until_) is_dipping_ = false;
  } else if (failures_ > 0) {
    doubles_below_ = std::max(doubles_below_, limit_);
    set(limit_ * kKeptOnFailure);
  } else if (votes_ > 0 && in_flight_max_ * 2 > limit(now)) {
    const double ratio = ratios_ / votes_;
    if (ratio > kShrinkAbove) {
      set(limit_ * std::max(0.5, kShrinkTo / ratio));
      // At the floor nothing is known of a knee: the way up is a new search.
      doubles_below_ = whole(limit_) <= options_.floor ? options_.ceiling : limit_;
    } else if (ratio < kGrowBelow && was_reached) {
      grow();
    }
  }
  // As for a vote: a baseline that is too high would keep what it grants for ever, reached or not.
  if (in_flight_max_ * 2 > limit(now)) dip_if_due(now, votes_ == 0 ? kFirstBaselineAge : kBaselineAge);
  begin_window(now);
}

void ConcurrencyLimit::grow() {
  if (limit_ < doubles_below_) return set(std::min(limit_ * 2, doubles_below_));
  set(limit_ + std::max(1.0, limit_ / 10));
}

void ConcurrencyLimit::set(double limit) {
  limit_ = std::clamp<double>(limit, options_.floor, options_.ceiling);
}

void ConcurrencyLimit::dip_if_due(MonoTime now, Duration age) {
  if (is_dipping_ || now - baseline_at_ < age || whole(limit_) <= options_.floor) return;
  is_dipping_ = true;
  is_dip_taken_ = false;
  dip_samples_ = 0;
  dip_until_ = now + kDipMax;
  baseline_at_ = now;  // not again at once, if nothing answers
}

void ConcurrencyLimit::begin_window(MonoTime now) {
  since_ = now;
  answers_ = failures_ = votes_ = 0;
  ratios_ = 0;
  in_flight_max_ = 0;
}

}  // namespace candor
