// Single flight with a fence: at most one load per key under way, and a load that began before an
// invalidation of its key is never stored after it.
//
//   reader A: miss, load begins (flight F)           writer: UPDATE commits, invalidate(key) fences F
//   reader B: miss, joins F                            reader C: misses, does not join F: starts flight G
//   F's row arrives: A and B get it, nothing is stored. G's row arrives: C gets it, and it is stored.
//
// A and B asked before the write was acknowledged, so the old row is a correct answer for them; C asked after
// and must not get it. Pure: no clock, no I/O. Thread safety: none, it belongs to the cache's home executor.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/ids.h"
#include "base/time.h"
#include "origin/load_urgency.h"

namespace candor {

template <class Waiter>
class SingleFlight {
 public:
  struct Flight {
    FeatureId feature;
    std::string name;         // `feature:key`, the map's key
    bool fenced = false;      // an invalidation came after the load began: hand out, do not store
    MonoTime began{0};        // set by whoever runs the load
    bool refreshes = false;   // ahead of expiry: an entry in L2 is no reason not to load
    bool past_tiers = false;  // what L2 holds is no answer, however new
    bool repairs = false;     // on behalf of nobody: a suspect entry is asked about again
    bool confirmed = false;   // it brought what L1 held, with the origin's word; set when it has landed
    bool failed = false;      // it brought an error; set when it has landed
    LoadUrgencyPtr urgency;   // its most urgent reader's; set by whoever runs the load
    std::vector<Waiter> waiters;
  };
  using FlightPtr =
      std::shared_ptr<Flight>;  // shared: the running load keeps a fenced flight that left the map

  explicit SingleFlight(std::uint64_t seed) : flights_(16, SeededHash{seed}) {}

  // The flight to wait in, and whether the caller must run the load.
  std::pair<FlightPtr, bool> join(FeatureId feature, std::string_view name) {
    if (auto it = flights_.find(name); it != flights_.end()) return {it->second, false};
    auto flight =
        std::make_shared<Flight>(Flight{.feature = feature, .name = std::string(name), .waiters = {}});
    flights_.emplace(flight->name, flight);
    return {flight, true};
  }

  // An invalidation of the key: whoever comes later starts a new flight. True if a load was under way.
  bool fence(std::string_view name) {
    auto it = flights_.find(name);
    if (it == flights_.end()) return false;
    it->second->fenced = true;
    flights_.erase(it);
    return true;
  }

  template <class Predicate>
  void fence_if(Predicate&& predicate) {
    std::erase_if(flights_, [&](auto& item) {
      if (!predicate(*item.second)) return false;
      item.second->fenced = true;
      return true;
    });
  }

  // The load has ended: takes the flight out of the map if it is still the key's current one.
  void finish(const FlightPtr& flight) {
    auto it = flights_.find(flight->name);
    if (it != flights_.end() && it->second == flight) flights_.erase(it);
  }

  [[nodiscard]] std::size_t size() const { return flights_.size(); }

 private:
  std::unordered_map<std::string, FlightPtr, SeededHash, std::equal_to<>> flights_;
};

}  // namespace candor
