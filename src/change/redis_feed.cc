#include "change/redis_feed.h"

#include <fmt/format.h>

#include <utility>

namespace candor {

namespace {

std::string what_to_do(std::string_view error) {
  if (error.starts_with("NOPERM"))
    return "the user in the URL may not; run at the server: ACL SETUSER <user> +client|tracking +pttl +ping";
  return "Redis 6 or newer is needed, reached directly: proxies that share connections cannot track";
}

}  // namespace

RedisFeed::RedisFeed(Executor* executor, const Clock* clock, RedisOrigin* origin, RedisFeedOptions options)
    : executor_(executor), clock_(clock), origin_(origin), options_(std::move(options)) {}

RedisFeed::~RedisFeed() {
  *alive_ = false;
  stop();
}

void RedisFeed::start(FeedSink* sink) {
  sink_ = sink;
  status_.state = FeedStatus::State::kConnecting;
  origin_->listen(this);
}

void RedisFeed::stop() {
  if (sink_ != nullptr) origin_->listen(nullptr);
  sink_ = nullptr;
  pending_.clear();
}

// Redis keeps nothing for us that could be confirmed.
void RedisFeed::confirm(Position position) { status_.confirmed = std::max(status_.confirmed, position); }

FeedStatus RedisFeed::status() const {
  FeedStatus status = status_;
  status.lag_bytes = pending_.size();
  return status;
}

std::string RedisFeed::describe() const { return origin_->describe() + " client tracking"; }

// ---- what the connection hears ----

void RedisFeed::on_tracked(Incarnation incarnation, Position position) {
  if (led_) {
    ++status_.reconnects;
    break_reason_ = "a new connection to Redis: changes before it were not heard of";
  }
  status_.state = FeedStatus::State::kLeading;
  status_.problem.clear();
  status_.incarnation = incarnation;
  position_ = position;
  pending_.clear();
  pump_soon();
}

void RedisFeed::on_lost(const std::string& reason) {
  status_.state = FeedStatus::State::kConnecting;
  status_.problem = fmt::format("{}: the tracked connection was lost: {}", origin_->describe(), reason);
  break_reason_ = status_.problem;
  pending_.clear();  // the floor covers them
  pump_soon();
}

void RedisFeed::on_refused(const std::string& error) {
  status_.state = FeedStatus::State::kMisconfigured;
  status_.problem =
      fmt::format("{}: CLIENT TRACKING was refused ({}): {}. Until then watched features live by their ttl",
                  origin_->describe(), error, what_to_do(error));
}

void RedisFeed::on_invalidated(const std::string* name, ChangeId id) {
  position_ = Position{id.value};
  ++status_.transactions;
  if (name == nullptr || pending_.size() >= options_.pending_max) {
    change_everything(id);
  } else {
    for (const RedisWatch& watch : options_.watches) add(watch, *name, id);
  }
  pump_soon();
}

void RedisFeed::add(const RedisWatch& watch, const std::string& name, ChangeId id) {
  Change change;
  change.feature = watch.feature;
  change.id = id;
  change.position = Position{id.value};
  change.committed = clock_->wall();  // when it was heard: Redis does not say when it happened
  const auto keys = watch.load.keys_of(name);
  if (!keys) {
    change.scope = Change::Scope::kFeature;
    pending_.push_back(std::move(change));
    return;
  }
  for (const std::string& key : *keys) {
    pending_.push_back(change);
    pending_.back().key = key;
  }
}

void RedisFeed::change_everything(ChangeId id) {
  pending_.clear();
  Change change;
  change.scope = Change::Scope::kFeature;
  change.id = id;
  change.position = Position{id.value};
  change.committed = clock_->wall();
  for (const RedisWatch& watch : options_.watches) {
    change.feature = watch.feature;
    pending_.push_back(change);
  }
}

// ---- to the sink, in a turn of its own ----

void RedisFeed::pump_soon() {
  if (pumping_) return;
  pumping_ = true;
  executor_->post([this, alive = alive_] {
    if (!*alive) return;
    pumping_ = false;
    pump();
  });
}

void RedisFeed::pump() {
  if (sink_ == nullptr || status_.incarnation.value == 0) return;
  if (!led_) {
    led_ = true;
    sink_->on_leading(true);
  }
  if (!break_reason_.empty()) {
    ++status_.breaks;
    sink_->on_break(status_.incarnation, position_, std::exchange(break_reason_, {}));
  }
  if (!taken_ || position_ == status_.handed_over) return;
  taken_ = false;
  status_.handed_over = position_;
  status_.changes += pending_.size();
  sink_->on_changes(std::exchange(pending_, {}), position_, [this, alive = alive_] {
    if (!*alive) return;
    taken_ = true;
    pump_soon();
  });
}

}  // namespace candor
