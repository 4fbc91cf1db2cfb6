// libFuzzer: replies of a hostile server. Cuts make no difference, and what was parsed, written again and
// parsed again is the same. Seeds: tests/corpus/resp, words: tests/corpus/resp.dict.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "proto/reply_parser.h"

namespace {

using candor::resp::ReplyLimits;
using candor::resp::ReplyParser;
using candor::resp::RespValue;

std::string echo(std::string_view bytes, std::size_t piece, std::string* error) {
  ReplyLimits limits;
  limits.items_max = 1000;  // small, so that the limits are reached
  limits.reply_bytes_max = 10'000;
  ReplyParser parser(limits);
  std::string out;
  while (!bytes.empty()) {
    std::string_view chunk = bytes.substr(0, piece);
    bytes.remove_prefix(chunk.size());
    RespValue value;
    while (parser.next(&chunk, &value) == ReplyParser::Status::kValue) write_value(out, value);
    if (!parser.error().empty()) break;
  }
  *error = parser.error();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string error_cut;
  std::string error_whole;
  const std::string whole = echo(bytes, bytes.size(), &error_whole);
  CANDOR_ASSERT(echo(bytes, static_cast<std::size_t>(data[0]) % 64 + 1, &error_cut) == whole);
  CANDOR_ASSERT(error_cut == error_whole);
  if (!whole.empty() && error_whole.empty()) {
    std::string error;
    CANDOR_ASSERT(echo(whole, whole.size(), &error) == whole && error.empty());
  }
  return 0;
}
