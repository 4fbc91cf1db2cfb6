// Commands that hold for a whole region: told to every live node, answered when each has applied it. The app
// implements it over the region stream; without it a command reaches this node and L2.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace candor::server {

// What every node is to drop.
struct RegionWide {
  std::vector<std::string> names;     // `feature:key`
  std::vector<std::string> features;  // whole ones; "*": all
  std::vector<std::string> tags;
};

class RegionCommands {
 public:
  virtual ~RegionCommands() = default;
  // After this node and L2 dropped them. `done` runs once, on any thread, within a bounded time; an error
  // names the nodes that did not answer in it.
  virtual void forget(RegionWide what, std::function<void(Result<void>)> done) = 0;
};

}  // namespace candor::server
