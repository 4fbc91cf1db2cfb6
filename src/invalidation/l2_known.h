// The highest state of L2 that this node has heard of, from its own publishers and from the stream. One per
// node: several origins share one L2.
#pragma once

#include <algorithm>

#include "tier/l2.h"

namespace candor {

class L2Known {
 public:
  void note(L2State state) { highest_ = std::max(highest_, state); }
  [[nodiscard]] L2State highest() const { return highest_; }

 private:
  L2State highest_;
};

}  // namespace candor
