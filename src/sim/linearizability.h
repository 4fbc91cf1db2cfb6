// Is a history of one register linearizable? Knows nothing of caches: operations with two times in, a verdict
// out. Keys are independent (linearizability is local, Herlihy & Wing 1990), so that callers check each by
// itself.
//
// Two engines
//   zones   every written value is distinct and there is no compare-and-set: O(n log n), never undecided.
//           Gibbons & Korach, "Testing Shared Memories" (SIAM J. Comput. 1997), section 4.
//   search  everything else (erases write the same "absent" again and again): Wing & Gong's search with
//   Lowe's
//           memory of configurations seen ("Testing for linearizability", CCPE 2017). Exponential in the
//           number of overlapping writes at worst; `states_max` bounds it and the verdict is then undecided,
//           which nobody may count as a pass.
//
// Rules that keep the search small, each exact:
//   - an operation that fits the present value and does not change it is taken at once and never taken back;
//   - an operation without an answer whose value nobody saw is left out; one whose value only it can have
//   written
//     ended before the first answer that shows the value.
//
// A configuration is remembered as 128 bits (the exclusive or of one random word for each operation taken,
// and the value), not as a set: 2^-128 for each pair of configurations that differ is no risk worth its
// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace candor::sim {

// Values are numbers: the version that a writer put into what it wrote. 0 is "no such row".
inline constexpr std::uint64_t kAbsent = 0;
// The response time of an operation that was never answered, or whose answer left its outcome open: it may
// have happened at any time after its invocation, or never.
inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

struct RegisterOperation {
  enum class Kind : std::uint8_t { kRead, kWrite, kCompareAndSet } kind = Kind::kRead;
  bool applied = true;            // compare-and-set: what it answered; without meaning when it never answered
  std::uint64_t value = kAbsent;  // seen, or written (an erase writes kAbsent)
  std::uint64_t expected = kAbsent;  // compare-and-set only
  // One clock for all operations of the history. Two operations are in order only if one responded strictly
  // before the other was invoked.
  std::int64_t invoked = 0;
  std::int64_t responded = kNever;
};

struct LinearizabilityOptions {
  std::uint64_t initial = kAbsent;
  std::size_t states_max = 20'000'000;  // 16 bytes each: half a GiB at the table's load
};

enum class Linearizable : std::uint8_t { kYes, kNo, kUndecided };

[[nodiscard]] Linearizable check_register(std::span<const RegisterOperation> history,
                                          const LinearizabilityOptions& options = {});

// The engines by themselves, so that each can be held against the other. Zones require:
// has_distinct_values().
[[nodiscard]] bool has_distinct_values(std::span<const RegisterOperation> history, std::uint64_t initial);
[[nodiscard]] bool check_by_zones(std::span<const RegisterOperation> history, std::uint64_t initial);
[[nodiscard]] Linearizable check_by_search(std::span<const RegisterOperation> history,
                                           const LinearizabilityOptions& options);

// Of a history that is not linearizable: a part of it that is not either, and from which nothing more can be
// taken. Indices into `history`, by invocation. Every step keeps this sound: if the whole were linearizable,
// the part would be. (A write leaves together with all who saw its value, never alone: its readers would look
// like liars.) Empty if the history is linearizable or undecided.
[[nodiscard]] std::vector<std::size_t> shortest_violation(std::span<const RegisterOperation> history,
                                                          const LinearizabilityOptions& options = {});

}  // namespace candor::sim
