// When tags that only some keys of a feature carry were last invalidated on this node: what an entry of L1 is
// compared with, because nobody can find the keys of a tag.
//
// A table of times by the tag's hash, without the tags: two tags of one slot share the later time. That never
// lets an old entry pass; it costs entries that have nothing to do with the tag one more load each. With
// kSlots slots and k tags invalidated within a ttl, that are k of 65,536 entries.
//
// Invariant: an entry whose load began before one of its tags was invalidated here is_forgotten().
// Thread safety: invalidate() on the cache's home executor; the rest on any thread, single words.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "tier/l1/store.h"

namespace candor {

class TagTimes {
 public:
  // 512 KiB, once for a node, and only if a feature has such tags.
  static constexpr std::size_t kSlots = std::size_t{1} << 16;

  // The seed keeps clients from naming tags that share a slot.
  explicit TagTimes(std::uint64_t seed)
      : seed_(seed), slots_(std::make_unique<std::atomic<l1::Millis>[]>(kSlots)) {
    for (std::size_t i = 0; i < kSlots; ++i) slots_[i].store(kNever, std::memory_order_relaxed);
  }

  // Entries whose load began before `now` or in its millisecond are old.
  void invalidate(std::string_view tag, l1::Millis now) {
    std::atomic<l1::Millis>& slot = slots_[slot_of(tag)];
    slot.store(std::max(slot.load(std::memory_order_relaxed), now + 1), std::memory_order_relaxed);
    newest_.store(std::max(newest_.load(std::memory_order_relaxed), now + 1), std::memory_order_release);
  }

  // False for most entries of a busy cache: no need to ask for their tags.
  [[nodiscard]] bool may_be_forgotten(l1::Millis loaded_at) const {
    return loaded_at < newest_.load(std::memory_order_acquire);
  }
  [[nodiscard]] bool is_forgotten(const std::vector<std::string>& tags, l1::Millis loaded_at) const {
    return std::ranges::any_of(tags, [&](const std::string& tag) {
      return loaded_at < slots_[slot_of(tag)].load(std::memory_order_relaxed);
    });
  }

 private:
  static constexpr l1::Millis kNever = std::numeric_limits<l1::Millis>::min();
  [[nodiscard]] std::size_t slot_of(std::string_view tag) const { return hash_bytes(tag, seed_) % kSlots; }

  const std::uint64_t seed_;
  std::unique_ptr<std::atomic<l1::Millis>[]> slots_;
  std::atomic<l1::Millis> newest_{kNever};
};

}  // namespace candor
