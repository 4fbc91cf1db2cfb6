// The bytes of one entry in L2. Nodes of different builds share an L2, so the format names its version, and a
// reader that does not know a version treats the entry as absent.
//
// Layout, little endian:
//   offset size
//        0    4  magic "CDL2"
//        4    1  format version, 1
//        5    1  flags: 1 negative, 2 payload is one zstd frame, 4 a tag mark follows; the others are 0
//        6    2  stamp bytes, s
//        8    8  ttl_ms: the ttl that it was stored with, 0 for none
//       16    4  age_ms: age when it was stored (the load took that long), saturated
//       20    4  raw bytes of the value
//       24    4  payload bytes, p
//       28    4  generation of L2 under which it was filled; a lookup's script reads it here
//       32    s  stamp: a kind byte, then what the kind says. s = 0: nothing is known.
//                1: every change up to this id is included, 8 bytes
//                2: a snapshot: 8 bytes as in 1, 8 bytes limit, then 8 bytes for each id in progress,
//                ascending
//
//                A kind that the reader does not know reads as "nothing is known", which includes no change:
//                safe.
//     32      t  the tag mark, 16 hexadecimal digits, if flag 4 is set: a lookup's script reads it here. All
//     that
//                follows, the stamp too, then begins 16 later
//     32+s    p  payload
//   32+s+p    8  XXH3 of all bytes before, under kChecksumSeed
//
// Invariants
//   - decode() trusts no length: it allocates at most kValueBytesMax and only what a checksummed header asked
//   for.
//   - decode(encode(e)) is e; every change of any single bit is found.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "version/stamp.h"

namespace candor::l2 {

struct StoredEntry {
  std::string value;
  bool negative = false;
  Stamp stamp;
  Duration ttl{0};  // whole milliseconds; 0: none
  Duration age{0};  // when stored; whole milliseconds
  std::uint32_t generation = 0;
  std::uint64_t tag_mark = 0;  // 0: none
};

struct FormatOptions {
  // Values of at least this size are compressed if that saves an eighth; 0: never. Below about 1 KiB zstd
  // saves less than a network packet and costs about 5 µs.
  std::size_t compress_above = 1024;
  int zstd_level = 1;  // the fastest of the positive levels: L2 waits for it
};

inline constexpr std::size_t kHeaderBytes = 32;
inline constexpr std::size_t kChecksumBytes = 8;
inline constexpr std::size_t kTagMarkBytes = 16;
// A snapshot stamp lists transactions in progress; 4 KiB hold about 500 of them.
inline constexpr std::size_t kStampBytesMax = 4096;

// 16 digits; empty for 0.
[[nodiscard]] std::string tag_mark_text(std::uint64_t mark);

// kLimit: the value is larger than kValueBytesMax.
[[nodiscard]] Result<std::string> encode_entry(const StoredEntry& entry, const FormatOptions& options);

// kCorrupt: these are not the bytes of an entry, or of a version that this build does not know.
[[nodiscard]] Result<StoredEntry> decode_entry(std::string_view bytes);

}  // namespace candor::l2
