// What more or less memory would do, learned from the accesses of a sample of the keys
// (tier/l1/access_log.h): LRU's miss-ratio curve of each feature and of all (sampled_stacks.h), and what L1's
// own policy would miss at other sizes (miniature.h). Bounded in memory and in work: the sample shrinks when
// either is too much.
//
// What counts as a miss: a read of a key that a cache of that size would not have held. A key that was erased
// or has expired since is held by none: no memory helps against changes.
//
// Invariants
//   - memory_bytes() stays below Options::memory, but for kMemoryMin.
// Thread safety: none. Pure: callers bring accesses and times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_set>
#include <vector>

#include "base/time.h"
#include "capacity/miniature.h"
#include "capacity/reuse_histogram.h"
#include "capacity/sampled_stacks.h"
#include "tier/l1/access_log.h"

namespace candor::capacity {

class CapacityModel {
 public:
  struct Options {
    std::size_t memory = std::size_t{2} << 20;
    std::size_t features = 1;
    Duration half_life = 30min;             // of what was counted
    double records_per_second_max = 5'000;  // each costs up to two microseconds: a hundredth of a core
    l1::PolicyKind policy = l1::PolicyKind::kDefault;
    std::uint64_t seed = 0;
  };
  // `log`: is told which keys to follow; outlives this.
  CapacityModel(const Options& options, l1::AccessLog* log);

  // Bytes of entries that L1 holds when it is full, as it is now.
  void set_capacity(double entry_bytes);
  // A feature is followed from here on, or not (what never reads L1 has no curve). `grace`: entries stay in
  // L1 so long after they may not be served any more.
  void follow(FeatureId feature, bool is_followed, Duration grace);
  // True counts since the last call: reads, and of these what L1 answered.
  void count(FeatureId feature, std::uint64_t reads, std::uint64_t hits);
  void take(std::span<const l1::Access> accesses, l1::Millis now);
  // After each take(), every 100 ms or so: fading, and the sample's size.
  void settle(MonoTime now);

  struct Estimate {
    double reads = 0;                                 // faded
    double seconds = 0;                               // that `reads` stand for
    double hit_ratio = 0;                             // as counted
    std::array<double, kFactors.size()> predicted{};  // hit ratio of L1's policy at these sizes
    double cold = 0;                                  // part of the reads that misses at every size
    double working_set_bytes = 0;                     // LRU holds 99 % of what can hit
    double rate = 0;                                  // of the keys that are followed
    std::size_t keys = 0;
  };
  [[nodiscard]] Estimate of(FeatureId feature) const;
  [[nodiscard]] Estimate of_all() const;
  // LRU's miss ratio with so much for entries.
  [[nodiscard]] double lru_miss_ratio(FeatureId feature, double bytes) const;
  [[nodiscard]] double lru_miss_ratio_of_all(double bytes) const;
  [[nodiscard]] double lru_miss_ratio_of_all_by_objects(double objects) const;

  [[nodiscard]] double capacity() const { return capacity_; }
  [[nodiscard]] std::size_t memory_bytes() const;
  [[nodiscard]] std::size_t keys() const { return stacks_.size(); }
  [[nodiscard]] std::size_t keys_max() const { return stacks_.keys_max(); }
  [[nodiscard]] double records_per_second() const { return records_per_second_; }
  [[nodiscard]] std::size_t features() const { return features_.size(); }
  void check_invariants() const;

  // Below this nothing useful comes out: some hundred keys.
  static constexpr std::size_t kMemoryMin = 320'000;
  // Forgotten beyond this many times the memory that L1 has: more than the largest factor.
  static constexpr double kDepth = 4.5;

 private:
  struct Feature {
    ReuseHistogram bytes;
    double reads = 0, hits = 0;  // true counts, faded
    // Reads that would have been placed, had all been recorded and known: of the true count, so that what
    // the sample happens to hold of the hottest keys cancels out.
    [[nodiscard]] double placed_reads() const {
      const double sampled = placed + unplaced;
      return std::max(sampled > 0 ? reads * placed / sampled : reads, 1.0);
    }
    // Reads of keys that were in L1 before they were followed, and reads whose record was lost: neither hits
    // nor misses of any size.
    double unplaced = 0;
    double placed = 0;       // the other recorded reads
    std::uint64_t lost = 0;  // of the log's lost_reads(), taken into account
    bool is_followed = false;
    l1::Millis grace = 0;
    double mean_bytes = 128;
    std::uint64_t records = 0;  // since the last look
  };

  [[nodiscard]] static std::size_t keys_for(const Options& options);
  void read(const l1::Access& access, l1::Millis now);
  void read_known(const l1::Access& access, SampledStacks::Key& key);
  void read_unknown(const l1::Access& access);
  void store(const l1::Access& access);
  void forget(const l1::Access& access);
  bool make_room(std::uint64_t hash, FeatureId feature);
  void change_rate(FeatureId feature, double factor);
  void trim();
  void count_lost();
  void count_cold(FeatureId feature, double scale);
  void raise_rates();
  void watch(FeatureId feature);
  [[nodiscard]] FeatureId largest() const;
  [[nodiscard]] FeatureId busiest() const;
  [[nodiscard]] double placed_reads_of_all() const;
  [[nodiscard]] Estimate estimate(const ReuseHistogram& curve, double reads, double hits,
                                  double placed) const;

  Options options_;
  l1::AccessLog* log_;
  SampledStacks stacks_;
  Miniature miniature_;
  std::vector<std::unique_ptr<Feature>> features_;
  ReuseHistogram all_bytes_, all_objects_;
  double capacity_ = 0;
  double seconds_ = 0;  // faded: how long the counts stand for
  // Something lay too deep already: a key that L1 has and nobody here knows was there before.
  bool has_trimmed_ = false;
  MonoTime settled_at_{0}, faded_at_{0}, looked_at_{0}, raised_at_{0};
  // Of one take(): reads and fills of one key come over different threads, in no order.
  std::unordered_set<std::uint64_t> missed_;      // unknown keys, of which a fill may follow
  std::unordered_set<std::uint64_t> overtaking_;  // fills of keys that were unknown and not asked for yet
  std::uint64_t records_ = 0;                     // since the last look; with those that were lost
  std::uint64_t dropped_ = 0;                     // of the log's, taken into account
  double records_per_second_ = 0;
};

}  // namespace candor::capacity
