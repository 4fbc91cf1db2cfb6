// How many reads were judged, and how many of them were too stale, over windows that slide: the last five
// minutes, the last hour, the last thirty days. Pure: no clock; callers pass `now`.
//
// A window's reads are kept in a ring of buckets. Several windows share a ring as long as its buckets are
// fine enough for the shortest and few enough for the longest; the standard windows (5 min … 30 days) take
// three rings of 361 buckets (10 s, 12 min, 2 h), about 43 KiB.
//
// Invariants
//   - sum(now, window) holds nothing that was added more than `window` ago, and everything that was added
//     less than `window` less one bucket ago: an incident leaves on time, and never all at once with a day.
//   - A ring holds its buckets' sums and no running total: nothing drifts in thirty days of additions and
//     subtractions.
// Thread safety: none; one owner.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/blob.h"
#include "base/time.h"
#include "monitor/tally.h"

namespace candor {

class BudgetWindows {
 public:
  // `windows`: ascending, each at least kShortest. Causes are kept for the last one alone: it is what people
  // ask "why" about, and it saves two thirds of the memory.
  explicit BudgetWindows(std::span<const Duration> windows);

  // A bucket is at least a second: reads are judged in spans of that order.
  static constexpr Duration kBucketLeast = 1s;
  static constexpr Duration kShortest = 10s;

  // `now` that lies before an earlier one counts as that one.
  void add(MonoTime now, const Tally& tally);
  // The last `window`, one of the constructor's.
  [[nodiscard]] Tally sum(MonoTime now, Duration window) const;
  // How far sum() may be short of its window.
  [[nodiscard]] Duration bucket(Duration window) const;
  [[nodiscard]] std::size_t bytes() const;

  void save(BlobWriter& out) const;
  // From what save() of the same windows wrote; `now` is the time that was now. Anything that cannot have
  // been written fails the reader, and this is then to be thrown away.
  void restore(BlobReader& in, MonoTime now);

 private:
  struct Bucket {
    double reads = 0.0, stale = 0.0, squares = 0.0;
  };
  using Causes = std::array<double, kStaleCauses>;
  struct Ring {
    Duration width{0};
    Duration longest{0};
    std::int64_t head = -1;  // number of the newest bucket: time / width; -1: nothing was added
    std::vector<Bucket> buckets;
    std::vector<Causes> causes;  // empty, or as many

    [[nodiscard]] std::size_t place(std::int64_t number) const {
      return static_cast<std::size_t>(number) % buckets.size();
    }
    void advance(std::int64_t number);
    void add(MonoTime now, const Tally& tally);
    // Calls `visit(place)` for each bucket that began within `window` before `now`.
    template <class Visit>
    void each(MonoTime now, Duration window, Visit visit) const;
    void save(BlobWriter& out) const;
    void restore(BlobReader& in, MonoTime now);
  };
  [[nodiscard]] const Ring& ring_of(Duration window) const;

  std::vector<Ring> rings_;  // by `longest`
};

}  // namespace candor
