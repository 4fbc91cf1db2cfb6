#include "cache/write_behind_format.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/hash.h"

namespace candor::write_behind {
namespace {

constexpr std::string_view kMagic = "CNDRWB01";
constexpr std::uint32_t kMark = 0x31425743;  // "CWB1"
// Fixed for ever: what was written must be read back.
constexpr std::uint64_t kChecksumSeed = 0x77726974656c6f67;  // "writelog"
constexpr std::size_t kBodyFixedBytes = 13;                  // position, kind, key length
constexpr std::size_t kReasonBytesMax = 4096;                // a database's message, cut

template <class T>
void put(std::string& out, T number) {
  for (std::size_t i = 0; i < sizeof(T); ++i) out.push_back(static_cast<char>(number >> (8 * i)));
}
template <class T>
T get(std::string_view bytes) {
  T number = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    number |= static_cast<T>(static_cast<T>(static_cast<unsigned char>(bytes[i])) << (8 * i));
  return number;
}

std::uint64_t checksum(std::string_view bytes) { return hash_bytes(bytes, kChecksumSeed); }

// Mark, length and body stand apart in the file; together they are what the checksum is of.
std::uint64_t record_checksum(std::string_view head, std::string_view body, std::uint64_t seed) {
  return hash_bytes(body, hash_bytes(head, seed));
}
std::uint64_t seed_of(const LogId& id) {
  return checksum({reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()});
}

bool is_kind(std::uint8_t kind) { return kind >= 1 && kind <= 5; }

// The record at the beginning of `bytes`, if a whole one is there; `used`: its length.
std::optional<Record> record_at(std::string_view bytes, std::uint64_t seed, std::size_t* used) {
  if (bytes.size() < kRecordHeadBytes || get<std::uint32_t>(bytes) != kMark) return std::nullopt;
  const std::size_t length = get<std::uint32_t>(bytes.substr(4));
  if (length < kBodyFixedBytes || length > kBodyBytesMax) return std::nullopt;
  if (bytes.size() - kRecordHeadBytes < length) return std::nullopt;
  const std::string_view body = bytes.substr(kRecordHeadBytes, length);
  if (get<std::uint64_t>(bytes.substr(8)) != record_checksum(bytes.substr(0, 8), body, seed))
    return std::nullopt;
  const auto kind = static_cast<std::uint8_t>(body[8]);
  const std::size_t key_bytes = get<std::uint32_t>(body.substr(9));
  if (!is_kind(kind) || key_bytes > length - kBodyFixedBytes) return std::nullopt;
  Record record;
  record.position = get<std::uint64_t>(body);
  record.kind = static_cast<RecordKind>(kind);
  record.key = body.substr(kBodyFixedBytes, key_bytes);
  record.value = std::make_shared<const std::string>(body.substr(kBodyFixedBytes + key_bytes));
  *used = kRecordHeadBytes + length;
  return record;
}

// Where the next whole record begins; npos: nowhere.
std::size_t next_record(std::string_view bytes, std::uint64_t seed, std::size_t from) {
  std::string mark;
  put(mark, kMark);
  for (std::size_t at = bytes.find(mark, from); at != std::string_view::npos; at = bytes.find(mark, at + 1)) {
    std::size_t used = 0;
    if (record_at(bytes.substr(at), seed, &used)) return at;
  }
  return std::string_view::npos;
}

void scan_from(std::string_view bytes, std::uint64_t seed, std::size_t at, SegmentScan* scan) {
  scan->whole_bytes = at;
  while (at < bytes.size()) {
    std::size_t used = 0;
    if (auto record = record_at(bytes.substr(at), seed, &used)) {
      scan->records.push_back(std::move(*record));
      at += used;
      scan->whole_bytes = at;
      continue;
    }
    const std::size_t next = next_record(bytes, seed, at + 1);
    if (next == std::string_view::npos) return;
    scan->damage.push_back({at, next - at});
    at = next;
  }
}

}  // namespace

std::string LogId::text() const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const unsigned char byte : bytes) {
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
  return out;
}

std::string segment_header(const LogId& id, std::uint64_t first) {
  std::string out(kMagic);
  out.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
  put(out, first);
  put(out, checksum(out));
  return out;
}

void append_record(std::string& out, const LogId& id, const Record& record) {
  std::string head;
  put(head, kMark);
  put(head, static_cast<std::uint32_t>(kBodyFixedBytes + record.key.size() + record.value->size()));
  std::string body;
  body.reserve(kBodyFixedBytes + record.key.size() + record.value->size());
  put(body, record.position);
  body.push_back(static_cast<char>(record.kind));
  put(body, static_cast<std::uint32_t>(record.key.size()));
  body.append(record.key).append(*record.value);
  out.append(head);
  put(out, record_checksum(head, body, seed_of(id)));
  out.append(body);
}

std::size_t record_bytes(const Record& record) {
  return kRecordHeadBytes + kBodyFixedBytes + record.key.size() + record.value->size();
}

SegmentScan scan_segment(std::string_view bytes, const LogId* known) {
  SegmentScan scan;
  const bool is_long_enough = bytes.size() >= kHeaderBytes;
  if (is_long_enough && bytes.starts_with(kMagic) &&
      get<std::uint64_t>(bytes.substr(kHeaderBytes - 8)) == checksum(bytes.substr(0, kHeaderBytes - 8))) {
    scan.has_header = true;
    std::memcpy(scan.id.bytes.data(), bytes.data() + kMagic.size(), scan.id.bytes.size());
    scan.first = get<std::uint64_t>(bytes.substr(24));
    scan_from(bytes, seed_of(scan.id), kHeaderBytes, &scan);
    return scan;
  }
  if (known == nullptr) return scan;
  const std::size_t next = next_record(bytes, seed_of(*known), 0);
  if (next == std::string_view::npos) return scan;
  scan.damage.push_back({0, next});
  scan_from(bytes, seed_of(*known), next, &scan);
  return scan;
}

Record dead_record(const DeadLetter& letter) {
  std::string value;
  const std::string_view reason = std::string_view(letter.reason).substr(0, kReasonBytesMax);
  put(value, static_cast<std::uint64_t>(letter.refused_at_ms));
  value.push_back(static_cast<char>(letter.kind));
  put(value, static_cast<std::uint32_t>(reason.size()));
  value.append(reason).append(letter.value);
  Record record;
  record.position = letter.position;
  record.kind = RecordKind::kDead;
  record.key = letter.key;
  record.value = std::make_shared<const std::string>(std::move(value));
  return record;
}

bool read_dead_record(const Record& record, DeadLetter* out) {
  constexpr std::size_t kFixed = 13;  // time, kind, length of the reason
  const std::string_view value = *record.value;
  if (record.kind != RecordKind::kDead || value.size() < kFixed) return false;
  const std::size_t reason_bytes = get<std::uint32_t>(value.substr(9));
  if (reason_bytes > value.size() - kFixed || !is_kind(static_cast<std::uint8_t>(value[8]))) return false;
  out->position = record.position;
  out->kind = static_cast<RecordKind>(value[8]);
  out->key = record.key;
  out->refused_at_ms = static_cast<std::int64_t>(get<std::uint64_t>(value));
  out->reason = value.substr(kFixed, reason_bytes);
  out->value = value.substr(kFixed + reason_bytes);
  return true;
}

}  // namespace candor::write_behind
