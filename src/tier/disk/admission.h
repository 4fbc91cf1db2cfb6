// What is worth a write to flash: a key that L1 has evicted before, lately, and within the budget of bytes.
//
// Each eviction of a key stands for at least one load of it since the last one, so that a second one within
// the sketch's memory is a load that the disk would have answered. What is read once and never again is never
// written. The budget is a token bucket of bytes: a scan of warm keys writes no faster than it fills.
// Pure. Thread safety: none.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/time.h"
#include "tier/l1/frequency_sketch.h"

namespace candor::disk {

class Admission {
 public:
  enum class Verdict : std::uint8_t { kAdmitted, kTooCold, kOverBudget };
  static constexpr unsigned kEvictionsLeast = 2;

  // `entries`: how many the sketch tells apart. `bytes_per_second` 0: without a budget.
  Admission(std::size_t entries, std::uint64_t bytes_per_second, MonoTime now)
      : rate_(static_cast<double>(bytes_per_second)), tokens_(rate_), filled_at_(now) {
    sketch_.set_entries(entries);
  }

  [[nodiscard]] Verdict judge(std::uint64_t hash, std::uint64_t bytes, MonoTime now) {
    sketch_.add(hash);
    if (sketch_.count(hash) < kEvictionsLeast) return Verdict::kTooCold;
    if (rate_ > 0) {
      fill(now);
      if (tokens_ < static_cast<double>(bytes)) return Verdict::kOverBudget;
      tokens_ -= static_cast<double>(bytes);
    }
    return Verdict::kAdmitted;
  }
  [[nodiscard]] std::size_t memory_bytes() const { return sketch_.memory_bytes(); }

 private:
  // A burst may use what one second gives.
  void fill(MonoTime now) {
    const double seconds = to_seconds(std::max(now - filled_at_, Duration::zero()));
    filled_at_ = std::max(filled_at_, now);
    tokens_ = std::min(rate_, tokens_ + rate_ * seconds);
  }

  l1::FrequencySketch sketch_;
  double rate_;
  double tokens_;
  MonoTime filled_at_;
};

}  // namespace candor::disk
