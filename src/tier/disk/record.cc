#include "tier/disk/record.h"

#include "base/hash.h"
#include "tier/disk/bytes.h"

namespace candor::disk {
namespace {

constexpr std::uint32_t kRecordMagic = 0x4b444443;  // "CDDK"
constexpr std::uint8_t kRecordVersion = 1;
// Any constant will do; not 0, so that another program's XXH3 of the same bytes does not match by habit.
constexpr std::uint64_t kRecordSeed = 0x43444b2d76303031ULL;

std::uint64_t checksum(std::string_view name, std::string_view bytes) {
  return hash_bytes(bytes, hash_bytes(name, kRecordSeed));
}

}  // namespace

std::string encode_record(std::string_view name, const Record& record) {
  std::string out;
  out.reserve(kRecordHeadBytes + record.value.size() + kRecordChecksumBytes);
  put_field(out, kRecordMagic);
  put_field(out, kRecordVersion);
  put_field(out, record.meta.user_flags);
  put_field(out, std::uint16_t{0});
  put_field(out, record.sequence);
  put_field(out, record.boot);
  put_field(out, record.meta.loaded_at);
  put_field(out, record.meta.expires_at);
  put_field(out, record.meta.stamp.up_to.value);
  put_field(out, record.history);
  out.append(record.value);
  put_field(out, checksum(name, out));
  return out;
}

std::optional<Record> decode_record(std::string_view name, std::string_view bytes) {
  if (bytes.size() < kRecordHeadBytes + kRecordChecksumBytes) return std::nullopt;
  const std::string_view body = bytes.substr(0, bytes.size() - kRecordChecksumBytes);
  if (FieldReader(bytes.substr(body.size())).take<std::uint64_t>() != checksum(name, body))
    return std::nullopt;
  FieldReader in(body);
  if (in.take<std::uint32_t>() != kRecordMagic || in.take<std::uint8_t>() != kRecordVersion)
    return std::nullopt;
  Record record;
  record.meta.user_flags = in.take<std::uint8_t>();
  (void)in.take<std::uint16_t>();
  record.sequence = in.take<std::uint64_t>();
  record.boot = in.take<std::uint64_t>();
  record.meta.loaded_at = in.take<l1::Millis>();
  record.meta.expires_at = in.take<l1::Millis>();
  record.meta.stamp.up_to.value = in.take<std::uint64_t>();
  record.history = in.take<std::uint64_t>();
  record.value = in.rest();
  return record;
}

}  // namespace candor::disk
