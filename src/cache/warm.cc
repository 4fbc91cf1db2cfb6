// Loads for nobody: a key that somebody says will be read. The flight is the reader's own, so that whoever
// misses meanwhile waits for the same load, and what it brings is stamped and fenced as any other.
#include <utility>

#include "cache/miss_path.h"

namespace candor {

void CacheCore::MissPath::warm(FeatureId id, std::string key, WarmDone done) {
  Feature& feature = *this->feature(id);
  if (feature.origin() == nullptr || pending(feature, key) != nullptr || l1_copy(feature, key))
    return done(Warmed::kHeld, nullptr);
  auto waiter = std::make_shared<Waiter>();
  waiter->is_reader = false;
  waiter->done = [this, &feature, key, done = std::move(done)](Result<ReadResult> result) mutable {
    if (!result) return done(Warmed::kFailed, &result.error());
    // An old value is for readers who would have nothing else.
    if (result->degraded != nullptr) {
      const Error failed{ErrorCode::kOriginDown, "the origin failed; an old value is still held"};
      return done(Warmed::kFailed, &failed);
    }
    if (!l1_copy(feature, key)) return done(Warmed::kDropped, nullptr);
    done(result->value == nullptr ? Warmed::kAbsent : Warmed::kStored, nullptr);
  };
  auto [flight, must_load] = flights_.join(id, name_of(feature, key));
  if (must_load) {
    flight->began = parts_.home->now();
    flight->urgency = in_background();
  }
  flight->waiters.push_back(std::move(waiter));
  if (must_load) spawn(run_flight(flight, std::move(key)));
}

}  // namespace candor
