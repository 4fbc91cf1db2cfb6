// Which loads are under way, by when they began: a marker may retire only when no load from before its change
// became visible can still store. Pure; belongs to the cache's home executor.
#pragma once

#include <cstdint>
#include <map>

#include "base/time.h"

namespace candor {

class LoadsUnderWay {
 public:
  // Lives as long as the load may still store what it brought.
  class Ticket {
   public:
    Ticket(LoadsUnderWay* loads, MonoTime now) : loads_(loads), number_(++loads->last_) {
      loads->began_.emplace_hint(loads->began_.end(), number_, now);
    }
    ~Ticket() { loads_->began_.erase(number_); }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

   private:
    LoadsUnderWay* loads_;
    std::uint64_t number_;
  };

  // True if every load under way began at or after `when`.
  [[nodiscard]] bool all_since(MonoTime when) const {
    return began_.empty() || began_.begin()->second >= when;
  }
  [[nodiscard]] std::size_t size() const { return began_.size(); }

 private:
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, MonoTime> began_;  // by number, which is the order of beginning
};

}  // namespace candor
