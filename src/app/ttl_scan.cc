#include "app/ttl_scan.h"

#include <utility>

#include "cache/freshness.h"

namespace candor::app {

void TtlScan::run(Done done) {
  const bool is_good = last_.at.ns != 0 && executor_->now() - last_.at < kGoodFor;
  if (is_good && !is_running_) return done(last_);
  waiting_.push_back(std::move(done));
  if (is_running_) return;
  is_running_ = true;
  cursor_ = 0;
  building_ = Result{};
  building_.features.resize(cache_->feature_count());
  building_.held = cache_->l1().stats().entries;
  step();
}

void TtlScan::add(const l1::Store::Visited& one, l1::Millis now) {
  if (one.feature.value >= building_.features.size()) return;
  ++building_.looked_at;
  const Feature& feature = cache_->feature(one.feature);
  const l1::Millis until = fresh_until(feature.policy(), one.view.meta);
  const auto left =
      until == 0 ? std::nullopt : std::optional<Duration>(std::chrono::milliseconds(until - now));
  building_.features[one.feature.value].add(left, one.accesses > 0);
}

void TtlScan::step() {
  const l1::Millis now = cache_->now_ms();
  cursor_ =
      cache_->l1().scan(cursor_, kEntriesPerStep, now, [&](const l1::Store::Visited& one) { add(one, now); });
  if (cursor_ == 0 || building_.looked_at >= kEntriesMost) return finish();
  executor_->post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) step();
  });
}

void TtlScan::finish() {
  is_running_ = false;
  building_.at = executor_->now();
  last_ = std::move(building_);
  for (Done& done : std::exchange(waiting_, {})) done(last_);
}

}  // namespace candor::app
