// Timers of one loop: a binary heap with a slot per timer, so that a cancelled timer leaves at once. Request
// deadlines are nearly always cancelled; with lazy cancellation they would pile up until they expire.
//
// Pure: the caller brings `now`. Invariants
//   - timers run in order of their time, and those of one time in the order in which they were added;
//   - slots_[heap_[i].slot].place == i for every i; a free slot's generation differs from every TimerId given
//   out.
// Thread safety: none.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/executor.h"

namespace candor {

class Timers {
 public:
  TimerId add(MonoTime at, Work work);
  void cancel(TimerId timer);
  // The work of the earliest timer, if it is due and was added before the mark. With a mark taken when a
  // turn's timers begin to run, a timer that adds itself again for "now" waits for the next turn.
  [[nodiscard]] std::optional<Work> take_due(MonoTime now, std::uint64_t mark);
  [[nodiscard]] std::uint64_t mark() const { return next_order_; }
  // When the earliest timer is due; MonoTime::max() if there is none.
  [[nodiscard]] MonoTime next() const { return heap_.empty() ? MonoTime::max() : heap_.front().at; }
  [[nodiscard]] std::size_t size() const { return heap_.size(); }

 private:
  struct Entry {
    MonoTime at;
    std::uint64_t order;
    std::uint32_t slot;
    [[nodiscard]] bool before(const Entry& other) const {
      return at != other.at ? at < other.at : order < other.order;
    }
  };
  struct Slot {
    Work work;
    std::uint32_t generation = 1;
    std::uint32_t place = 0;
  };

  void put(std::size_t place, const Entry& entry);
  void sift_up(std::size_t place);
  void sift_down(std::size_t place);
  Work remove(std::size_t place);

  std::vector<Entry> heap_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::uint64_t next_order_ = 0;
};

}  // namespace candor
