#include "sim/event_queue.h"

namespace candor::sim {

std::vector<std::pair<EventId, Event>> EventQueue::take_all_of(std::uint32_t owner) {
  std::vector<Record> theirs;
  for (const Record& r : heap_)
    if (!is_dead(r) && slots_[r.slot].event.owner == owner) theirs.push_back(r);
  std::ranges::sort(theirs, [](const Record& a, const Record& b) { return a.before(b); });
  std::vector<std::pair<EventId, Event>> events;
  events.reserve(theirs.size());
  for (const Record& r : theirs) {
    events.emplace_back(EventId{r.slot, r.generation}, std::move(slots_[r.slot].event));
    release(r.slot);
  }
  compact();
  return events;
}

void EventQueue::bring_forward(std::uint32_t owner, TrueTime from, TrueTime to) {
  std::vector<Record> theirs;
  for (const Record& r : heap_)
    if (!is_dead(r) && r.time == from.ns && slots_[r.slot].event.owner == owner) theirs.push_back(r);
  std::ranges::sort(theirs, [](const Record& a, const Record& b) { return a.before(b); });
  std::erase_if(heap_, [&](const Record& r) {
    return r.time == from.ns && !is_dead(r) && slots_[r.slot].event.owner == owner;
  });
  compact();
  for (const Record& r : theirs) {
    slots_[r.slot].event.at = to;
    put({to.ns, ++sequence_, r.slot, r.generation});
  }
}

// The order in which events surface is total, so that rebuilding the heap cannot change it.
void EventQueue::compact() {
  std::erase_if(heap_, [this](const Record& r) { return is_dead(r); });
  for (std::size_t at = heap_.size() / 4 + 1; at-- > 0;)
    if (at < heap_.size()) sink(at, heap_[at]);
}

}  // namespace candor::sim
