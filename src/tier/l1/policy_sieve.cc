#include "tier/l1/policy_sieve.h"

namespace candor::l1 {

HeadDecision SievePolicy::on_head(const HeadEntry& head) {
  using Action = HeadDecision::Action;
  if (head.accesses == 0) return {.action = Action::kEvict};
  return {.action = Action::kSkip, .queue = 0, .accesses = 0};
}

}  // namespace candor::l1
