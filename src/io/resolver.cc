#include "io/resolver.h"

#include <atomic>
#include <thread>
#include <utility>

namespace candor {
namespace {

// Lookups at one time in the process, a thread each. Candor opens few named connections; more than this at
// once means that the name server hangs, and then more threads would not help.
constexpr int kLookupsMax = 8;
std::atomic<int> lookups_under_way{0};

void look_up(const std::shared_ptr<ResolverHome>& home, const std::string& host, std::uint16_t port,
             AddressesWanted wanted) {
  auto found = look_up_addresses(host, port);
  lookups_under_way.fetch_sub(1);
  home->post([found = std::move(found), wanted = std::move(wanted)]() mutable { wanted(std::move(found)); });
}

}  // namespace

void ResolverHome::leave() {
  const MutexLock lock(mutex_);
  executor_ = nullptr;
}

void ResolverHome::post(Work work) {
  const MutexLock lock(mutex_);
  if (executor_ != nullptr) executor_->post(std::move(work));
}

void resolve(const std::shared_ptr<ResolverHome>& home, const std::string& host, std::uint16_t port,
             AddressesWanted wanted) {
  if (lookups_under_way.fetch_add(1) >= kLookupsMax) {
    lookups_under_way.fetch_sub(1);
    auto refusal = fail(ErrorCode::kOverloaded, "the name " + host +
                                                    " was not looked up: " + std::to_string(kLookupsMax) +
                                                    " lookups are under way; is the name server reachable?");
    home->post(
        [refusal = std::move(refusal), wanted = std::move(wanted)]() mutable { wanted(std::move(refusal)); });
    return;
  }
  std::thread([home, host, port, wanted = std::move(wanted)]() mutable {
    look_up(home, host, port, std::move(wanted));
  }).detach();
}

}  // namespace candor
