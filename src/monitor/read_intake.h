// Takes the reads that the hit path shows, on the reader's thread, and hands them over in batches. How many
// are taken follows the traffic: all of a quiet feature, a bounded number each second of a busy one; of one
// of which its owner wants a larger part checked, that part, within a bound of its own.
//
// Invariants
//   - At most kWaitingMax reads wait in one slot; beyond it they are counted and left out, and the others of
//   the
//     batch stand for them.
// Thread safety: take() and chance() from any thread; the rest on the monitor's executor.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/counters.h"
#include "base/mutex.h"
#include "base/random.h"
#include "cache/read_tap.h"
#include "monitor/picked_read.h"

namespace candor {

class ReadIntake final : public ReadTap {
 public:
  // Of one feature, each second: the interval of a fraction of 0.001 over a minute is then ± 0.00025.
  static constexpr double kReadsPerSecond = 1000.0;
  // Of those that are to be checked. More would be picked at the readers' cost to no end: a question is asked
  // of the origin for a few of them each second, and ten thousand judged reads a second leave an interval
  // that is narrower than any budget.
  static constexpr double kCheckedPerSecond = 10'000.0;
  static constexpr std::size_t kWaitingMax = 1U << 12;
  // More than this between two drains: the traffic has grown, and the chance does not wait for set_rate().
  static constexpr double kDrainedMax = 500.0;

  ReadIntake(std::size_t features_max, std::uint64_t seed);

  void take(const SampledRead& read) override;
  [[nodiscard]] double chance(FeatureId feature) const override;

  // Is it measured at all, and what part of its reads is to be checked against the origin?
  void watch(FeatureId feature, double checked);
  // The feature's reads of late: sets the chance from now on. It falls at once and rises by steps: a burst
  // after a quiet second is met with the chance of before.
  void set_rate(FeatureId feature, double reads_per_second);
  // What was taken since the last call, with weights, by time.
  [[nodiscard]] std::vector<PickedRead> drain();
  [[nodiscard]] std::uint64_t left_out() const { return left_out_total_; }
  [[nodiscard]] std::uint64_t key_hash(FeatureId feature, std::string_view key) const;
  [[nodiscard]] std::uint64_t feature_hash(FeatureId feature) const;

 private:
  struct Rate {
    std::atomic<double> chance{0.0};
    double checked = 0.0;  // written before traffic and by reload, read at drain()
    double least = 0.0;    // that chance: `checked`, within kCheckedPerSecond
  };
  struct alignas(64) Slot {
    Mutex mutex;
    std::vector<PickedRead> reads CANDOR_GUARDED_BY(mutex);
    std::vector<std::uint64_t> left_out CANDOR_GUARDED_BY(mutex);  // by feature
  };

  std::uint64_t seed_;
  std::vector<Rate> rates_;  // by feature
  std::array<Slot, kCounterSlots> slots_;
  Random random_;
  std::uint64_t left_out_total_ = 0;
};

}  // namespace candor
