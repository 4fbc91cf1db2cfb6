// Where a small random part of the reads is shown to whoever measures staleness. The hit path pays one
// countdown for each read; only a read whose turn it is costs more.
//
// Sampling is by gaps that are drawn from the geometric distribution: every read is picked with the same
// chance, whatever came before it, so that what is picked is a simple random sample of the feature's reads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/ids.h"
#include "tier/l1/entry_view.h"

namespace candor {

enum class Tier : std::uint8_t;
enum class Consistency : std::uint8_t;

// One read as it was answered. Borrowed bytes: valid during the call.
struct SampledRead {
  FeatureId feature;
  std::string_view key;
  std::string_view value;
  bool negative = false;
  Tier tier{};
  Consistency level{};
  bool degraded = false;     // past its ttl, because the origin failed
  StampBound stamp;          // of the load that the value came from
  l1::Millis loaded_at = 0;  // when that load began
  l1::Millis at = 0;         // of the read, as the hit path's clock says it
  // How long ago it can have been superseded, at most; -1: nothing was proven when it was read.
  l1::Millis fresh_within = -1;
};

class ReadTap {
 public:
  virtual ~ReadTap() = default;
  // Any thread; short; must not call the cache.
  virtual void take(const SampledRead& read) = 0;
  // Of a read of this feature to be taken. Any thread.
  [[nodiscard]] virtual double chance(FeatureId feature) const = 0;
};

// Which read of which feature is the next to be taken, for each thread. Owned by one cache; a thread that
// reads from several caches in turn begins its gaps anew with each change, which a distribution without
// memory allows.
class ReadLanes {
 public:
  // `seed`: of the gaps. `features`: numbers below it have a lane.
  ReadLanes(const ReadTap* tap, std::size_t features, std::uint64_t seed);
  ReadLanes(const ReadLanes&) = delete;
  ReadLanes& operator=(const ReadLanes&) = delete;

  // Is it this read's turn? About a nanosecond when it is not.
  [[nodiscard]] bool is_due(FeatureId feature) {
    OfThread& mine = of_thread_;
    if (mine.owner != serial_.load(std::memory_order_relaxed)) [[unlikely]]
      enter();
    if (--mine.lanes[feature.value].left != 0) [[likely]]
      return false;
    return end_of_gap(feature);
  }

  // Every thread draws its gaps anew at its next read, which a distribution without memory allows: a chance
  // that was near zero, whose gaps are long, is noticed at once. Any thread.
  void redraw();

  // A longer gap is cut here, and drawn anew without taking a read: a chance that has risen meanwhile is
  // noticed.
  static constexpr std::uint32_t kGapMax = 1U << 16;
  struct Lane {
    std::uint32_t left = 0;
    bool is_cut = false;
  };

 private:
  struct OfThread {
    std::uint64_t owner = 0;
    Lane* lanes = nullptr;
  };
  static constinit thread_local OfThread of_thread_;

  void enter();
  [[nodiscard]] bool end_of_gap(FeatureId feature);
  void draw(FeatureId feature, Lane* lane);

  const ReadTap* tap_;
  std::size_t features_;
  std::uint64_t seed_;
  std::atomic<std::uint64_t> serial_;  // never given out twice in a process: addresses are
  std::atomic<std::uint64_t> draws_{0};
};

// Reads from one that is taken to the next, this one counted: geometric, at least 1; 0: longer than `max`.
[[nodiscard]] std::uint32_t gap_of(double chance, std::uint64_t draw, std::uint32_t max);

}  // namespace candor
