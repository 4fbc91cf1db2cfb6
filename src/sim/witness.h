// An order that explains a key's strong operations, read off the origin's own log: each write where its
// commit became visible, each read inside a span of the truth that shows its value. If every operation has
// such a moment between its invocation and its answer, the history is linearizable, whoever wrote the log and
// whatever it says: the moments are the proof. If not, nothing is said, and the search of linearizability.h
// must decide.
//
// Why: erases write the same "absent" again and again, so that histories of them go to a search which is
// exponential in the writes that overlap. This is linear, and nearly always enough.
#pragma once

#include <cstdint>
#include <span>

#include "sim/history.h"
#include "sim/truth.h"

namespace candor::sim {

// `operations`: indices of this key's answered strong reads and of all its writes that were not refused.
// Writes of unknown outcome may have happened late or never. What a failover put back is the origin's own
// write.
[[nodiscard]] bool log_explains(const History& history, const Truth& truth, std::uint32_t key,
                                std::span<const std::uint32_t> operations);

}  // namespace candor::sim
