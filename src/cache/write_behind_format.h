// The bytes of the write-behind log. Pure: bytes in, records out.
//
//   segment  = header, records, in the order of their positions; its file is named after its first position
//   header   = "CNDRWB01", log id (16 bytes), first position (8), checksum of these (8)
//   record   = mark (4), body bytes (4), checksum of mark, length and body (8), body
//   body     = position (8), kind (1), key bytes (4), key, value
//
// Numbers are little-endian, checksums XXH3-64. Each record has its own: a tail that a crash tore is told
// from damage by what comes after it. Nothing whole after it: it was never acknowledged, and is cut off.
// Something whole after it: bytes that were once whole are not any more, which is reported, and the records
// around them are kept. The mark is what a search for the next whole record looks for; it is no proof, the
// checksum is. Checksums are seeded with the log's random id, so that a client cannot put a record into a
// value, for a search behind damage to find.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace candor::write_behind {

// Names one log for ever: it is what the origin stores a position under.
struct LogId {
  std::array<unsigned char, 16> bytes{};
  [[nodiscard]] std::string text() const;  // 32 hex digits
  friend bool operator==(const LogId&, const LogId&) = default;
};

enum class RecordKind : std::uint8_t {
  kStore = 1,
  kErase = 2,
  kApplied = 3,   // the origin has everything up to `position`: a hint for a start without the origin
  kDead = 4,      // in the file of dead letters: value = time, kind, reason, value
  kResolved = 5,  // there: the dead letter at `position` was sent again, or dropped
};

struct Record {
  std::uint64_t position = 0;
  RecordKind kind = RecordKind::kStore;
  std::string key;
  // Shared: the reader that gets a pending value must not copy it.
  std::shared_ptr<const std::string> value = std::make_shared<const std::string>();

  [[nodiscard]] bool is_write() const { return kind == RecordKind::kStore || kind == RecordKind::kErase; }
};

inline constexpr std::size_t kHeaderBytes = 40;
inline constexpr std::size_t kRecordHeadBytes = 16;
// A body: fixed fields, the longest key, the longest value, and room for a dead letter's reason.
inline constexpr std::size_t kBodyBytesMax = 64 + kKeyBytesMax + kValueBytesMax + (std::size_t{64} << 10);

[[nodiscard]] std::string segment_header(const LogId& id, std::uint64_t first);
void append_record(std::string& out, const LogId& id, const Record& record);
[[nodiscard]] std::size_t record_bytes(const Record& record);

struct SegmentScan {
  bool has_header = false;
  LogId id;
  std::uint64_t first = 0;
  std::vector<Record> records;
  // Bytes that are no record, with whole records behind them.
  struct Damage {
    std::uint64_t offset = 0, bytes = 0;
  };
  std::vector<Damage> damage;
  std::uint64_t whole_bytes = 0;  // behind it there is nothing whole
};
// `known`: the log's id from elsewhere, for a segment whose own header is damaged; null: then it has no
// records.
[[nodiscard]] SegmentScan scan_segment(std::string_view bytes, const LogId* known = nullptr);

// What a dead letter keeps of the write, and why it is one.
struct DeadLetter {
  std::uint64_t position = 0;
  RecordKind kind = RecordKind::kStore;
  std::string key;
  std::string value;
  std::string reason;
  std::int64_t refused_at_ms = 0;  // civil time, for people
};
[[nodiscard]] Record dead_record(const DeadLetter& letter);
// False: the bytes are not one.
[[nodiscard]] bool read_dead_record(const Record& record, DeadLetter* out);

}  // namespace candor::write_behind
