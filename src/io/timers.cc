#include "io/timers.h"

#include <utility>

namespace candor {

TimerId Timers::add(MonoTime at, Work work) {
  std::uint32_t slot = 0;
  if (free_slots_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  slots_[slot].work = std::move(work);
  heap_.push_back({at, next_order_++, slot});
  slots_[slot].place = static_cast<std::uint32_t>(heap_.size() - 1);
  sift_up(heap_.size() - 1);
  return {static_cast<std::uint64_t>(slots_[slot].generation) << 32 | slot};
}

void Timers::cancel(TimerId timer) {
  const auto slot = static_cast<std::uint32_t>(timer.value);
  const auto generation = static_cast<std::uint32_t>(timer.value >> 32);
  if (timer.value == 0 || slot >= slots_.size() || slots_[slot].generation != generation) return;
  const Work forgotten = remove(slots_[slot].place);  // destroyed here, when the heap is whole again
}

std::optional<Work> Timers::take_due(MonoTime now, std::uint64_t mark) {
  if (heap_.empty() || heap_.front().at > now || heap_.front().order >= mark) return std::nullopt;
  return remove(0);
}

Work Timers::remove(std::size_t place) {
  const std::uint32_t slot = heap_[place].slot;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (place < heap_.size()) {
    put(place, last);
    sift_down(place);
    sift_up(place);
  }
  Work work = std::move(slots_[slot].work);
  slots_[slot].work = nullptr;
  if (++slots_[slot].generation == 0) slots_[slot].generation = 1;  // 0 is "no timer"
  free_slots_.push_back(slot);
  return work;
}

void Timers::put(std::size_t place, const Entry& entry) {
  heap_[place] = entry;
  slots_[entry.slot].place = static_cast<std::uint32_t>(place);
}

void Timers::sift_up(std::size_t place) {
  const Entry moving = heap_[place];
  while (place > 0) {
    const std::size_t parent = (place - 1) / 2;
    if (!moving.before(heap_[parent])) break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, moving);
}

void Timers::sift_down(std::size_t place) {
  const Entry moving = heap_[place];
  while (true) {
    std::size_t child = 2 * place + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1].before(heap_[child])) ++child;
    if (!heap_[child].before(moving)) break;
    put(place, heap_[child]);
    place = child;
  }
  put(place, moving);
}

}  // namespace candor
