// Looks names up on threads of its own, so that a slow name server does not stop a loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/mutex.h"
#include "io/address.h"

namespace candor {

// Where answers go. A lookup cannot be cancelled, so it may outlive the executor that asked; the executor's
// owner calls leave() before the executor dies, and late answers are dropped.
class ResolverHome {
 public:
  explicit ResolverHome(Executor* executor) : executor_(executor) {}
  void leave();
  void post(Work work);

 private:
  Mutex mutex_;
  Executor* executor_ CANDOR_GUARDED_BY(mutex_);
};

using AddressesWanted = std::move_only_function<void(Result<std::vector<SocketAddress>>)>;

// Calls `wanted` on the home's executor, once, in a later turn.
void resolve(const std::shared_ptr<ResolverHome>& home, const std::string& host, std::uint16_t port,
             AddressesWanted wanted);

}  // namespace candor
