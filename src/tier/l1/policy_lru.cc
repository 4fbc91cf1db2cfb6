#include "tier/l1/policy_lru.h"

namespace candor::l1 {

bool LruPolicy::on_hit(std::uint64_t /*hash*/, unsigned* queue) {
  *queue = 0;
  return true;
}

}  // namespace candor::l1
