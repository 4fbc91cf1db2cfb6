#include "app/floor_log.h"

#include <fmt/format.h>

namespace candor::app {

void FloorLog::note(const FloorNews& news, MonoTime now) {
  if (lines_ == 0 || now - period_began_ >= kPeriod) {
    period_began_ = now;
    lines_ = 0;
  }
  if (lines_ >= kLinesMax) {
    ++unwritten_;
    return;
  }
  ++lines_;
  std::string line;
  if (news.settled) {
    line =
        fmt::format("origin {}: the floor has settled after {:.1f} s; what is loaded from now on is trusted",
                    news.origin, to_seconds(news.lasted));
  } else {
    const std::string what = news.feature.empty() ? std::string("everything") : "feature " + news.feature;
    line = fmt::format("origin {}: nothing loaded before now is trusted ({}): {}", news.origin, what,
                       news.reason);
  }
  if (unwritten_ > 0) line += fmt::format(" ({} lines like this were not written)", unwritten_);
  unwritten_ = 0;
  write_(!news.settled, line);
}

}  // namespace candor::app
