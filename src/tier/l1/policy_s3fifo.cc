#include "tier/l1/policy_s3fifo.h"

#include <algorithm>

namespace candor::l1 {

void S3FifoPolicy::set_capacity(std::size_t /*capacity*/, std::size_t expected_entries) {
  ghost_.set_reach(expected_entries - expected_entries / kSmallDivisor);  // as many as main holds
}

unsigned S3FifoPolicy::on_insert(std::uint64_t hash, std::size_t /*bytes*/) {
  return ghost_.take(hash) ? kMain : kSmall;
}

unsigned S3FifoPolicy::pick_queue(std::span<const QueueLevel> queues) {
  const QueueLevel& small = queues[kSmall];
  const QueueLevel& main = queues[kMain];
  if (main.entries == 0) return kSmall;
  if (small.entries == 0) return kMain;
  return small.bytes * kSmallDivisor >= small.bytes + main.bytes ? kSmall : kMain;
}

HeadDecision S3FifoPolicy::on_head(const HeadEntry& head) {
  using Action = HeadDecision::Action;
  if (head.queue == kSmall) {
    if (head.accesses >= kPromoteAt) return {.action = Action::kMove, .queue = kMain, .accesses = 0};
    ghost_.add(head.hash);
    return {.action = Action::kEvict};
  }
  if (head.accesses == 0) return {.action = Action::kEvict};
  return {.action = Action::kMove, .queue = kMain, .accesses = std::min(head.accesses, kRoundsMax) - 1};
}

}  // namespace candor::l1
