#include "capacity/memory_line.h"

#include <algorithm>

namespace candor::capacity {

std::size_t MemoryLine::decide(const MemorySeen& seen, std::size_t l1_used, MonoTime now) {
  const std::size_t least = l1_limit_ / kLeastPart;
  if (seen.limit == 0) {
    pressure_ = 0;
    return allowed_ = l1_limit_;
  }
  const double line = kWatermark * static_cast<double>(seen.limit);
  pressure_ = static_cast<double>(seen.used) / line;
  const bool is_stalled = seen.stalled > kStalledMax && pressure_ > kCalm;
  if (pressure_ > 1.0 || is_stalled) {
    const double over = std::max(static_cast<double>(seen.used) - line,
                                 is_stalled ? static_cast<double>(l1_limit_) / kGrowPart : 0.0);
    // From what it holds, not from what it may: while it still shrinks, what it has yet to give counts once.
    const double wanted = static_cast<double>(l1_used) - over;
    allowed_ = std::clamp(static_cast<std::size_t>(std::max(0.0, wanted)), least, allowed_);
    changed_at_ = now;
    return allowed_;
  }
  const bool is_calm = static_cast<double>(seen.used) < kCalm * static_cast<double>(seen.limit);
  if (allowed_ < l1_limit_ && is_calm && now - changed_at_ >= kGrowPeriod) {
    allowed_ = std::min(l1_limit_, allowed_ + l1_limit_ / kGrowPart);
    changed_at_ = now;
  }
  return allowed_;
}

std::size_t MemoryLine::hold(const MemorySeen& seen, std::size_t l1_used) {
  const bool is_above = static_cast<double>(seen.used) > kWatermark * static_cast<double>(seen.limit);
  // Not to the byte: what L1 holds goes up and down a little, and each time down would stay.
  const std::size_t held = l1_used + l1_limit_ / kHeldRoomPart;
  if (seen.limit != 0 && is_above) allowed_ = std::min(allowed_, std::max(held, l1_limit_ / kLeastPart));
  return allowed_;
}

}  // namespace candor::capacity
