#include "origin/redis_tracking.h"

#include <algorithm>

#include "base/random.h"

namespace candor {

void RedisTracking::listen(RedisInvalidationListener* listener) {
  listener_ = listener;
  if (listener_ == nullptr) return;
  if (state_ == State::kTracked) listener_->on_tracked(incarnation_, Position{heard_});
  if (state_ == State::kRefused) listener_->on_refused(refusal_);
}

void RedisTracking::on_ready(const std::string& tracking_refusal) {
  ++connections_;
  state_ = State::kUnasked;
  if (!wanted_) return;
  tracking_refusal.empty() ? on_accepted() : on_refused(tracking_refusal);
}

void RedisTracking::on_accepted() {
  if (state_ == State::kAway || state_ == State::kTracked) return;
  state_ = State::kTracked;
  ++heard_;
  incarnation_ = Incarnation{std::max<std::uint64_t>(1, mix64(seed_ + connections_))};
  if (listener_ != nullptr) listener_->on_tracked(incarnation_, Position{heard_});
}

void RedisTracking::on_refused(const std::string& error) {
  if (state_ == State::kAway || state_ == State::kTracked) return;
  state_ = State::kRefused;
  refusal_ = error;
  if (listener_ != nullptr) listener_->on_refused(refusal_);
}

void RedisTracking::on_push(const resp::RespValue& push) {
  if (state_ != State::kTracked || push.items.empty() || push.items[0].text != "invalidate") return;
  const ChangeId id{++heard_};
  if (listener_ == nullptr) return;
  const bool names_keys = push.items.size() == 2 && push.items[1].is_list();
  if (!names_keys) return listener_->on_invalidated(nullptr, id);
  for (const resp::RespValue& name : push.items[1].items) listener_->on_invalidated(&name.text, id);
}

void RedisTracking::on_lost(const std::string& reason) {
  const bool was_tracked = state_ == State::kTracked;
  state_ = State::kAway;
  if (was_tracked && listener_ != nullptr) listener_->on_lost(reason);
}

Stamp RedisTracking::stamp() const {
  Stamp stamp;
  if (state_ == State::kTracked) stamp.up_to = ChangeId{heard_};
  return stamp;
}

OriginProbe RedisTracking::probe() const {
  OriginProbe probe;
  probe.incarnation = incarnation_;
  probe.position = Position{heard_};
  probe.all_up_to = ChangeId{heard_};
  probe.next = ChangeId{heard_ + 1};
  return probe;
}

}  // namespace candor
