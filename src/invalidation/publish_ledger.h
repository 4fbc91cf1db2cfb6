// What the publisher of one origin has appended to the region stream, and how far the origin may forget it.
// Pure.
//
// The position may be confirmed up to the smallest of three: appended, told to L2, and visible: every change
// at or below it lies at or below a probe's `all_up_to`. So whatever may still be invisible to new loads is
// handed out again after a takeover, and a node that joins learns of it from `replay_from`.
//
// Invariants
//   - confirmable() never moves back, and passes no message that is untold or holds a change that may be
//   invisible.
//   - replay_from() is at or below the sequence number of every such message.
//   - At most kEntriesMax entries: beyond that neighbours are joined, which confirms later and replays more.
// Thread safety: none.
#pragma once

#include <cstdint>
#include <deque>

#include "bus/region_stream.h"

namespace candor {

class PublishLedger {
 public:
  // 100 s of messages at the highest rate of one message each 10 ms; about 400 KiB.
  static constexpr std::size_t kEntriesMax = 10'000;

  struct Appended {
    SequenceNumber sequence;
    Position up_to;       // complete up to here once this message is out
    Position highest;     // of its changes; 0: none
    ChangeId highest_id;  // of its changes; 0: none
  };
  void on_appended(const Appended& message);
  // Every transaction with an id up to `id` is visible to new loads.
  void on_visible(ChangeId id);
  // L2 was told every change at or below. May move back: L2 lost what it was told.
  void on_told(Position told);

  [[nodiscard]] Position confirmable() const { return confirmable_; }
  // The oldest message that a joining node must apply; 0: none before the next one.
  [[nodiscard]] SequenceNumber replay_from() const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  void settle();
  void join_neighbours();

  std::deque<Appended> entries_;  // in the order of the stream
  ChangeId visible_;
  Position told_;
  Position confirmable_;
};

}  // namespace candor
