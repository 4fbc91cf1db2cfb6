// Commands that hold for a whole region: told to every live node, answered when each has applied it. The app
// implements it over the region stream; without it a command reaches this node and L2.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace candor::server {

class RegionCommands {
 public:
  virtual ~RegionCommands() = default;
  // After this node and L2 dropped them: `names` are `feature:key`, `features` are whole ones. `done` runs
  // once, on any thread; an error names the nodes that did not answer in time.
  virtual void forget(std::vector<std::string> names, std::vector<std::string> features,
                      std::function<void(Result<void>)> done) = 0;
};

}  // namespace candor::server
