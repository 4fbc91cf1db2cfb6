#include "tier/l1/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>

#include "base/assert.h"

namespace candor::l1 {

namespace {

// Below this a huge page would be a large part of the limit, and the TLB reaches everything anyway.
constexpr std::size_t kHugePagesFrom = std::size_t{8} << 20;

void advise(std::byte* at, std::size_t bytes, int advice) {
  if (bytes != 0)
    (void)madvise(at, bytes, advice);  // advice only: a kernel that knows none of it is as correct
}

// Huge pages for the first seven eighths. The rest stays in small pages: what is resident then cannot pass
// the limit, although the budget never lets the arena be used whole.
void advise_arena(const Reservation& range) {
  const std::size_t huge = range.bytes() < kHugePagesFrom
                               ? 0
                               : (range.bytes() - range.bytes() / 8) / kHugePageBytes * kHugePageBytes;
  advise(range.base(), huge, MADV_HUGEPAGE);
  advise(range.base() + huge, range.bytes() - huge, MADV_NOHUGEPAGE);
}

unsigned unit_shift_for(std::size_t bytes) {
  unsigned shift = 2;
  while ((bytes >> shift) >= 0xFFFFFFFE) ++shift;
  return shift;
}

}  // namespace

bool MemoryBudget::try_charge(std::size_t bytes, std::size_t reserve) {
  std::size_t used = used_.load(std::memory_order_relaxed);
  do {
    if (used + bytes + reserve > limit_) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return true;
}

Reservation::Reservation(std::size_t bytes) : bytes_(bytes) {
  mapping_bytes_ = bytes + kHugePageBytes;
  mapping_ = mmap(nullptr, mapping_bytes_, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) {
    std::fprintf(stderr,
                 "L1: cannot reserve %zu bytes of address space; raise `ulimit -v`, set vm.overcommit_memory "
                 "to 0 or 1, or "
                 "lower [l1] memory\n",
                 mapping_bytes_);
    std::abort();
  }
  const auto address = reinterpret_cast<std::uintptr_t>(mapping_);
  base_ = static_cast<std::byte*>(mapping_) + ((kHugePageBytes - address % kHugePageBytes) % kHugePageBytes);
}

Reservation::~Reservation() { munmap(mapping_, mapping_bytes_); }

SegmentArena::SegmentArena(MemoryBudget& budget, std::size_t segment_bytes)
    : budget_(budget),
      segment_shift_(static_cast<unsigned>(std::countr_zero(segment_bytes))),
      unit_shift_(unit_shift_for(budget.limit())),
      segment_count_(static_cast<std::uint32_t>(std::max<std::size_t>(budget.limit() >> segment_shift_, 1))),
      range_(std::size_t{segment_count_} << segment_shift_) {
  CANDOR_ASSERT(std::has_single_bit(segment_bytes));
  resident_.reserve(segment_count_);
  absent_.reserve(segment_count_);
  advise_arena(range_);
}

std::uint32_t SegmentArena::take(std::size_t reserve) {
  const MutexLock lock(mutex_);
  if (!resident_.empty()) {  // charged already; what is free here counts towards the reserve
    if (budget_.used() + reserve > budget_.limit() + ((resident_.size() - 1) << segment_shift_)) return kNone;
    const std::uint32_t segment = resident_.back();
    resident_.pop_back();
    return segment;
  }
  if (absent_.empty() && fresh_ == segment_count_) return kNone;
  if (!budget_.try_charge(segment_bytes(), reserve)) return kNone;
  if (absent_.empty()) return fresh_++;
  const std::uint32_t segment = absent_.back();
  absent_.pop_back();
  return segment;
}

void SegmentArena::give_back(std::uint32_t segment) {
  const MutexLock lock(mutex_);
  resident_.push_back(segment);
}

void SegmentArena::trim(std::size_t keep) {
  const MutexLock lock(mutex_);
  while (resident_.size() > keep) {
    const std::uint32_t segment = resident_.back();
    resident_.pop_back();
    advise(segment_at(segment), segment_bytes(), MADV_DONTNEED);
    absent_.push_back(segment);
    budget_.release(segment_bytes());
  }
}

std::size_t SegmentArena::resident_free_bytes() const {
  const MutexLock lock(mutex_);
  return resident_.size() << segment_shift_;
}

PageHeap::PageHeap(std::size_t range_bytes) : range_(page_rounded(range_bytes)) {
  // A huge page here would make a run of pages cost more than was charged for it.
  advise(range_.base(), range_.bytes(), MADV_NOHUGEPAGE);
  gaps_.emplace(0, range_.bytes());
}

void* PageHeap::allocate(std::size_t bytes) {
  const MutexLock lock(mutex_);
  bytes = page_rounded(bytes);
  for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap) {
    if (gap->second < bytes) continue;
    const auto [start, length] = *gap;
    gaps_.erase(gap);
    if (length > bytes) gaps_.emplace(start + bytes, length - bytes);
    return range_.base() + start;
  }
  return nullptr;
}

void PageHeap::free(void* at, std::size_t bytes) {
  bytes = page_rounded(bytes);
  advise(static_cast<std::byte*>(at), bytes, MADV_DONTNEED);
  std::size_t start = static_cast<std::size_t>(static_cast<std::byte*>(at) - range_.base());
  const MutexLock lock(mutex_);
  auto after = gaps_.lower_bound(start);
  if (after != gaps_.end() && start + bytes == after->first) {
    bytes += after->second;
    after = gaps_.erase(after);
  }
  if (after != gaps_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == start) {
      before->second += bytes;
      return;
    }
  }
  gaps_.emplace(start, bytes);
}

}  // namespace candor::l1
