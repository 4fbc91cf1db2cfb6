// The index of one shard: open addressing over buckets of one cache line.
//
//   12 tags of one byte (0: empty) | overflow count | 12 offsets of four bytes                       = 64
//   bytes
//
// An entry whose home bucket is full goes to the next one with room, and every bucket passed over counts it
// in `overflow`; a reader goes on while that count is not zero. Entries never change their slot, so that a
// reader that walks while a writer works cannot miss one that is there all the time. A moved entry gets its
// slot's offset replaced in place.
//
// Sum: 64 / 12 = 5.33 bytes a slot; between 71 % and 85 % full (grown by 1.2): 6.3 to 7.5 bytes an entry.
//
// Thread safety: find() by any reader inside an epoch guard; everything else under the shard's lock.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/assert.h"
#include "base/asymmetric_fence.h"
#include "tier/l1/key_hash.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace candor::l1 {

inline constexpr unsigned kBucketSlots = 12;

struct alignas(64) Bucket {
  std::atomic<std::uint64_t> tags_low;   // slots 0 … 7
  std::atomic<std::uint32_t> tags_high;  // slots 8 … 11
  std::atomic<std::uint32_t> overflow;   // entries that passed by here
  std::atomic<std::uint32_t> offsets[kBucketSlots];
};
static_assert(sizeof(Bucket) == 64);

// The slots of a bucket that carry a tag, one bit each. One branch-free mask for all twelve: with a word at a
// time, the choice between the words was a coin toss for the branch predictor, and cost a third of a cached
// hit.
class TagMatches {
 public:
  TagMatches(const Bucket& bucket, std::uint8_t tag) {
#if defined(__SSE2__) && !defined(CANDOR_TSAN)
    // One aligned load. The processor may tear it between the atomics, which are independent of each other;
    // it keeps load order.
    const __m128i tags = _mm_load_si128(reinterpret_cast<const __m128i*>(&bucket));
    const __m128i same = _mm_cmpeq_epi8(tags, _mm_set1_epi8(static_cast<char>(tag)));
    mask_ = static_cast<std::uint32_t>(_mm_movemask_epi8(same)) & kSlotMask;
    std::atomic_signal_fence(std::memory_order_acquire);
#else
    const std::uint64_t low = bucket.tags_low.load(std::memory_order_acquire);
    const std::uint32_t high = bucket.tags_high.load(std::memory_order_acquire);
    for (unsigned i = 0; i < 8; ++i)
      mask_ |= std::uint32_t{static_cast<std::uint8_t>(low >> (i * 8)) == tag} << i;
    for (unsigned i = 0; i < 4; ++i)
      mask_ |= std::uint32_t{static_cast<std::uint8_t>(high >> (i * 8)) == tag} << (i + 8);
#endif
  }
  [[nodiscard]] bool any() const { return mask_ != 0; }
  unsigned pop() {
    const auto slot = static_cast<unsigned>(std::countr_zero(mask_));
    mask_ &= mask_ - 1;
    return slot;
  }

 private:
  static constexpr std::uint32_t kSlotMask = (1U << kBucketSlots) - 1;
  std::uint32_t mask_ = 0;
};

struct Slot {
  std::uint64_t bucket = 0;
  unsigned slot = kBucketSlots;
  [[nodiscard]] bool is_valid() const { return slot != kBucketSlots; }
};

// Stands at the front of its own zeroed pages; made by emplacing into them.
class alignas(64) IndexTable {
 public:
  explicit IndexTable(std::uint64_t buckets) : buckets_(buckets) {}
  [[nodiscard]] static std::size_t bytes_for(std::uint64_t buckets) { return (buckets + 1) * sizeof(Bucket); }

  [[nodiscard]] std::size_t bytes() const { return bytes_for(buckets_); }
  [[nodiscard]] std::uint64_t bucket_count() const { return buckets_; }
  [[nodiscard]] std::uint64_t slot_count() const { return buckets_ * kBucketSlots; }
  [[nodiscard]] const Bucket& bucket(std::uint64_t i) const { return data()[i]; }

  // Calls accept(offset) for candidates until it returns true.
  template <class Accept>
  bool find(std::uint64_t hash, Accept&& accept, Slot* found = nullptr) const {
    const std::uint8_t tag = tag_of_hash(hash);
    std::uint64_t i = bucket_of_hash(hash, buckets_);
    for (std::uint64_t probes = 0; probes < buckets_; ++probes) {
      const Bucket& b = data()[i];
      TagMatches matches(b, tag);
      while (matches.any()) {
        const unsigned slot = matches.pop();
        const std::uint32_t offset = b.offsets[slot].load(std::memory_order_acquire);
        if (offset != 0 && accept(offset)) [[likely]] {
          if (found != nullptr) *found = Slot{i, slot};
          return true;
        }
      }
      if (b.overflow.load(std::memory_order_acquire) == 0) [[likely]]
        return false;
      if (++i == buckets_) i = 0;
    }
    return false;
  }

  // False only if every slot is taken.
  [[nodiscard]] bool insert(std::uint64_t hash, std::uint32_t offset);
  void replace(Slot slot, std::uint32_t offset) {
    data()[slot.bucket].offsets[slot.slot].store(offset, std::memory_order_release);
  }
  void erase(std::uint64_t hash, Slot slot);
  [[nodiscard]] std::uint32_t offset_at(Slot slot) const {
    return data()[slot.bucket].offsets[slot.slot].load(std::memory_order_relaxed);
  }

  // Limbo list of retired tables.
  IndexTable* next = nullptr;
  std::uint64_t retired_epoch = 0;

 private:
  [[nodiscard]] Bucket* data() { return reinterpret_cast<Bucket*>(this) + 1; }
  [[nodiscard]] const Bucket* data() const { return reinterpret_cast<const Bucket*>(this) + 1; }

  std::uint64_t buckets_;
};
static_assert(sizeof(IndexTable) == 64);

// Where a table stands and how large it is, in one word: a reader needs one load, and never sees the place of
// one table with the size of another. Addresses are whole pages below 2^48, sizes whole pages below 2^28.
class TableRef {
 public:
  TableRef() = default;
  explicit TableRef(const IndexTable* table)
      : word_(reinterpret_cast<std::uintptr_t>(table) >> kPageShift << kPagesBits |
              table->bytes() >> kPageShift) {
    CANDOR_ASSERT(this->table() == table && bucket_count() == table->bucket_count());
  }
  [[nodiscard]] IndexTable* table() const {
    return reinterpret_cast<IndexTable*>(word_ >> kPagesBits << kPageShift);
  }
  [[nodiscard]] const Bucket& home(std::uint64_t hash) const {
    return (reinterpret_cast<const Bucket*>(table()) + 1)[bucket_of_hash(hash, bucket_count())];
  }

 private:
  static constexpr unsigned kPageShift = 12;
  static constexpr unsigned kPagesBits = 28;
  // Of a page of buckets, the table's own line takes the place of one.
  [[nodiscard]] std::uint64_t bucket_count() const {
    return (word_ & ((std::uint64_t{1} << kPagesBits) - 1)) * ((1U << kPageShift) / sizeof(Bucket)) - 1;
  }
  std::uint64_t word_ = 0;
};
static_assert(std::atomic<TableRef>::is_always_lock_free);

}  // namespace candor::l1
