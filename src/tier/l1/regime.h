// Regimes: the ways in which the default policy can run the same four queues. Pure decisions, used twice: by
// the policy on the shard's entries and by the rehearsal on a sample of its keys, so that what was rehearsed
// is what is played.
//
//   generations  Like LRU, without moving anything on a hit. New entries join the youngest of four queues of
//   equal size; whoever
//                reaches the end of a queue unread goes to the next older one, and from the oldest out;
//                whoever was read goes back to the youngest. A read is therefore dated to a quarter of the
//                cache's turnover.
//   clock        One queue; up to three reads are saved up as rounds. Keeps what is read often a little
//   longer than LRU. probation    S3-FIFO's shape: a small queue first, main behind it, a ghost. Two reads
//   while on probation, or a miss again
//                while still in the ghost, earn a place in main. The smaller the probation, the faster a scan
//                is gone.
//   luck         A probation so small that it filters everything, and one new key in 64 goes to main unasked.
//   For loops
//                larger than the cache, where the ghost sees no one twice: main holds a fixed part of the
//                loop and renews it slowly (Qureshi's bimodal insertion, ISCA'07).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tier/l1/policy.h"

namespace candor::l1 {

struct Regime {
  enum class Kind : std::uint8_t { kGenerations, kClock, kProbation };
  std::string_view name;
  Kind kind = Kind::kProbation;
  unsigned probation_divisor = 0;  // the probation's target is the cache divided by this
  unsigned luck_divisor = 0;       // one new key in so many goes to main unasked; 0: none
  unsigned rounds_max = 0;         // how many reads main saves up
};

// The queues by their use. Generations use all four, youngest first; the other regimes the first and the
// last.
inline constexpr unsigned kYoungQueue = 0;
inline constexpr unsigned kMainQueue = 3;
inline constexpr unsigned kGenerations = 4;

inline constexpr unsigned kPromoteAt = 2;  // reads on probation that earn a place in main (S3-FIFO's setting)

// A few settings, a factor of about four to eight apart: between neighbours hit ratios differ little, and
// every one more costs the rehearsal time and memory. docs/eviction.md has the runs behind this choice.
inline constexpr std::array<Regime, 6> kRegimes{{
    {.name = "generations", .kind = Regime::Kind::kGenerations},
    {.name = "clock", .kind = Regime::Kind::kClock, .rounds_max = 3},
    {.name = "probation 1/2", .probation_divisor = 2, .rounds_max = kAccessMax},
    {.name = "probation 1/4", .probation_divisor = 4, .rounds_max = kAccessMax},
    {.name = "probation 1/32", .probation_divisor = 32, .rounds_max = kAccessMax},
    {.name = "luck", .probation_divisor = 128, .luck_divisor = 64, .rounds_max = kAccessMax},
}};

// How many keys the ghost remembers, as a share of the cache's entries: 3/4 is one byte an entry. Twice as
// many would close about 0.01 more of the gap at 1 % of a trace's keys and nothing at 10 %.
[[nodiscard]] constexpr std::size_t ghost_reach(std::size_t entries) { return entries - entries / 4; }

// Where nothing is known yet: scan-resistant, and the first entries to arrive stay (see fills_main).
inline constexpr unsigned kFirstRegime = 4;

// While the cache is still filling, entries go to main until it holds its share: the room would stay unused
// otherwise, and in a loop larger than the cache the first to come are as good as any.
[[nodiscard]] bool fills_main(const Regime& regime, std::size_t filled, std::size_t capacity);

// The queue of a new key. `lucky`: this key drew the regime's luck.
[[nodiscard]] unsigned queue_for_new(const Regime& regime, bool in_ghost, bool lucky);

// The queue whose head is examined next, never an empty one. Levels of kQueuesMax queues; at least one is not
// empty.
[[nodiscard]] unsigned queue_to_examine(const Regime& regime, std::span<const QueueLevel> levels);

struct Verdict {
  HeadDecision decision;
  bool remember = false;  // evicted, and to be kept in the ghost
};
[[nodiscard]] Verdict judge_head(const Regime& regime, unsigned queue, unsigned accesses);

}  // namespace candor::l1
