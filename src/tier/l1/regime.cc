#include "tier/l1/regime.h"

#include <algorithm>

namespace candor::l1 {
namespace {

using Action = HeadDecision::Action;

std::size_t total_bytes(std::span<const QueueLevel> levels) {
  std::size_t total = 0;
  for (const QueueLevel& level : levels) total += level.bytes;
  return total;
}

unsigned oldest_not_empty(std::span<const QueueLevel> levels) {
  unsigned queue = kMainQueue;
  while (queue > kYoungQueue && levels[queue].entries == 0) --queue;
  return queue;
}

// The youngest generation that holds more than its share; if none does, the oldest there is.
unsigned generation_to_examine(std::span<const QueueLevel> levels) {
  const std::size_t total = total_bytes(levels);
  for (unsigned queue = kYoungQueue; queue < kMainQueue; ++queue) {
    if (levels[queue].entries != 0 && levels[queue].bytes * kGenerations > total) return queue;
  }
  return oldest_not_empty(levels);
}

Verdict judge_generation(unsigned queue, unsigned accesses) {
  if (accesses > 0) return {.decision = {.action = Action::kMove, .queue = kYoungQueue, .accesses = 0}};
  if (queue == kMainQueue) return {.decision = {.action = Action::kEvict}};
  return {.decision = {.action = Action::kMove, .queue = queue + 1, .accesses = 0}};
}

}  // namespace

bool fills_main(const Regime& regime, std::size_t filled, std::size_t capacity) {
  switch (regime.kind) {
    case Regime::Kind::kClock:
      return true;
    case Regime::Kind::kGenerations:
      return filled < capacity / kGenerations;
    case Regime::Kind::kProbation:
      return filled < capacity - capacity / regime.probation_divisor;
  }
  return true;
}

unsigned queue_for_new(const Regime& regime, bool in_ghost, bool lucky) {
  switch (regime.kind) {
    case Regime::Kind::kClock:
      return kMainQueue;
    case Regime::Kind::kGenerations:
      return kYoungQueue;
    case Regime::Kind::kProbation:
      return in_ghost || lucky ? kMainQueue : kYoungQueue;
  }
  return kMainQueue;
}

unsigned queue_to_examine(const Regime& regime, std::span<const QueueLevel> levels) {
  if (regime.kind == Regime::Kind::kGenerations) return generation_to_examine(levels);
  const QueueLevel& young = levels[kYoungQueue];
  if (young.entries == 0) return oldest_not_empty(levels);
  if (levels[kMainQueue].entries == 0) return kYoungQueue;
  // A regime without a probation empties what another one left there.
  if (regime.kind == Regime::Kind::kClock) return kYoungQueue;
  return young.bytes * regime.probation_divisor >= total_bytes(levels) ? kYoungQueue : kMainQueue;
}

Verdict judge_head(const Regime& regime, unsigned queue, unsigned accesses) {
  if (regime.kind == Regime::Kind::kGenerations) return judge_generation(queue, accesses);
  if (queue == kYoungQueue) {
    const unsigned promote_at = regime.kind == Regime::Kind::kClock ? 1 : kPromoteAt;
    if (accesses >= promote_at)
      return {.decision = {.action = Action::kMove, .queue = kMainQueue, .accesses = 0}};
    return {.decision = {.action = Action::kEvict}, .remember = true};
  }
  // A middle generation, left over from another regime.
  if (queue != kMainQueue) {
    return {.decision = {.action = Action::kMove, .queue = kMainQueue, .accesses = accesses}};
  }
  if (accesses == 0) return {.decision = {.action = Action::kEvict}};
  return {.decision = {.action = Action::kMove,
                       .queue = kMainQueue,
                       .accesses = std::min(accesses, regime.rounds_max) - 1}};
}

}  // namespace candor::l1
