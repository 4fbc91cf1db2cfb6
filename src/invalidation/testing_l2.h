// What the tests of this folder share: an L2 that is told of changes and can be made to fail, hang and
// forget.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tier/l2.h"

namespace candor::testing_invalidation {

struct FakeL2 final : L2 {
  std::map<std::string, std::vector<std::uint64_t>> markers;
  std::map<std::string, Duration> holds;
  std::vector<std::string> log;  // what it was asked, in order
  L2State now{1, 0};
  bool down = false;
  bool hangs = false;
  std::vector<OneShot<bool>> hanging;  // set() lets one go on

  void forget() { markers.clear(), holds.clear(), now = L2State{}; }
  void answer_all() {
    hangs = false;
    for (auto& one : std::exchange(hanging, {})) (void)one.set(true);
  }

  Task<Result<bool>> invalidate(std::string key, L2Marker marker) override {
    if (hangs) {
      OneShot<bool> wait;
      hanging.push_back(wait);
      (void)co_await wait;
    }
    if (down) co_return away();
    log.push_back("invalidate " + key);
    markers[key].push_back(marker.change.value);
    holds[key] = marker.hold;
    co_return true;
  }
  Task<Result<L2State>> state() override {
    if (down || hangs) co_return away();
    co_return now;
  }
  Task<Result<L2State>> advance(L2State at_least) override {
    if (down || hangs) co_return away();
    if (now < at_least) co_return fail(ErrorCode::kCorrupt, "knows less");
    ++now.told;
    log.push_back("advance");
    co_return now;
  }
  Task<Result<L2State>> raise_generation(L2State at_least) override {
    if (down || hangs) co_return away();
    now = std::max(now, at_least);
    ++now.generation;
    log.push_back("raise");
    co_return now;
  }
  Task<Result<void>> hold_marker(std::string key, ChangeId, Duration hold) override {
    if (down) co_return away();
    if (holds.contains(key)) holds[key] = hold;
    co_return Result<void>{};
  }
  Task<Result<void>> clear(std::string prefix) override {
    if (down || hangs) co_return away();
    log.push_back("clear " + prefix);
    co_return Result<void>{};
  }

  // Not for publishers.
  Task<Result<L2Lookup>> get_or_lease(std::string, Duration, bool) override { co_return away(); }
  Task<Result<std::optional<L2Entry>>> get(std::string) override { co_return away(); }
  Task<Result<L2FillVerdict>> fill(std::string, LeaseToken, L2Entry) override { co_return away(); }
  Task<Result<void>> release(std::string, LeaseToken) override { co_return away(); }
  Task<Result<void>> put(std::string, L2Entry) override { co_return away(); }
  Task<Result<L2Seen>> look(std::string) override { co_return away(); }
  Task<Result<L2Swap>> swap(std::string, std::string, std::optional<L2Entry>, bool) override {
    co_return away();
  }
  [[nodiscard]] L2Stats stats() const override { return {}; }
  [[nodiscard]] std::string describe() const override { return "fake"; }

 private:
  [[nodiscard]] static std::unexpected<Error> away() { return fail(ErrorCode::kUnavailable, "L2 is down"); }
};

}  // namespace candor::testing_invalidation
