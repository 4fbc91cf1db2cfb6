#include "base/asymmetric_fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace candor {

namespace {
bool register_membarrier() {
#if defined(CANDOR_TSAN)
  return false;
#else
  return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#endif
}
}  // namespace

namespace detail {
const bool kMembarrierWorks = register_membarrier();
}

void heavy_fence() {
#if defined(CANDOR_TSAN)
  static std::atomic<int> fence{0};
  fence.fetch_add(1, std::memory_order_seq_cst);
#else
  // A registration does not survive every fork; a failed call falls through to nothing weaker than a full
  // fence, but then readers that rely on us would not be ordered: registration is repeated once.
  if (detail::kMembarrierWorks) {
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) return;
    syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace candor
