// Who can say that no live node of the region serves the old value of a key any more. The app implements it
// over the region stream, as CANDOR.INVALIDATE.
#pragma once

#include <string>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"

namespace candor {

class RegionBarrier {
 public:
  virtual ~RegionBarrier() = default;
  // After this node and L2 dropped `name` (`feature:key`): answers when every live node has, or after
  // `patience` with an error that names those which have not. On the cache's home executor.
  [[nodiscard]] virtual Task<Result<void>> drop_everywhere(std::string name, Duration patience) = 0;
};

}  // namespace candor
