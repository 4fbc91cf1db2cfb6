// An ordered connection between two places, for what pushes: a replication stream, a subscription, a client
// that waits for messages.
//
// Within a life everything arrives, once and in order, however late. It ends for both sides (`on_closed`,
// once each, on their processes) when a partition held a message up for longer than `patience`, or a peer's
// process died. What was under way then is gone. A partition that no message meets is not noticed, as with
// TCP without keep-alives: heartbeats are their users' business.
//
// Shared ownership: both ends and the messages under way hold it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "sim/network.h"

namespace candor::sim {

class Channel : public std::enable_shared_from_this<Channel> {
 public:
  struct End {
    PlaceId place;
    std::function<void()> on_closed;  // not after close() of this end
  };
  // Opens on both sides now; the caller's handshake, if any, is its own first messages.
  static std::shared_ptr<Channel> open(Network& network, End first, End second, Duration patience = 10s);

  // `deliver` runs at the other end. Dropped when the channel is closed.
  void send(PlaceId from, Work deliver);
  // The other end hears of it, in order.
  void close(PlaceId by);
  [[nodiscard]] bool is_open() const { return open_; }
  // Messages not yet delivered in one direction: backpressure of a reader that pauses.
  [[nodiscard]] std::size_t under_way(PlaceId from) const { return directions_[index(from)].waiting; }

 private:
  struct Direction {
    std::deque<Work> blocked;  // by a partition
    TrueTime blocked_since;
    TrueTime last_arrival;
    std::size_t waiting = 0;
    bool retries = false;
  };

  Channel(Network& network, End first, End second, Duration patience);
  [[nodiscard]] std::size_t index(PlaceId place) const { return place == ends_[0].place ? 0 : 1; }
  [[nodiscard]] bool are_both_alive() const;
  void watch();
  void dispatch(std::size_t from, Work deliver);
  void retry(std::size_t from);
  void break_off(const char* why);

  Network& network_;
  End ends_[2];
  std::uint32_t lives_[2];
  Duration patience_;
  Direction directions_[2];
  bool open_ = true;
};

}  // namespace candor::sim
