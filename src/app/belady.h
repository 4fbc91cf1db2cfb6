// Belady's optimum: what a cache of so many entries would miss if it knew the future (it evicts whoever is
// asked for last). The measure for policies; needs the whole trace.
#pragma once

#include <cstddef>
#include <cstdint>

#include "app/trace_reader.h"

namespace candor::app {

// Misses of the optimum with room for `capacity` keys (at least 1), every miss being inserted.
// Time O(n log capacity), memory 4 bytes a request and about 40 a key of capacity.
[[nodiscard]] std::uint64_t belady_misses(const NumberedTrace& trace, std::size_t capacity);

}  // namespace candor::app
