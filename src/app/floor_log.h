// Writes down each floor with its reason, and when it has settled. A stream that breaks again and again must
// not fill the disk: of one minute kLinesMax lines are written, and the next one says how many were not.
// Pure but for `write`. Thread safety: none; one owner.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "base/time.h"
#include "invalidation/applier.h"

namespace candor::app {

class FloorLog {
 public:
  // Of one period, for all origins together: a person reads ten lines, and their cause is in the first.
  static constexpr unsigned kLinesMax = 10;
  static constexpr Duration kPeriod = 1min;
  using Write = std::function<void(bool is_warning, const std::string& line)>;
  explicit FloorLog(Write write) : write_(std::move(write)) {}

  void note(const FloorNews& news, MonoTime now);

 private:
  Write write_;
  MonoTime period_began_{0};
  unsigned lines_ = 0;
  std::uint64_t unwritten_ = 0;
};

}  // namespace candor::app
