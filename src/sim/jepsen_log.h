// Reads the logs of Jepsen's etcd test, whose histories carry a label "linearizable or not": what our checker
// is held against (`linearizability_bench --porcupine DIR`). One register; its clients read, write and
// compare-and-set.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "sim/linearizability.h"

namespace candor::sim {

// Times are line numbers. `nil` is kAbsent, a number n is n + 1. A read that timed out is left out; a write
// or a compare-and-set that timed out is never answered. Errors name the line.
[[nodiscard]] Result<std::vector<RegisterOperation>> parse_jepsen_log(std::string_view text);

}  // namespace candor::sim
