#include "sim/network.h"

#include <algorithm>
#include <utility>

namespace candor::sim {
namespace {

// TCP's first retransmission timeout on a fast path, doubled each time; after this many the segment is taken
// to be lost for good (the client closes the connection long before a kernel would).
constexpr Duration kResendFirst = 200ms;
constexpr int kResendsMax = 6;
// Of the messages that a partition holds up, this share arrives after it: the rest went down with their
// connections.
constexpr double kArrivesLate = 0.5;

}  // namespace

PlaceId Network::add_place(std::string name, Process& process) {
  places_.push_back({std::move(name), &process});
  pairs_.clear();  // before anything was sent
  pairs_.resize(places_.size() * places_.size());
  return {static_cast<std::uint32_t>(places_.size() - 1)};
}

Duration Network::delay() {
  const auto span = static_cast<std::uint64_t>((weather_.delay_max - weather_.delay_min).count());
  Duration d = weather_.delay_min + Duration{static_cast<std::int64_t>(random_.below(span + 1))};
  if (chance(weather_.slow))
    d += Duration{
        static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(weather_.slow_max.count()) + 1))};
  return d;
}

Work Network::bound_to_life(PlaceId to, Work deliver) const {
  return [receiver = &process(to), life = process(to).life(), deliver = std::move(deliver)]() mutable {
    if (receiver->is_up() && receiver->life() == life) deliver();
  };
}

Network::Fate Network::send(PlaceId from, PlaceId to, Work deliver) {
  if (!process(from).is_up() || !process(to).is_up()) return Fate::kNobodyThere;
  if (is_cut(from, to)) {
    note_blocked(from, to);
    return Fate::kHeldUp;  // and lost: nobody sends it again
  }
  if (chance(weather_.loss)) {
    world_.faults().plan("loss");
    world_.faults().take_effect("loss");
    world_.trace().note(world_.now(), name(from), "loses a message to", to.value);
    return Fate::kLost;
  }
  TrueTime at = world_.now() + delay();
  if (chance(weather_.reorder)) {
    world_.faults().plan("reorder");
    at = at + Duration{static_cast<std::int64_t>(
                  random_.below(static_cast<std::uint64_t>(weather_.reorder_max.count()) + 1))};
  }
  const std::uint64_t number = ++pair(from, to).sent;
  Work arrive = [this, from, to, number, deliver = bound_to_life(to, std::move(deliver))]() mutable {
    Pair& p = pair(from, to);
    if (number < p.highest_arrived) world_.faults().take_effect("reorder");
    p.highest_arrived = std::max(p.highest_arrived, number);
    deliver();
  };
  if (!chance(weather_.duplicate)) {
    world_.at(at, process(to), std::move(arrive));
    return Fate::kOnItsWay;
  }
  world_.faults().plan("duplicate");
  auto twice = std::make_shared<Work>(std::move(arrive));
  world_.at(at, process(to), [twice] { (*twice)(); });
  world_.at(at + delay(), process(to), [this, twice] {
    world_.faults().take_effect("duplicate");
    (*twice)();
  });
  return Fate::kOnItsWay;
}

TrueTime Network::arrival(Pair& p) {
  TrueTime at = world_.now() + delay();
  Duration resend = kResendFirst;
  for (int i = 0; i < kResendsMax && chance(weather_.loss); ++i, resend *= 2) {
    if (i == 0) {
      world_.faults().plan("loss");
      world_.faults().take_effect("loss");  // somebody waits this much longer
    }
    at = at + resend;
  }
  p.last_arrival = std::max(at, p.last_arrival + 1ns);
  return p.last_arrival;
}

Network::Fate Network::carry(PlaceId from, PlaceId to, Work deliver) {
  if (!process(from).is_up() || !process(to).is_up()) return Fate::kNobodyThere;
  Pair& p = pair(from, to);
  Work bound = bound_to_life(to, std::move(deliver));
  if (p.cut == 0) {
    world_.at(arrival(p), process(to), std::move(bound));
    return Fate::kOnItsWay;
  }
  note_blocked(from, to);
  if (p.held_up.size() < kHeldUpMax && chance(kArrivesLate))
    p.held_up.emplace_back(world_.now(), std::move(bound));
  return Fate::kHeldUp;
}

void Network::note_blocked(PlaceId from, PlaceId to) {
  world_.trace().note(world_.now(), name(from), "is cut off from", to.value);
  const auto met = std::ranges::find(cuts_in_force_, pair(from, to).cut);
  if (met == cuts_in_force_.end()) return;
  cuts_in_force_.erase(met);
  world_.faults().take_effect("partition");
}

Network::Cut Network::partition(const std::vector<std::pair<PlaceId, PlaceId>>& pairs) {
  const Cut cut{++last_cut_};
  world_.faults().plan("partition");
  cuts_in_force_.push_back(cut.id);
  for (const auto& [from, to] : pairs) {
    world_.trace().note(world_.now(), name(from), "partition begins, to", to.value, cut.id);
    if (pair(from, to).cut == 0) pair(from, to).cut = cut.id;
  }
  return cut;
}

void Network::heal(Cut cut) {
  std::erase(cuts_in_force_, cut.id);
  for (std::uint32_t from = 0; from < places_.size(); ++from)
    for (std::uint32_t to = 0; to < places_.size(); ++to)
      if (Pair& p = pair({from}, {to}); p.cut == cut.id) {
        p.cut = 0;
        world_.trace().note(world_.now(), name({from}), "partition ends, to", to, cut.id);
        resume({from}, {to});
      }
}

void Network::heal_all() {
  for (std::uint64_t id = 1; id <= last_cut_; ++id) heal({id});
}

void Network::resume(PlaceId from, PlaceId to) {
  Pair& p = pair(from, to);
  for (auto& [sent, work] : std::exchange(p.held_up, {})) world_.at(arrival(p), process(to), std::move(work));
}

Error Network::timed_out(std::string_view from, std::string_view to) {
  return {ErrorCode::kTimeout, std::string(to) + " did not answer " + std::string(from) + " in time"};
}

}  // namespace candor::sim
