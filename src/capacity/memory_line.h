// How much may L1 hold, so that the process stays below its line? Memory below 80 % by design: the line is
// the lower of the limit that somebody set for the process (a cgroup's) and the machine's memory, and from 80
// % of it on the tier gives back, before the kernel does so by force.
//
// What is outside of L1 (connections, loads, libraries) is not ours to shrink: L1 gives what is missing. It
// gives at once and takes back slowly, or it would swing.
//
// Thread safety: none. Pure: callers bring what the system says, and times.
#pragma once

#include <cstddef>
#include <optional>

#include "base/time.h"

namespace candor::capacity {

struct MemorySeen {
  std::size_t limit = 0;  // of the process, by cgroup or machine; 0: not known, then nothing is done
  std::size_t used = 0;   // counted against that limit, without what the kernel can drop at once
  double stalled = 0;     // part of the last 10 s that somebody waited for memory (PSI some avg10), 0 … 1
};

class MemoryLine {
 public:
  explicit MemoryLine(std::size_t l1_limit) : l1_limit_(l1_limit), allowed_(l1_limit) {}

  static constexpr double kWatermark = 0.8;
  static constexpr double kCalm = 0.75;          // grows back below this part of the limit only
  static constexpr double kStalledMax = 0.10;    // waiting for memory a tenth of the time is pressure
  static constexpr Duration kGrowPeriod = 10s;   // between two steps back
  static constexpr std::size_t kGrowPart = 32;   // a step, of L1's own limit
  static constexpr std::size_t kLeastPart = 16;  // of its limit L1 keeps, whatever comes

  static constexpr std::size_t kHeldRoomPart = 50;  // of its limit L1 may still grow while it is held

  // L1's limit from now on. `l1_used`: what it holds.
  std::size_t decide(const MemorySeen& seen, std::size_t l1_used, MonoTime now);

  // Between two decisions: above the watermark L1 may not grow.
  std::size_t hold(const MemorySeen& seen, std::size_t l1_used);

  [[nodiscard]] std::size_t allowed() const { return allowed_; }
  // Less than configured because of others.
  [[nodiscard]] bool is_pressed() const { return allowed_ < l1_limit_; }
  // 0: far from the line, 1: at the watermark, above it 1 and more.
  [[nodiscard]] double pressure() const { return pressure_; }

 private:
  std::size_t l1_limit_;
  std::size_t allowed_;
  double pressure_ = 0;
  MonoTime changed_at_{0};
};

}  // namespace candor::capacity
