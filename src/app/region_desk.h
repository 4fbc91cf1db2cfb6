// Region-wide commands over the applier: what has to be dropped is said on the region stream, in messages of
// bounded size, and every live node answers.
//
// Invariant: a command ends within kPatience and kGrace, whatever the stream does.
// Thread safety: forget() from any thread; the rest on the home executor, where the applier lives.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/task.h"
#include "cache/region_barrier.h"
#include "invalidation/applier.h"
#include "server/region_commands.h"

namespace candor::app {

class RegionDesk final : public server::RegionCommands, public RegionBarrier {
 public:
  // A node that lives answers within a millisecond or two; one that does not is named after this.
  static constexpr Duration kPatience = 2s;
  // Beyond it: a node that has just started first listens for who is there, and the stream has time-outs of
  // its own.
  static constexpr Duration kGrace = 2s;
  // Names in one message: well below what the stream takes.
  static constexpr std::size_t kBytesPerMessage = kMessageBytesMax / 2;

  // Both outlive whatever is asked here.
  RegionDesk(Applier* applier, Executor* home) : applier_(applier), home_(home) {}

  void forget(server::RegionWide what, std::function<void(Result<void>)> done) override;
  [[nodiscard]] Task<Result<void>> drop_everywhere(std::string name, Duration patience) override;

 private:
  [[nodiscard]] Task<Result<void>> tell(server::RegionWide what) const;

  Applier* applier_;
  Executor* home_;
};

}  // namespace candor::app
