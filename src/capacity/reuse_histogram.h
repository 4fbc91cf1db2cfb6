// How often a key was accessed again at which distance: the miss-ratio curve of an LRU cache, for every size
// at once. Counts fade, so that the curve follows the load.
//
// Reads that the sample did not see are known in number (every read is counted elsewhere). The sample's own
// estimate of that number is off when very hot keys are in it or are not; the difference is reads of keys
// that any cache holds (the correction of SHARDS_adj, FAST'15). So: the ratio is misses over the true count.
//
// Thread safety: none. Pure.
#pragma once

#include <cstddef>
#include <vector>

namespace candor::capacity {

class ReuseHistogram {
 public:
  static constexpr unsigned kCoarse = 8;    // buckets an octave: steps of a tenth
  static constexpr unsigned kOctaves = 44;  // to 16 TiB
  explicit ReuseHistogram(unsigned per_octave = kCoarse)
      : per_octave_(per_octave), counts_(std::size_t{per_octave} * kOctaves) {}
  [[nodiscard]] static constexpr std::size_t bytes(unsigned per_octave) {
    return std::size_t{per_octave} * kOctaves * sizeof(double);
  }

  // `distance` at least 1; `weight`: reads that this one stands for.
  void add(double distance, double weight);
  // A read of a key that was not there at any size: read for the first time, or changed since.
  void add_cold(double weight) { cold_ += weight; }
  void fade(double factor);

  // Of what was added, how much would an LRU cache of this size have missed?
  [[nodiscard]] double misses(double size) const;
  [[nodiscard]] double cold() const { return cold_; }
  // From which size on would this part of what can hit hit? 0: nothing can.
  [[nodiscard]] double size_for(double part) const;

 private:
  [[nodiscard]] double place(double distance) const;
  [[nodiscard]] double edge(std::size_t bucket) const;

  unsigned per_octave_;
  std::vector<double> counts_;
  double counted_ = 0;
  double cold_ = 0;
};

}  // namespace candor::capacity
