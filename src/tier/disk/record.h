// The bytes of one entry on the disk.
//
// Layout, little endian:
//   offset size
//        0    4  magic "CDDK"
//        4    1  format version, 1
//        5    1  flags of the layer above (EntryMeta::user_flags)
//        6    2  0
//        8    8  sequence: when it was demoted, in the order of everything that the tier was told
//       16    8  boot: which start of the machine the two times belong to
//       24    8  loaded_at, milliseconds of the monotonic clock
//       32    8  expires_at, the same; 0: never
//       40    8  stamp: every change up to this id is included; 0: nothing is known
//       48    8  history: the incarnation of the origin that the stamp belongs to; 0: not known
//       56    n  the value
//     56+n    8  XXH3 of the entry's name (`feature:key`) and all bytes before
//
// The name is not stored, it is the key of the record; being part of the checksum it is known to be right.
// Invariant: decode(name, encode(name, r)) is r; every change of any single bit, or another name, is found.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tier/l1/entry_view.h"

namespace candor::disk {

struct Record {
  std::string value;
  std::uint64_t sequence = 0;
  std::uint64_t boot = 0;
  std::uint64_t history = 0;
  l1::EntryMeta meta;  // never negative: "no such row" is not worth a write
};

inline constexpr std::size_t kRecordHeadBytes = 56;
inline constexpr std::size_t kRecordChecksumBytes = 8;

[[nodiscard]] std::string encode_record(std::string_view name, const Record& record);
// Nothing: these are not the bytes of this name's record, or of a version that this build does not know.
[[nodiscard]] std::optional<Record> decode_record(std::string_view name, std::string_view bytes);

}  // namespace candor::disk
