// What will happen, in order of true time; what falls on one moment happens in the order in which it was
// asked for. That tie-break makes a run a function of its seed.
//
// A heap with four children to a node over 24-byte records; the work itself lies in a slab and does not move.
// A cancelled event frees its work at once; its record stays in the heap until it surfaces, or until half of
// the records are such. About 10 million pushes and pops a second at 1,000 events.
//
// Thread safety: none.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/executor.h"

namespace candor::sim {

// The simulation's own time, which no process can read. Not a MonoTime: each process has a clock of its own.
struct TrueTime {
  std::int64_t ns = 0;
  friend constexpr auto operator<=>(TrueTime, TrueTime) = default;
  friend constexpr TrueTime operator+(TrueTime t, Duration d) { return {t.ns + d.count()}; }
  friend constexpr Duration operator-(TrueTime a, TrueTime b) { return Duration{a.ns - b.ns}; }
};

struct EventId {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;  // 0: no event
};

struct Event {
  TrueTime at;
  std::uint32_t owner = 0;
  std::int64_t local_due = INT64_MIN;  // on the owner's clock: a timer must not run before it
  Work work;
};

class EventQueue {
 public:
  EventId push(Event event) {
    const std::uint32_t slot = take_slot();
    Slot& s = slots_[slot];
    s.event = std::move(event);
    s.live = true;
    ++live_;
    put({s.event.at.ns, ++sequence_, slot, s.generation});
    return {slot, s.generation};
  }

  // False if it has run or was cancelled before.
  bool cancel(EventId id) {
    if (id.generation == 0 || id.slot >= slots_.size() || slots_[id.slot].generation != id.generation)
      return false;
    release(id.slot);
    if (heap_.size() > kCompactMin && heap_.size() > 2 * live_) compact();
    return true;
  }

  [[nodiscard]] bool empty() const { return live_ == 0; }
  [[nodiscard]] std::size_t size() const { return live_; }

  // The earliest event, which stays. Requires: !empty().
  [[nodiscard]] const Event& front() {
    drop_dead();
    return slots_[heap_.front().slot].event;
  }
  // Requires: !empty().
  Event pop() {
    drop_dead();
    const std::uint32_t slot = heap_.front().slot;
    take_front();
    Event event = std::move(slots_[slot].event);
    release(slot);
    return event;
  }
  // Moves the earliest event to another time; its id stays good. Requires: !empty().
  void put_off(TrueTime until) {
    drop_dead();
    Record record = heap_.front();
    take_front();
    slots_[record.slot].event.at = until;
    put({until.ns, ++sequence_, record.slot, record.generation});
  }
  // Every event of `owner` that waits for exactly `from` is due at `to` instead, in the same order.
  void bring_forward(std::uint32_t owner, TrueTime from, TrueTime to);
  // Every event of `owner` with the id it had, in order, and no longer here.
  std::vector<std::pair<EventId, Event>> take_all_of(std::uint32_t owner);

 private:
  static constexpr std::uint32_t kGenerationMax = INT32_MAX;  // one bit of an id is its user's
  static constexpr std::size_t kCompactMin = 1024;  // below it dead records cost nothing worth a pass

  struct Slot {
    Event event;
    std::uint32_t generation = 1;
    bool live = false;
  };
  struct Record {
    std::int64_t time;
    std::uint64_t sequence;
    std::uint32_t slot, generation;
    [[nodiscard]] bool before(const Record& other) const {
      return time != other.time ? time < other.time : sequence < other.sequence;
    }
  };

  std::uint32_t take_slot() {
    if (free_.empty()) {
      slots_.emplace_back();
      return static_cast<std::uint32_t>(slots_.size() - 1);
    }
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  void release(std::uint32_t slot) {
    Slot& s = slots_[slot];
    s.live = false;
    if (++s.generation > kGenerationMax) s.generation = 1;
    --live_;
    free_.push_back(slot);
    const Work gone = std::move(s.event.work);  // whatever it held may call back in here as it goes
    s.event.work = nullptr;
  }
  [[nodiscard]] bool is_dead(const Record& r) const { return slots_[r.slot].generation != r.generation; }
  void drop_dead() {
    CANDOR_ASSERT(live_ > 0);
    while (is_dead(heap_.front())) take_front();
  }
  void compact();

  void put(Record record) {
    std::size_t at = heap_.size();
    heap_.push_back(record);
    while (at > 0) {
      const std::size_t parent = (at - 1) / 4;
      if (!record.before(heap_[parent])) break;
      heap_[at] = heap_[parent];
      at = parent;
    }
    heap_[at] = record;
  }
  void take_front() {
    const Record last = heap_.back();
    heap_.pop_back();
    if (!heap_.empty()) sink(0, last);
  }
  void sink(std::size_t at, Record record) {
    for (;;) {
      const std::size_t first = 4 * at + 1;
      if (first >= heap_.size()) break;
      std::size_t least = first;
      const std::size_t end = std::min(first + 4, heap_.size());
      for (std::size_t child = first + 1; child < end; ++child)
        if (heap_[child].before(heap_[least])) least = child;
      if (!heap_[least].before(record)) break;
      heap_[at] = heap_[least];
      at = least;
    }
    heap_[at] = record;
  }

  std::vector<Record> heap_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::uint64_t sequence_ = 0;
  std::size_t live_ = 0;
};

}  // namespace candor::sim
