// One entry: a 20-byte header, the key's bytes, the value's bytes, packed without pointers. Immutable once
// published, except for the access bits (any reader, racing, lossy) and the dead bit (the writer).
//
//   compact form                                   wide form (long keys or values, unusual stamps or times)
//   +0  identity and flags (below)                 +0  identity and flags
//   +4  value length 12 | anchor 8 | stamp 12      +4  key length 32, value length 32
//   +8  anchor, low 32 bits                        +12 stamp 64
//   +12 ttl 32                                     +20 loaded_at 64
//   +16 stamp, low 32 bits                         +28 expires_at 64
//   +20 key, value                                 +36 key, then the value or the address of its block
//
// anchor: expires_at (or loaded_at of an entry without expiry), 40 bits of milliseconds: 34 years of uptime.
// ttl: expires_at - loaded_at, in ms, or in seconds rounded up above 49 days, so that loaded_at may look
// older than it is, never younger. stamp: 44 bits. Whatever does not fit takes the wide form: nothing is ever
// cut off.
//
// Identity and flags, from bit 0: access 3, user flags 3, negative 1, no expiry 1 | dead 1, wide 1, indirect
// 1, ttl in seconds 1, feature 12, key length 8. Access bits and the dead bit live in different bytes, so
// each is raised with a plain one-byte store.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>

#include "base/ids.h"
#include "tier/l1/entry_view.h"

namespace candor::l1 {

static_assert(std::endian::native == std::endian::little, "the entry header is addressed by bytes");

inline constexpr std::size_t kCompactHeaderBytes = 20;
inline constexpr std::size_t kWideHeaderBytes = 36;
inline constexpr std::size_t kCompactKeyMax = 255;
inline constexpr std::size_t kCompactValueMax = 4095;
inline constexpr std::uint64_t kCompactStampMax = (std::uint64_t{1} << 44) - 1;
inline constexpr Millis kCompactAnchorMax = (Millis{1} << 40) - 1;

namespace entry_bits {
inline constexpr std::uint32_t kAccess = 7;
inline constexpr std::uint32_t kNegative = 1U << 6;
inline constexpr std::uint32_t kNoExpiry = 1U << 7;
inline constexpr std::uint32_t kDead = 1U << 8;
inline constexpr std::uint32_t kWide = 1U << 9;
inline constexpr std::uint32_t kIndirect = 1U << 10;
inline constexpr std::uint32_t kTtlSeconds = 1U << 11;
inline constexpr std::uint32_t kIdentity = 0xFFFFF000U | kWide;  // feature, key length and form
}  // namespace entry_bits

// Compares short keys without a call; memcmp costs 3 to 5 ns for them.
[[nodiscard]] inline bool equal_bytes(const char* a, const char* b, std::size_t n) {
  const auto word = [](const char* p) {
    std::uint64_t w;
    std::memcpy(&w, p, sizeof w);
    return w;
  };
  if (n >= 8) {
    if (n > 32) return std::memcmp(a, b, n) == 0;
    for (std::size_t i = 0; i + 8 < n; i += 8) {
      if (word(a + i) != word(b + i)) return false;
    }
    return word(a + n - 8) == word(b + n - 8);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

// A value too large for a segment lives in a block of its own; this header stands before its bytes.
struct ValueBlock {
  ValueBlock* next = nullptr;    // in limbo
  std::size_t mapped_bytes = 0;  // header included, whole pages
  std::uint64_t retired_epoch = 0;
  std::size_t value_bytes = 0;
  [[nodiscard]] char* bytes() { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }
};

// What an entry will look like; decided before room is made for it.
struct EntryShape {
  bool wide = false;
  bool indirect = false;
  std::uint32_t bytes = 0;  // without padding to the arena's unit
};
[[nodiscard]] EntryShape shape_of(std::size_t key_bytes, std::size_t value_bytes, const EntryMeta& meta,
                                  std::size_t inline_value_max, std::size_t inline_entry_max);

// Writes an entry. `block` holds the value when the shape is indirect.
void encode_entry(std::byte* at, const EntryShape& shape, FeatureId feature, std::string_view key,
                  std::string_view value, ValueBlock* block, const EntryMeta& meta, unsigned accesses);

// An entry in place. A cheap copyable handle.
class EntryRef {
 public:
  explicit EntryRef(std::byte* at) : at_(at) {}

  [[nodiscard]] std::byte* at() const { return at_; }
  [[nodiscard]] std::uint32_t head() const {
    return __atomic_load_n(reinterpret_cast<std::uint32_t*>(at_), __ATOMIC_RELAXED);
  }

  [[nodiscard]] static std::uint32_t identity(FeatureId feature, std::size_t key_bytes) {
    if (key_bytes > kCompactKeyMax) return entry_bits::kWide | std::uint32_t{feature.value} << 12;
    return std::uint32_t{feature.value} << 12 | static_cast<std::uint32_t>(key_bytes) << 24;
  }

  // `identity` is that of (feature, key). Compact entries only: false for any other.
  [[nodiscard]] bool matches_compact(std::uint32_t head, std::uint32_t identity, std::string_view key) const {
    return (head & entry_bits::kIdentity) == identity && (identity & entry_bits::kWide) == 0 &&
           equal_bytes(chars(kCompactHeaderBytes), key.data(), key.size());
  }
  [[nodiscard]] bool matches(std::uint32_t head, std::uint32_t identity, std::string_view key) const {
    if (((head ^ identity) & entry_bits::kIdentity) == 0 && (head & entry_bits::kWide) == 0) [[likely]] {
      return equal_bytes(chars(kCompactHeaderBytes), key.data(), key.size());
    }
    return (head & entry_bits::kWide) != 0 && matches_wide(*this, head, identity, key);
  }

  [[nodiscard]] FeatureId feature(std::uint32_t head) const {
    return FeatureId{static_cast<std::uint16_t>(head >> 12 & 0xFFF)};
  }
  [[nodiscard]] std::string_view key(std::uint32_t head) const {
    if ((head & entry_bits::kWide) != 0) [[unlikely]]
      return {chars(kWideHeaderBytes), word(4)};
    return {chars(kCompactHeaderBytes), head >> 24};
  }
  [[nodiscard]] Millis expires_at(std::uint32_t head) const {  // 0: never
    if ((head & entry_bits::kNoExpiry) != 0) return 0;
    if ((head & entry_bits::kWide) != 0) [[unlikely]]
      return static_cast<Millis>(word64(28));
    return anchor();
  }
  [[nodiscard]] bool is_expired_compact(std::uint32_t head, Millis now) const {
    return (head & entry_bits::kNoExpiry) == 0 && anchor() <= now;
  }
  [[nodiscard]] bool is_expired(std::uint32_t head, Millis now) const {
    if ((head & entry_bits::kNoExpiry) != 0) return false;
    return expires_at(head) <= now;
  }
  void view(std::uint32_t head, EntryView* out) const {
    if ((head & entry_bits::kWide) != 0) [[unlikely]]
      return view_wide(*this, head, out);
    view_compact(head, head >> 24, out);
  }
  // `key_bytes` is what the head says. A caller that knows the key passes its size: where the value begins
  // then does not wait for the head's trip to memory.
  void view_compact(std::uint32_t head, std::size_t key_bytes, EntryView* out) const {
    const std::uint32_t packed = word(4);
    out->value = {chars(kCompactHeaderBytes + key_bytes), packed & 0xFFF};
    out->meta.stamp.up_to.value = std::uint64_t{packed >> 20} << 32 | word(16);
    const Millis at = anchor();
    if ((head & entry_bits::kNoExpiry) != 0) {
      out->meta.loaded_at = at;
      out->meta.expires_at = 0;
    } else {
      const Millis unit = (head & entry_bits::kTtlSeconds) != 0 ? 1000 : 1;
      out->meta.loaded_at = at - Millis{word(12)} * unit;
      out->meta.expires_at = at;
    }
    out->meta.negative = (head & entry_bits::kNegative) != 0;
    out->meta.user_flags = static_cast<std::uint8_t>(head >> 3 & 7);
  }
  // Bytes in the segment, without padding.
  [[nodiscard]] std::uint32_t bytes(std::uint32_t head) const {
    if ((head & entry_bits::kWide) != 0) [[unlikely]]
      return wide_bytes(*this, head);
    return static_cast<std::uint32_t>(kCompactHeaderBytes) + (head >> 24) + (word(4) & 0xFFF);
  }
  [[nodiscard]] ValueBlock* block(std::uint32_t head) const {  // null unless indirect
    if ((head & entry_bits::kIndirect) == 0) return nullptr;
    ValueBlock* block = nullptr;
    std::memcpy(&block, at_ + kWideHeaderBytes + word(4), sizeof block);
    return block;
  }

  // A reader's access. Racing readers may lose one of two: the bits are a hint. Once they are saturated the
  // store goes to `elsewhere`, a byte of the reader's own: whether an entry is warm is a coin toss for the
  // branch predictor, and a wrong guess would hold up everything behind this entry's trip to memory.
  void raise_access(std::uint32_t head, std::byte* elsewhere) const {
    const std::uintptr_t is_full = 0 - std::uintptr_t{(head & entry_bits::kAccess) == entry_bits::kAccess};
    const auto mine = reinterpret_cast<std::uintptr_t>(at_);
    const std::uintptr_t target = mine ^ ((mine ^ reinterpret_cast<std::uintptr_t>(elsewhere)) & is_full);
    __atomic_store_n(reinterpret_cast<std::uint8_t*>(target), static_cast<std::uint8_t>(head + 1),
                     __ATOMIC_RELAXED);
  }
  // Writer only.
  void set_access(std::uint32_t head, unsigned accesses) const {
    store_byte(0,
               static_cast<std::uint8_t>((head & ~entry_bits::kAccess) | (accesses & entry_bits::kAccess)));
  }
  void mark_dead(std::uint32_t head) const {
    store_byte(1, static_cast<std::uint8_t>((head | entry_bits::kDead) >> 8));
  }

  // Copies this live entry to `to`; readers may raise access bits meanwhile.
  void copy_to(std::byte* to, std::uint32_t head, unsigned accesses) const {
    const std::uint32_t copy = (head & ~entry_bits::kAccess) | accesses;
    __atomic_store_n(reinterpret_cast<std::uint32_t*>(to), copy, __ATOMIC_RELAXED);
    std::memcpy(to + 4, at_ + 4, bytes(head) - 4);
  }

 private:
  [[nodiscard]] const char* chars(std::size_t offset) const {
    return reinterpret_cast<const char*>(at_) + offset;
  }
  [[nodiscard]] std::uint32_t word(std::size_t offset) const {
    std::uint32_t value;
    std::memcpy(&value, at_ + offset, sizeof value);
    return value;
  }
  [[nodiscard]] std::uint64_t word64(std::size_t offset) const {
    std::uint64_t value;
    std::memcpy(&value, at_ + offset, sizeof value);
    return value;
  }
  [[nodiscard]] Millis anchor() const {
    return static_cast<Millis>(std::uint64_t{word(4) >> 12 & 0xFF} << 32 | word(8));
  }
  void store_byte(std::size_t offset, std::uint8_t value) const {
    __atomic_store_n(reinterpret_cast<std::uint8_t*>(at_) + offset, value, __ATOMIC_RELAXED);
  }
  // Static and by value: a call on `this` would force every EntryRef on the hit path into memory.
  [[nodiscard]] static bool matches_wide(EntryRef entry, std::uint32_t head, std::uint32_t identity,
                                         std::string_view key);
  static void view_wide(EntryRef entry, std::uint32_t head, EntryView* out);
  [[nodiscard]] static std::uint32_t wide_bytes(EntryRef entry, std::uint32_t head);

  std::byte* at_;
};

}  // namespace candor::l1
