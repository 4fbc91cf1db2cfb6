// How long a commit takes to reach every node's L1: from the moment in which the origin shows it to the
// moment in which the last node has applied it. True time, of which nobody in the simulation knows.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sim/event_queue.h"
#include "sim/history.h"

namespace candor::sim {

class Spread {
 public:
  explicit Spread(std::size_t nodes) : nodes_(nodes) {}
  // A node applied a change of `name` ("feature:key").
  void note(std::size_t node, std::string_view name, TrueTime at);

  // Of each commit that every node has applied, in nanoseconds. Left out: what a failover put back, and a
  // commit less than `apart` after another one of its key, as the change that arrives may be the other one's.
  [[nodiscard]] std::vector<std::int64_t> lags(const History& history, Duration apart) const;

 private:
  struct Applied {
    std::int64_t at;
    std::size_t node;
  };
  std::size_t nodes_;
  std::unordered_map<std::string, std::vector<Applied>> applied_;  // in order of time
};

// The value below which `share` of them lie; 0 of none.
[[nodiscard]] std::int64_t quantile(std::vector<std::int64_t> values, double share);

}  // namespace candor::sim
