#include "io/backend.h"

namespace candor {
Result<std::unique_ptr<Backend>> make_uring_backend() {
  return fail(ErrorCode::kUnavailable, "io_uring is not built in");
}
}  // namespace candor
