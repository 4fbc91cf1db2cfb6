#include "tier/l1/entry.h"

namespace candor::l1 {

namespace {

// The compact form's times, or no value when they do not fit.
struct PackedTimes {
  bool fits = false;
  bool seconds = false;
  Millis anchor = 0;
  std::uint32_t ttl = 0;
};

PackedTimes pack_times(const EntryMeta& meta) {
  PackedTimes packed;
  if (meta.loaded_at < 0 || meta.expires_at < 0) return packed;
  packed.anchor = meta.expires_at == 0 ? meta.loaded_at : meta.expires_at;
  if (packed.anchor > kCompactAnchorMax) return packed;
  if (meta.expires_at != 0) {
    if (meta.loaded_at > meta.expires_at) return packed;
    std::uint64_t ttl = static_cast<std::uint64_t>(meta.expires_at - meta.loaded_at);
    if (ttl > std::numeric_limits<std::uint32_t>::max()) {
      packed.seconds = true;
      ttl = (ttl + 999) / 1000;
    }
    if (ttl > std::numeric_limits<std::uint32_t>::max()) return packed;
    packed.ttl = static_cast<std::uint32_t>(ttl);
  }
  packed.fits = true;
  return packed;
}

template <class T>
void put_bytes(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

std::uint32_t head_of(const EntryShape& shape, FeatureId feature, const EntryMeta& meta, unsigned accesses) {
  std::uint32_t head = accesses & entry_bits::kAccess;
  head |= std::uint32_t{meta.user_flags & 7U} << 3;
  if (meta.negative) head |= entry_bits::kNegative;
  if (meta.expires_at == 0) head |= entry_bits::kNoExpiry;
  if (shape.wide) head |= entry_bits::kWide;
  if (shape.indirect) head |= entry_bits::kIndirect;
  return head | std::uint32_t{feature.value} << 12;
}

// The head is stored atomically: it is the one word that a reader of an earlier entry at this place could
// race with in form.
void put_head(std::byte* at, std::uint32_t head) {
  __atomic_store_n(reinterpret_cast<std::uint32_t*>(at), head, __ATOMIC_RELAXED);
}

}  // namespace

EntryShape shape_of(std::size_t key_bytes, std::size_t value_bytes, const EntryMeta& meta,
                    std::size_t inline_value_max, std::size_t inline_entry_max) {
  EntryShape shape;
  shape.wide = key_bytes > kCompactKeyMax || value_bytes > kCompactValueMax ||
               meta.stamp.up_to.value > kCompactStampMax || !pack_times(meta).fits;
  shape.indirect =
      value_bytes > inline_value_max || kWideHeaderBytes + key_bytes + value_bytes > inline_entry_max;
  shape.wide |= shape.indirect;
  const std::size_t header = shape.wide ? kWideHeaderBytes : kCompactHeaderBytes;
  shape.bytes =
      static_cast<std::uint32_t>(header + key_bytes + (shape.indirect ? sizeof(ValueBlock*) : value_bytes));
  return shape;
}

void encode_entry(std::byte* at, const EntryShape& shape, FeatureId feature, std::string_view key,
                  std::string_view value, ValueBlock* block, const EntryMeta& meta, unsigned accesses) {
  const std::uint32_t head = head_of(shape, feature, meta, accesses);
  if (shape.wide) {
    put_head(at, head);
    put_bytes(at + 4, static_cast<std::uint32_t>(key.size()));
    put_bytes(at + 8, static_cast<std::uint32_t>(shape.indirect ? block->value_bytes : value.size()));
    put_bytes(at + 12, meta.stamp.up_to.value);
    put_bytes(at + 20, meta.loaded_at);
    put_bytes(at + 28, meta.expires_at);
    at += kWideHeaderBytes;
  } else {
    const PackedTimes times = pack_times(meta);
    const std::uint64_t stamp = meta.stamp.up_to.value;
    const auto anchor = static_cast<std::uint64_t>(times.anchor);
    put_head(at, head | (times.seconds ? entry_bits::kTtlSeconds : 0) |
                     static_cast<std::uint32_t>(key.size()) << 24);
    put_bytes(at + 4, static_cast<std::uint32_t>(value.size() | (anchor >> 32) << 12 | (stamp >> 32) << 20));
    put_bytes(at + 8, static_cast<std::uint32_t>(anchor));
    put_bytes(at + 12, times.ttl);
    put_bytes(at + 16, static_cast<std::uint32_t>(stamp));
    at += kCompactHeaderBytes;
  }
  if (!key.empty()) std::memcpy(at, key.data(), key.size());
  at += key.size();
  if (shape.indirect) {
    put_bytes(at, block);
  } else if (!value.empty()) {
    std::memcpy(at, value.data(), value.size());
  }
}

bool EntryRef::matches_wide(EntryRef entry, std::uint32_t head, std::uint32_t identity,
                            std::string_view key) {
  // The key may be short (it is the value that is long): compare the feature, then the stored length.
  return (head >> 12 & 0xFFF) == (identity >> 12 & 0xFFF) && entry.key(head) == key;
}

void EntryRef::view_wide(EntryRef entry, std::uint32_t head, EntryView* out) {
  const std::uint32_t value_bytes = entry.word(8);
  const ValueBlock* block = entry.block(head);
  out->value = {block != nullptr ? block->bytes() : entry.chars(kWideHeaderBytes + entry.word(4)),
                value_bytes};
  out->meta.stamp.up_to.value = entry.word64(12);
  out->meta.loaded_at = static_cast<Millis>(entry.word64(20));
  out->meta.expires_at = static_cast<Millis>(entry.word64(28));
  out->meta.negative = (head & entry_bits::kNegative) != 0;
  out->meta.user_flags = static_cast<std::uint8_t>(head >> 3 & 7);
}

std::uint32_t EntryRef::wide_bytes(EntryRef entry, std::uint32_t head) {
  const std::uint32_t value = (head & entry_bits::kIndirect) != 0 ? sizeof(ValueBlock*) : entry.word(8);
  return static_cast<std::uint32_t>(kWideHeaderBytes) + entry.word(4) + value;
}

}  // namespace candor::l1
