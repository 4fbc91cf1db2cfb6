#include "app/belady.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace candor::app {
namespace {

constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();

// For each request, the place of the next request of the same key.
std::vector<std::uint32_t> next_uses(const NumberedTrace& trace) {
  std::vector<std::uint32_t> next(trace.keys.size());
  std::vector<std::uint32_t> seen_at(trace.unique, kNever);
  for (std::size_t i = trace.keys.size(); i-- > 0;) {
    next[i] = seen_at[trace.keys[i]];
    seen_at[trace.keys[i]] = static_cast<std::uint32_t>(i);
  }
  return next;
}

// The cached keys by their next use. A hit changes a key's next use; its old entry stays in the heap and is
// known by not matching any more. The old ones are swept out when they are the majority.
class ByNextUse {
 public:
  ByNextUse(std::size_t capacity, std::size_t keys)
      : sweep_at_(2 * capacity + 1024), next_use_(keys, kGone) {}

  [[nodiscard]] bool contains(std::uint32_t key) const { return next_use_[key] != kGone; }
  void set(std::uint32_t key, std::uint32_t next_use) {
    next_use_[key] = next_use;
    heap_.emplace_back(next_use, key);
    std::push_heap(heap_.begin(), heap_.end());
    if (heap_.size() > sweep_at_) sweep();
  }
  void evict_last() {
    for (;;) {
      std::pop_heap(heap_.begin(), heap_.end());
      const auto [next_use, key] = heap_.back();
      heap_.pop_back();
      if (next_use_[key] != next_use) continue;
      next_use_[key] = kGone;
      return;
    }
  }

 private:
  static constexpr std::uint64_t kGone = std::numeric_limits<std::uint64_t>::max();

  void sweep() {
    std::erase_if(heap_, [this](const auto& entry) { return next_use_[entry.second] != entry.first; });
    std::make_heap(heap_.begin(), heap_.end());
  }

  std::size_t sweep_at_;
  std::vector<std::uint64_t> next_use_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> heap_;
};

}  // namespace

std::uint64_t belady_misses(const NumberedTrace& trace, std::size_t capacity) {
  const std::vector<std::uint32_t> next = next_uses(trace);
  ByNextUse cached(capacity, trace.unique);
  std::size_t entries = 0;
  std::uint64_t misses = 0;
  for (std::size_t i = 0; i < trace.keys.size(); ++i) {
    const std::uint32_t key = trace.keys[i];
    if (!cached.contains(key)) {
      ++misses;
      if (entries == std::max<std::size_t>(capacity, 1)) {
        cached.evict_last();
      } else {
        ++entries;
      }
    }
    cached.set(key, next[i]);
  }
  return misses;
}

}  // namespace candor::app
