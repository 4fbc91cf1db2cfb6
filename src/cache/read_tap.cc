#include "cache/read_tap.h"

#include <cmath>
#include <vector>

#include "base/random.h"

namespace candor {

namespace {

// Gives a thread's lanes back when the thread ends. Apart from the words that the hit path reads: these need
// no construction, so that reading them is one instruction.
thread_local std::vector<ReadLanes::Lane> lanes_of_thread;

std::uint64_t next_serial() {
  static std::atomic<std::uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

constinit thread_local ReadLanes::OfThread ReadLanes::of_thread_{};

std::uint32_t gap_of(double chance, std::uint64_t draw, std::uint32_t max) {
  if (chance >= 1.0) return 1;
  if (!(chance > 0.0)) return 0;
  const double u = (static_cast<double>(draw >> 11) + 0.5) * 0x1.0p-53;
  const double gap = std::ceil(std::log(u) / std::log1p(-chance));
  if (gap > static_cast<double>(max)) return 0;
  return gap < 1.0 ? 1 : static_cast<std::uint32_t>(gap);
}

ReadLanes::ReadLanes(const ReadTap* tap, std::size_t features, std::uint64_t seed)
    : tap_(tap), features_(features), seed_(seed), serial_(next_serial()) {}

void ReadLanes::enter() {
  lanes_of_thread.assign(features_, Lane{});
  of_thread_ = OfThread{serial_.load(std::memory_order_relaxed), lanes_of_thread.data()};
  for (std::size_t i = 0; i < features_; ++i)
    draw(FeatureId{static_cast<std::uint16_t>(i)}, &lanes_of_thread[i]);
}

void ReadLanes::redraw() { serial_.store(next_serial(), std::memory_order_relaxed); }

bool ReadLanes::end_of_gap(FeatureId feature) {
  Lane& lane = of_thread_.lanes[feature.value];
  const bool takes = !lane.is_cut;
  draw(feature, &lane);
  return takes;
}

void ReadLanes::draw(FeatureId feature, Lane* lane) {
  const std::uint64_t number = draws_.fetch_add(1, std::memory_order_relaxed);
  const std::uint32_t gap = gap_of(tap_->chance(feature), mix64(seed_ + number), kGapMax);
  *lane = gap == 0 ? Lane{kGapMax, true} : Lane{gap, false};
}

}  // namespace candor
