#include "tier/l1/index.h"

#include "base/assert.h"

namespace candor::l1 {

namespace {

// Tag 0 marks the empty slots.
unsigned first_empty(const Bucket& bucket) {
  TagMatches empty(bucket, 0);
  return empty.any() ? empty.pop() : kBucketSlots;
}

void set_tag(Bucket& bucket, unsigned slot, std::uint8_t tag) {
  if (slot < 8) {
    const std::uint64_t kept =
        bucket.tags_low.load(std::memory_order_relaxed) & ~(std::uint64_t{0xFF} << (slot * 8));
    bucket.tags_low.store(kept | std::uint64_t{tag} << (slot * 8), std::memory_order_release);
  } else {
    const unsigned shift = (slot - 8) * 8;
    const std::uint32_t kept =
        bucket.tags_high.load(std::memory_order_relaxed) & ~(std::uint32_t{0xFF} << shift);
    bucket.tags_high.store(kept | std::uint32_t{tag} << shift, std::memory_order_release);
  }
}

void add(std::atomic<std::uint32_t>& counter, std::uint32_t delta) {
  counter.store(counter.load(std::memory_order_relaxed) + delta, std::memory_order_release);
}

}  // namespace

bool IndexTable::insert(std::uint64_t hash, std::uint32_t offset) {
  const std::uint64_t home = bucket_of_hash(hash, buckets_);
  std::uint64_t i = home;
  unsigned slot = first_empty(data()[i]);
  for (std::uint64_t probes = 1; slot == kBucketSlots; ++probes) {
    if (probes == buckets_) return false;
    if (++i == buckets_) i = 0;
    slot = first_empty(data()[i]);
  }
  // Readers must find the way before they can need it: overflow counts first, then the offset, then the tag.
  for (std::uint64_t passed = home; passed != i; passed = passed + 1 == buckets_ ? 0 : passed + 1) {
    add(data()[passed].overflow, 1);
  }
  data()[i].offsets[slot].store(offset, std::memory_order_release);
  set_tag(data()[i], slot, tag_of_hash(hash));
  return true;
}

void IndexTable::erase(std::uint64_t hash, Slot slot) {
  Bucket& b = data()[slot.bucket];
  set_tag(b, slot.slot, 0);
  // Zero, so that a reader with the old tags never follows an offset whose entry is gone
  // for good.
  b.offsets[slot.slot].store(0, std::memory_order_release);
  for (std::uint64_t i = bucket_of_hash(hash, buckets_); i != slot.bucket;
       i = i + 1 == buckets_ ? 0 : i + 1) {
    add(data()[i].overflow, static_cast<std::uint32_t>(-1));
  }
}

}  // namespace candor::l1
