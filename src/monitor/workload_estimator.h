// How a feature is read and changed, from the reads that were picked and the changes that were heard: bounded
// memory, hot keys exactly, weighted by reads, so that a key counts as it is read.
//
//   hot keys    Space-Saving (Metwally, Agrawal, El Abbadi 2005): the kHotKeys most read, with their own
//   rates. the rest    some reads of other keys are each watched for a while: how often is the key of a read
//   that was
//               picked at random read again, and changed? The mean over such reads is the read-weighted rate.
//
// Old figures fade with a half-life of kHalfLife. Pure: callers pass `now`. Thread safety: none.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "budget/workload.h"

namespace candor {

class WorkloadEstimator {
 public:
  static constexpr std::size_t kHotKeys = 64;
  static constexpr std::size_t kWatchedKeys = 512;
  static constexpr Duration kHalfLife = 5min;
  static constexpr Duration kWatchFor = 30s;

  // `key`: a hash. `weight`: reads that it stands for.
  void on_read(MonoTime now, std::uint64_t key, double weight);
  void on_change(MonoTime now, std::uint64_t key);
  // Once a second or so.
  void tick(MonoTime now);

  // `updates`: of one key where changes are not heard of, as the origin's answers say.
  [[nodiscard]] Workload workload(std::optional<double> updates = std::nullopt) const;

 private:
  struct Hot {
    double reads = 0.0;
    double error = 0.0;  // at most this many of them are another key's, which it displaced
    double changes = 0.0;
    double seconds = 0.0;  // it was counted for
  };
  struct Watch {
    MonoTime until{0};
    double weight = 0.0;  // of the read that it was picked by
    double reads = 0.0;
    double changes = 0.0;
  };

  std::unordered_map<std::uint64_t, Hot> hot_;
  std::unordered_map<std::uint64_t, Watch> watched_;
  double reads_ = 0.0, changes_ = 0.0, seconds_ = 0.0;
  // Of watches that are over: sums over weight.
  double rest_weight_ = 0.0, rest_reads_ = 0.0, rest_changes_ = 0.0;
  MonoTime ticked_{0};
};

}  // namespace candor
