// Messages between named places, each on a process. What is carried is a piece of work that runs at the
// receiver, so that models need no wire format.
//
// Three ways to carry
//   send()    one message: may be lost, doubled, overtaken.
//   call()    a request and its answer, over a connection (as a client library's): what is lost on the way is
//             sent again by TCP and comes late, in order with the other calls of the pair of places; what a
//             partition holds up is lost or arrives late, even after its caller gave up. A caller that hears
//             nothing by its deadline gets kTimeout and does not know; one whose peer is down gets
//             kUnavailable.
//   Channel   (channel.h) an ordered stream that ends when it is cut for too long or a peer dies.
//
// A message belongs to the life that its receiver has at the time of sending: it never reaches a process that
// has started anew. Nothing leaves a process after its crash; what left it before arrives.
//
// Faults count when they matter: a loss when its receiver was there and (for calls) the caller still waiting,
// a partition at the first message that it held up, an overtaking when it happened, a doubling when both ran.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "sim/world.h"

namespace candor::sim {

struct PlaceId {
  std::uint32_t value = 0;
  friend constexpr bool operator==(PlaceId, PlaceId) = default;
};

// How messages fare between two places. Probabilities.
struct Weather {
  Duration delay_min = 50us, delay_max = 300us;  // uniform between: one region
  double slow = 0;                               // a message takes up to `slow_max` besides
  Duration slow_max = 100ms;
  double loss = 0;
  double duplicate = 0;  // messages of send() only
  double reorder = 0;    // a message waits up to `reorder_max`, so that later ones overtake it; send() only
  Duration reorder_max = 10ms;
};

class Network {
 public:
  // What became of a message, as far as it is known when it is sent.
  enum class Fate : std::uint8_t { kOnItsWay, kLost, kHeldUp, kNobodyThere };
  // Work of a server: what it does with one request.
  template <class T>
  using Serve = std::move_only_function<Task<Result<T>>()>;

  explicit Network(World& world) : world_(world), random_(world.stream("network")) {}

  PlaceId add_place(std::string name, Process& process);
  [[nodiscard]] const std::string& name(PlaceId place) const { return places_[place.value].name; }
  [[nodiscard]] Process& process(PlaceId place) const { return *places_[place.value].process; }
  [[nodiscard]] std::size_t places() const { return places_.size(); }
  [[nodiscard]] World& world() { return world_; }

  // For pairs without weather of their own.
  void set_weather(const Weather& weather) { weather_ = weather; }
  [[nodiscard]] const Weather& weather() const { return weather_; }

  // Nothing passes from `from` to `to` until heal(). `cut` counts one fault however many pairs it has.
  struct Cut {
    std::uint64_t id = 0;
  };
  Cut partition(const std::vector<std::pair<PlaceId, PlaceId>>& pairs);
  void heal(Cut cut);
  void heal_all();
  [[nodiscard]] bool is_cut(PlaceId from, PlaceId to) const { return pair(from, to).cut != 0; }

  Fate send(PlaceId from, PlaceId to, Work deliver);

  // Called on the process of `from`; `serve` runs on that of `to`, once at most.
  template <class T>
  Task<Result<T>> call(PlaceId from, PlaceId to, Serve<T> serve, MonoTime deadline);

 private:
  friend class Channel;

  struct Place {
    std::string name;
    Process* process;
  };
  struct Pair {
    std::uint64_t cut = 0;                        // the partition's id; 0: open
    TrueTime last_arrival;                        // of carried in order: nothing arrives before it
    std::uint64_t sent = 0, highest_arrived = 0;  // of send(): who overtook whom
    std::vector<std::pair<TrueTime, Work>> held_up;
  };
  // What a partition holds up for one pair: sockets have buffers, not stores.
  static constexpr std::size_t kHeldUpMax = 1024;

  [[nodiscard]] Pair& pair(PlaceId from, PlaceId to) {
    return pairs_[from.value * places_.size() + to.value];
  }
  [[nodiscard]] const Pair& pair(PlaceId from, PlaceId to) const {
    return pairs_[from.value * places_.size() + to.value];
  }
  [[nodiscard]] Duration delay();
  [[nodiscard]] bool chance(double probability) { return probability > 0 && random_.unit() < probability; }
  // In order, over a connection.
  Fate carry(PlaceId from, PlaceId to, Work deliver);
  Work bound_to_life(PlaceId to, Work deliver) const;
  // When something sent now over a connection would arrive, resent until it gets through.
  [[nodiscard]] TrueTime arrival(Pair& p);
  void note_blocked(PlaceId from, PlaceId to);
  void resume(PlaceId from, PlaceId to);
  static Error timed_out(std::string_view from, std::string_view to);

  World& world_;
  Random random_;
  Weather weather_;
  std::vector<Place> places_;
  std::vector<Pair> pairs_;
  std::uint64_t last_cut_ = 0;
  std::vector<std::uint64_t> cuts_in_force_;  // those that no message has met yet
};

template <class T>
Task<Result<T>> Network::call(PlaceId from, PlaceId to, Serve<T> serve, MonoTime deadline) {
  OneShot<Result<T>> answer;
  Process& home = process(from);
  const TimerId timer = home.schedule(
      deadline, [answer, this, from, to] { answer.set(std::unexpected(timed_out(name(from), name(to)))); });
  auto work = std::make_shared<Serve<T>>(std::move(serve));
  const Fate fate = carry(from, to, [this, from, to, answer, work] {
    spawn((*work)(), [this, from, to, answer, work](Result<T> result) {
      const Fate way_back =
          carry(to, from, [answer, result = std::move(result)]() mutable { answer.set(std::move(result)); });
      if (way_back == Fate::kLost && !answer.is_set()) world_.faults().take_effect("loss");
    });
  });
  if (fate == Fate::kLost) world_.faults().take_effect("loss");
  if (fate == Fate::kNobodyThere)
    home.schedule(home.now() + delay(), [answer, this, to] {
      answer.set(fail(ErrorCode::kUnavailable, name(to) + " refuses connections"));
    });
  Result<T> result = co_await answer;
  home.cancel(timer);
  co_return result;
}

}  // namespace candor::sim
