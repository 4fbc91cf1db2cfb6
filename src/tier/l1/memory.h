// Where an L1 store's memory comes from, and the one account of it.
//
//   MemoryBudget  the hard limit: bytes are charged before they are touched
//   SegmentArena  equal segments of one reserved range, addressed by 32-bit offsets in units of 4 (or more)
//   bytes PageHeap      runs of pages for index tables and large values, in a range of its own
//
// Ranges are reserved, not committed: a page costs memory from its first touch, and is given back with
// MADV_DONTNEED.
//
// Invariants
//   - budget.used() <= budget.limit().
//   - A segment is with its owner, or free and resident (charged), or free and not resident (not charged).
// Thread safety: all of it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/mutex.h"

namespace candor::l1 {

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

class MemoryBudget {
 public:
  explicit MemoryBudget(std::size_t limit) : limit_(limit) {}
  [[nodiscard]] std::size_t limit() const { return limit_; }
  [[nodiscard]] std::size_t used() const { return used_.load(std::memory_order_relaxed); }
  // Charges `bytes` if that leaves `reserve` bytes below the limit.
  [[nodiscard]] bool try_charge(std::size_t bytes, std::size_t reserve = 0);
  // For what has grown already (a policy's ghosts); the next insertion makes up for it.
  void charge(std::size_t bytes) { used_.fetch_add(bytes, std::memory_order_relaxed); }
  void release(std::size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  const std::size_t limit_;
  std::atomic<std::size_t> used_{0};
};

// A range of reserved addresses.
class Reservation {
 public:
  explicit Reservation(std::size_t bytes);
  ~Reservation();
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  void* mapping_ = nullptr;
  std::size_t mapping_bytes_ = 0;
  std::byte* base_ = nullptr;  // aligned to a huge page
  std::size_t bytes_ = 0;
};

class SegmentArena {
 public:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;

  SegmentArena(MemoryBudget& budget, std::size_t segment_bytes);

  [[nodiscard]] std::size_t segment_bytes() const { return std::size_t{1} << segment_shift_; }
  [[nodiscard]] std::uint32_t segment_count() const { return segment_count_; }
  [[nodiscard]] std::byte* segment_at(std::uint32_t segment) const {
    return range_.base() + (std::size_t{segment} << segment_shift_);
  }
  // Offsets count units from one unit before the range, so that 0 can mean "empty".
  [[nodiscard]] unsigned unit_shift() const { return unit_shift_; }
  [[nodiscard]] std::byte* at(std::uint32_t offset) const {
    return range_.base() + ((std::size_t{offset} - 1) << unit_shift_);
  }
  [[nodiscard]] std::uint32_t offset_of(const std::byte* at) const {
    return static_cast<std::uint32_t>((static_cast<std::size_t>(at - range_.base()) >> unit_shift_) + 1);
  }
  [[nodiscard]] std::uint32_t segment_of(std::uint32_t offset) const {
    return static_cast<std::uint32_t>(((std::size_t{offset} - 1) << unit_shift_) >> segment_shift_);
  }
  [[nodiscard]] std::uint32_t padded(std::uint32_t bytes) const {
    const std::uint32_t unit = 1U << unit_shift_;
    return (bytes + unit - 1) & ~(unit - 1);
  }

  // kNone when none is free or the budget lacks a segment and `reserve` bytes.
  [[nodiscard]] std::uint32_t take(std::size_t reserve);
  void give_back(std::uint32_t segment);
  // Gives resident free segments beyond `keep` back to the system.
  void trim(std::size_t keep);
  [[nodiscard]] std::size_t resident_free_bytes() const;
  // Bytes of the arena's own lists.
  [[nodiscard]] std::size_t overhead_bytes() const {
    return std::size_t{segment_count_} * 2 * sizeof(std::uint32_t);
  }

 private:
  MemoryBudget& budget_;
  unsigned segment_shift_;
  unsigned unit_shift_;
  std::uint32_t segment_count_;
  Reservation range_;
  mutable Mutex mutex_;
  std::uint32_t fresh_ CANDOR_GUARDED_BY(mutex_) = 0;  // segments from here on were never taken
  std::vector<std::uint32_t> resident_ CANDOR_GUARDED_BY(mutex_);
  std::vector<std::uint32_t> absent_ CANDOR_GUARDED_BY(mutex_);
};

// First fit over a range of four times the limit: addresses are cheap, so fragmentation costs none of the
// budget. The caller charges.
class PageHeap {
 public:
  explicit PageHeap(std::size_t range_bytes);
  // Zeroed pages; null if the range is used up.
  [[nodiscard]] void* allocate(std::size_t bytes);
  void free(void* at, std::size_t bytes);
  [[nodiscard]] static std::size_t page_rounded(std::size_t bytes) {
    return (bytes + kPageBytes - 1) & ~(kPageBytes - 1);
  }

 private:
  Reservation range_;
  Mutex mutex_;
  std::map<std::size_t, std::size_t> gaps_
      CANDOR_GUARDED_BY(mutex_);  // start -> bytes; neighbours are merged
};

}  // namespace candor::l1
