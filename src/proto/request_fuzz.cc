// libFuzzer: any bytes, cut anywhere, give the same requests as the whole; nothing crashes, memory stays
// bounded. The first byte decides how the rest is cut. Seeds: tests/corpus/resp, words:
// tests/corpus/resp.dict.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "proto/request_parser.h"

namespace {

using candor::resp::RequestParser;

std::string transcript(std::string_view bytes, std::size_t piece, bool authenticated) {
  RequestParser parser;
  parser.set_authenticated(authenticated);
  std::string out;
  while (!bytes.empty() && !parser.failed()) {
    // A copy of its own for each piece: a view that outlives it is an error that the sanitizer sees.
    const std::vector<char> chunk(bytes.begin(),
                                  bytes.begin() + static_cast<std::ptrdiff_t>(std::min(piece, bytes.size())));
    bytes.remove_prefix(chunk.size());
    parser.feed({chunk.data(), chunk.size()});
    while (parser.next() == RequestParser::Status::kRequest) {
      for (const auto arg : parser.args())
        out.append(std::to_string(arg.size())).append(":").append(arg).append(",");
      out.append(";");
    }
    if (!parser.failed()) parser.keep_rest();
  }
  return out + parser.error();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const bool authenticated = (data[0] & 1) != 0;
  const std::size_t piece = static_cast<std::size_t>(data[0] >> 1) % 64 + 1;
  CANDOR_ASSERT(transcript(bytes, piece, authenticated) == transcript(bytes, bytes.size(), authenticated));
  return 0;
}
