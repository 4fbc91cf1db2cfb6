#include "sim/channel.h"

#include <utility>

namespace candor::sim {
namespace {

// How often a blocked direction is tried again, as TCP would resend; and how long a peer takes at most to
// hear of a death (the reset of a dead process's socket).
constexpr Duration kRetry = 200ms;
constexpr Duration kDeathSeen = 100ms;

}  // namespace

std::shared_ptr<Channel> Channel::open(Network& network, End first, End second, Duration patience) {
  // Private constructor: make_shared cannot.
  std::shared_ptr<Channel> channel(new Channel(network, std::move(first), std::move(second), patience));
  channel->watch();
  return channel;
}

Channel::Channel(Network& network, End first, End second, Duration patience)
    : network_(network),
      ends_{std::move(first), std::move(second)},
      lives_{network.process(ends_[0].place).life(), network.process(ends_[1].place).life()},
      patience_(patience) {}

bool Channel::are_both_alive() const {
  for (std::size_t i = 0; i < 2; ++i) {
    const Process& process = network_.process(ends_[i].place);
    if (!process.is_up() || process.life() != lives_[i]) return false;
  }
  return true;
}

void Channel::watch() {
  network_.world().after(kDeathSeen, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (self == nullptr || !self->open_) return;
    if (!self->are_both_alive()) return self->break_off("its peer died");
    self->watch();
  });
}

void Channel::send(PlaceId from, Work deliver) {
  const std::size_t i = index(from);
  if (!open_ || !network_.process(from).is_up() || network_.process(from).life() != lives_[i]) return;
  ++directions_[i].waiting;
  Work once = [self = shared_from_this(), i, deliver = std::move(deliver)]() mutable {
    --self->directions_[i].waiting;
    if (self->open_ && self->are_both_alive()) deliver();
  };
  if (directions_[i].blocked.empty() && !network_.is_cut(ends_[i].place, ends_[1 - i].place))
    return dispatch(i, std::move(once));
  Direction& d = directions_[i];
  network_.note_blocked(ends_[i].place, ends_[1 - i].place);
  if (d.blocked.empty()) d.blocked_since = network_.world().now();
  d.blocked.push_back(std::move(once));
  if (!std::exchange(d.retries, true)) retry(i);
}

void Channel::dispatch(std::size_t from, Work deliver) {
  // Its own order only: two connections between two places do not wait for each other.
  Network::Pair order;
  order.last_arrival = directions_[from].last_arrival;
  const TrueTime at = network_.arrival(order);
  directions_[from].last_arrival = at;
  network_.world().at(at, network_.process(ends_[1 - from].place), std::move(deliver));
}

void Channel::retry(std::size_t from) {
  network_.world().after(kRetry, [weak = weak_from_this(), from] {
    const auto self = weak.lock();
    if (self == nullptr || !self->open_) return;
    Direction& d = self->directions_[from];
    if (self->network_.is_cut(self->ends_[from].place, self->ends_[1 - from].place)) {
      if (self->network_.world().now() - d.blocked_since > self->patience_)
        return self->break_off("it was cut for too long");
      return self->retry(from);
    }
    d.retries = false;
    for (auto& work : std::exchange(d.blocked, {})) self->dispatch(from, std::move(work));
  });
}

void Channel::close(PlaceId by) {
  ends_[index(by)].on_closed = nullptr;
  send(by, [self = shared_from_this()] { self->break_off("its peer closed it"); });
}

void Channel::break_off(const char* why) {
  if (!std::exchange(open_, false)) return;
  World& world = network_.world();
  world.trace().note(world.now(), network_.name(ends_[0].place), why, ends_[1].place.value);
  for (std::size_t i = 0; i < 2; ++i) {
    directions_[i].blocked.clear();
    Process& process = network_.process(ends_[i].place);
    auto tell = std::exchange(ends_[i].on_closed, nullptr);
    if (tell && process.is_up() && process.life() == lives_[i])
      world.at(world.now(), process, std::move(tell));
  }
}

}  // namespace candor::sim
