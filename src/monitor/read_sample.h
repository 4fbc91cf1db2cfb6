// A small random part of all reads, for whoever looks into the node: hot keys, what happened to a key. So
// many a second for the node as a whole, shared among the features that are read; what busy ones give up
// quiet ones keep.
//
// Invariants
//   - At most kWaitingMax sightings wait in one slot; beyond it they are counted, and the others of the batch
//     stand for them.
// Thread safety: take() and chance() from any thread; the rest on one executor.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/counters.h"
#include "base/mutex.h"
#include "base/time.h"
#include "cache/read_tap.h"
#include "monitor/paced_chance.h"

namespace candor {

// A read that was picked, as SampledRead says.
struct SightedRead {
  FeatureId feature;
  std::string key;
  std::size_t value_bytes = 0;
  bool negative = false;
  bool degraded = false;
  Tier tier{};
  Consistency level{};
  StampBound stamp;
  l1::Millis loaded_at = 0, at = 0, fresh_within = -1;
  double weight = 1.0;  // reads that it stands for
};

class ReadSample final : public ReadTap {
 public:
  // Of all features together. A key with a hundredth of the reads is then seen 17,000 times in the minute
  // that a HotList looks back on: its rate is known within 2 %. About 150 ns each: less than a thousandth of
  // a core.
  static constexpr double kReadsPerSecond = 2000.0;
  static constexpr std::size_t kWaitingMax = 1024;
  // A feature that nobody has read: its first reads are all seen. A burst after it is met with this chance
  // for one drain, in which kWaitingMax bounds what it costs.
  static constexpr double kFirstChance = 1.0;

  explicit ReadSample(std::size_t features_max);

  void take(const SampledRead& read) override;
  [[nodiscard]] double chance(FeatureId feature) const override;

  // What was taken since the last call, `since` ago, with weights; sets the chances from now on.
  [[nodiscard]] std::vector<SightedRead> drain(Duration since);
  [[nodiscard]] std::uint64_t left_out() const { return left_out_total_; }

 private:
  struct alignas(64) Slot {
    Mutex mutex;
    std::vector<SightedRead> reads CANDOR_GUARDED_BY(mutex);
    std::vector<std::uint32_t> left_out CANDOR_GUARDED_BY(mutex);  // by feature
  };
  void pace(const std::vector<double>& seen, double seconds);

  std::vector<PacedChance> chances_;  // by feature
  std::array<Slot, kCounterSlots> slots_;
  double active_ = 1.0;  // features that are read, as of late
  std::uint64_t left_out_total_ = 0;
};

}  // namespace candor
