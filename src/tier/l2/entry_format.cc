#include "tier/l2/entry_format.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/hash.h"
#include "base/ids.h"

namespace candor::l2 {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is written with memcpy");

constexpr std::string_view kMagic = "CDL2";
constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kNegative = 1;
constexpr std::uint8_t kZstd = 2;
constexpr std::uint8_t kTagged = 4;
constexpr std::uint8_t kStampBound = 1;
constexpr std::uint8_t kStampSnapshot = 2;
constexpr std::size_t kSnapshotHeadBytes = 1 + 2 * sizeof(std::uint64_t);
// Any constant will do; not 0, so that another program's XXH3 of the same bytes does not match by habit.
constexpr std::uint64_t kChecksumSeed = 0x43444c322d763031ULL;

template <class T>
void put(std::string& out, T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

template <class T>
T at(std::string_view bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::uint64_t whole_ms(Duration d) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, d.count() / 1'000'000));
}

// A snapshot with more transactions in progress than fit is written as its bound: it then includes less,
// never more.
std::string stamp_bytes(const Stamp& stamp) {
  std::string out;
  if (!stamp.is_known()) return out;
  const bool whole = stamp.in_progress != nullptr &&
                     kSnapshotHeadBytes + stamp.in_progress->size() * sizeof(std::uint64_t) <= kStampBytesMax;
  put(out, whole ? kStampSnapshot : kStampBound);
  put(out, stamp.up_to.value);
  if (!whole) return out;
  put(out, stamp.limit.value);
  for (const std::uint64_t id : *stamp.in_progress) put(out, id);
  return out;
}

Stamp read_snapshot(std::string_view bytes) {
  Stamp stamp;
  const std::size_t listed = bytes.size() - kSnapshotHeadBytes;
  if (listed == 0 || listed % sizeof(std::uint64_t) != 0) return stamp;
  std::vector<std::uint64_t> ids(listed / sizeof(std::uint64_t));
  std::memcpy(ids.data(), bytes.data() + kSnapshotHeadBytes, listed);
  if (!std::is_sorted(ids.begin(), ids.end())) return stamp;
  stamp.up_to = ChangeId{at<std::uint64_t>(bytes, 1)};
  stamp.limit = ChangeId{at<std::uint64_t>(bytes, 1 + sizeof(std::uint64_t))};
  stamp.in_progress = std::make_shared<const std::vector<std::uint64_t>>(std::move(ids));
  return stamp;
}

Stamp read_stamp(std::string_view bytes) {
  if (bytes.empty()) return Stamp{};
  const auto kind = static_cast<std::uint8_t>(bytes[0]);
  if (kind == kStampBound && bytes.size() == 1 + sizeof(std::uint64_t)) {
    return Stamp{ChangeId{at<std::uint64_t>(bytes, 1)}};
  }
  if (kind == kStampSnapshot && bytes.size() > kSnapshotHeadBytes) return read_snapshot(bytes);
  return Stamp{};
}

// Contexts are about 100 KB and slow to make: one a thread.
struct ZstdContexts {
  ZSTD_CCtx* compress = ZSTD_createCCtx();
  ZSTD_DCtx* expand = ZSTD_createDCtx();
  ~ZstdContexts() {
    ZSTD_freeCCtx(compress);
    ZSTD_freeDCtx(expand);
  }
};
ZstdContexts& contexts() {
  thread_local ZstdContexts contexts;
  return contexts;
}

// Empty: it does not help.
std::string compressed(std::string_view value, int level) {
  // zstd refuses to write past the room it is given, which is the test for "saves an eighth".
  std::string out(value.size() - value.size() / 8, '\0');
  const std::size_t n =
      ZSTD_compressCCtx(contexts().compress, out.data(), out.size(), value.data(), value.size(), level);
  out.resize(ZSTD_isError(n) ? 0 : n);
  return out;
}

std::unexpected<Error> corrupt(std::string what) {
  return fail(ErrorCode::kCorrupt, "L2 entry: " + std::move(what) + "; it is treated as absent");
}

Result<std::string> expand(std::string_view payload, std::size_t raw_bytes) {
  std::string out(raw_bytes, '\0');
  const std::size_t n =
      ZSTD_decompressDCtx(contexts().expand, out.data(), out.size(), payload.data(), payload.size());
  if (ZSTD_isError(n) || n != raw_bytes) return corrupt("the compressed value does not expand to its size");
  return out;
}

// Lower-case hexadecimal, as encode_entry() and the scripts write it.
std::optional<std::uint64_t> read_tag_mark(std::string_view text) {
  std::uint64_t mark = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), mark, 16);
  if (read.ec != std::errc{} || mark == 0 || tag_mark_text(mark) != text) return std::nullopt;
  return mark;
}

}  // namespace

std::string tag_mark_text(std::uint64_t mark) {
  return mark == 0 ? std::string() : fmt::format("{:016x}", mark);
}

Result<std::string> encode_entry(const StoredEntry& entry, const FormatOptions& options) {
  if (entry.value.size() > kValueBytesMax) {
    return fail(ErrorCode::kLimit, fmt::format("value of {} bytes is above the limit of {}",
                                               entry.value.size(), kValueBytesMax));
  }
  std::string small;
  if (options.compress_above != 0 && entry.value.size() >= options.compress_above) {
    small = compressed(entry.value, options.zstd_level);
  }
  const std::string_view payload = small.empty() ? std::string_view{entry.value} : std::string_view{small};
  const std::string stamp = stamp_bytes(entry.stamp);

  std::string out;
  out.reserve(kHeaderBytes + kTagMarkBytes + stamp.size() + payload.size() + kChecksumBytes);
  out.append(kMagic);
  put(out, kVersion);
  put(out, static_cast<std::uint8_t>((entry.negative ? kNegative : 0) | (small.empty() ? 0 : kZstd) |
                                     (entry.tag_mark == 0 ? 0 : kTagged)));
  put(out, static_cast<std::uint16_t>(stamp.size()));
  put(out, whole_ms(entry.ttl));
  put(out, static_cast<std::uint32_t>(std::min<std::uint64_t>(whole_ms(entry.age), UINT32_MAX)));
  put(out, static_cast<std::uint32_t>(entry.value.size()));
  put(out, static_cast<std::uint32_t>(payload.size()));
  put(out, entry.generation);
  out.append(tag_mark_text(entry.tag_mark));
  out.append(stamp);
  out.append(payload);
  put(out, hash_bytes(out, kChecksumSeed));
  return out;
}

Result<StoredEntry> decode_entry(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes + kChecksumBytes) return corrupt("shorter than its header");
  if (bytes.substr(0, kMagic.size()) != kMagic) return corrupt("does not begin with CDL2");
  const auto version = at<std::uint8_t>(bytes, 4);
  if (version != kVersion) {
    return corrupt(fmt::format("format version {}, this build knows version {}", version, kVersion));
  }
  const std::string_view body = bytes.substr(0, bytes.size() - kChecksumBytes);
  if (at<std::uint64_t>(bytes, body.size()) != hash_bytes(body, kChecksumSeed)) {
    return corrupt("checksum does not match");
  }
  // The checksum is no secret: what follows must hold against bytes that were made on purpose.
  const auto flags = at<std::uint8_t>(bytes, 5);
  const std::size_t stamp_size = at<std::uint16_t>(bytes, 6);
  const auto ttl_ms = at<std::uint64_t>(bytes, 8);
  const auto age_ms = at<std::uint32_t>(bytes, 16);
  const std::size_t raw_size = at<std::uint32_t>(bytes, 20);
  const std::size_t payload_size = at<std::uint32_t>(bytes, 24);
  if ((flags & ~(kNegative | kZstd | kTagged)) != 0) return corrupt("unknown flags");
  if (stamp_size > kStampBytesMax) return corrupt("stamp larger than its limit");
  if (raw_size > kValueBytesMax) return corrupt("value larger than its limit");
  const std::size_t head_size = kHeaderBytes + ((flags & kTagged) != 0 ? kTagMarkBytes : 0);
  if (head_size + stamp_size + payload_size != body.size()) return corrupt("lengths do not add up");
  constexpr std::uint64_t kTtlMsMax = std::uint64_t{1} << 40;  // 35 years; more would overflow nanoseconds
  if (ttl_ms > kTtlMsMax) return corrupt("impossible ttl");
  const std::string_view payload = body.substr(head_size + stamp_size);

  StoredEntry entry;
  entry.negative = (flags & kNegative) != 0;
  entry.stamp = read_stamp(body.substr(head_size, stamp_size));
  entry.ttl = std::chrono::milliseconds(ttl_ms);
  entry.age = std::chrono::milliseconds(age_ms);
  entry.generation = at<std::uint32_t>(bytes, 28);
  if ((flags & kTagged) != 0) {
    const auto mark = read_tag_mark(body.substr(kHeaderBytes, kTagMarkBytes));
    if (!mark) return corrupt("its tag mark is no number");
    entry.tag_mark = *mark;
  }
  if ((flags & kZstd) != 0) {
    // Refuse before allocating: the frame says its size, and a frame that does not, or says another, is not
    // ours.
    if (ZSTD_getFrameContentSize(payload.data(), payload.size()) != raw_size) {
      return corrupt("the compressed value does not expand to its size");
    }
    auto value = expand(payload, raw_size);
    if (!value) return std::unexpected(value.error());
    entry.value = std::move(*value);
  } else {
    if (payload_size != raw_size) return corrupt("lengths do not add up");
    entry.value.assign(payload);
  }
  return entry;
}

}  // namespace candor::l2
