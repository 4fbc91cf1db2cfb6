// The bytes of a stream message: what travels through Redis or NATS, and what anyone who may write there can
// forge.
//
//   offset  bytes  what
//        0      4  "CDSM"
//        4      1  version, 1
//        5      1  kind: the message's place in StreamMessage
//        6      …  body: numbers as LEB128, texts as a length and bytes
//   end - 8      8  XXH3 of everything before, little endian
//
// Changes names each feature once, in a table; a change refers to it by number: about 25 bytes and the key.
// The checksum finds accidents, not malice: every length and number is checked against what is there. Memory
// stays below 70 times the bytes received: the smallest change takes 6 bytes here, and in memory one Change
// and a feature's name of 255.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "bus/region_stream.h"

namespace candor {

// Names of features, origins and nodes. The configuration allows 64 bytes for a name; hosts' names may have
// 255.
inline constexpr std::size_t kMessageNameBytesMax = 255;
// Floor::reason is for people; more is cut off.
inline constexpr std::size_t kMessageReasonBytesMax = 1024;
// Unheard::reason stands in every message while it holds.
inline constexpr std::size_t kUnheardReasonBytesMax = 300;

// kLimit: larger than kMessageBytesMax, or a name longer than kMessageNameBytesMax.
[[nodiscard]] Result<std::string> encode_message(const StreamMessage& message);
// kCorrupt for anything that encode_message() did not write. A message of a newer version is kCorrupt too:
// whoever reads it treats it as a gap, which is safe.
[[nodiscard]] Result<StreamMessage> decode_message(std::string_view bytes);

// An upper bound of what one change adds to a message: for publishers that cut batches.
[[nodiscard]] inline std::size_t encoded_bytes_max(const Change& change) {
  return change.key.size() + change.feature.size() + 48;  // 39, and some room
}

}  // namespace candor
