#include "app/region_desk.h"

#include <utility>

#include "invalidation/patience.h"

namespace candor::app {

namespace {

// What a name adds to a message: its bytes and their count.
constexpr std::size_t kNameOverhead = 4;

// The messages that say it: names in as few as fit, whole features and tags one each.
std::vector<message::Invalidate> messages_of(server::RegionWide what) {
  std::vector<message::Invalidate> out;
  std::size_t bytes = 0;
  for (std::string& name : what.names) {
    const std::size_t more = name.size() + kNameOverhead;
    if (out.empty() || bytes + more > RegionDesk::kBytesPerMessage) {
      out.emplace_back();
      bytes = 0;
    }
    bytes += more;
    out.back().names.push_back(std::move(name));
  }
  for (std::string& feature : what.features) out.emplace_back().feature = std::move(feature);
  for (std::string& tag : what.tags) out.emplace_back().tag = std::move(tag);
  return out;
}

}  // namespace

void RegionDesk::forget(server::RegionWide what, std::function<void(Result<void>)> done) {
  home_->post([this, what = std::move(what), done = std::move(done)]() mutable {
    spawn(tell(std::move(what)), std::move(done));
  });
}

// Without a grace: somebody waits for a write, and a node that has just started is not worth it.
Task<Result<void>> RegionDesk::drop_everywhere(std::string name, Duration patience) {
  message::Invalidate what;
  what.names.push_back(std::move(name));
  Task<Result<void>> told = applier_->invalidate_everywhere(std::move(what), patience);
  co_return co_await within(home_, patience, std::move(told));
}

Task<Result<void>> RegionDesk::tell(server::RegionWide what) const {
  auto messages = messages_of(std::move(what));
  const MonoTime end = home_->now() + kPatience;
  for (message::Invalidate& one : messages) {
    const Duration left = std::max<Duration>(end - home_->now(), 1ms);
    Result<void> told =
        co_await within(home_, left + kGrace, applier_->invalidate_everywhere(std::move(one), left));
    if (told) continue;
    // Not the origin's deadline: whoever answers the client must not blame it.
    if (told.error().code == ErrorCode::kTimeout)
      co_return fail(ErrorCode::kUnavailable, std::move(told.error().message));
    co_return fail(ErrorCode::kUnavailable,
                   "dropped on this node and in L2, but the other nodes of the region could not be told (" +
                       told.error().message + "); they may serve the old value until its ttl: repeat it");
  }
  co_return Result<void>{};
}

}  // namespace candor::app
