// Bytes from a stream that anyone may write to. The frame is repaired in half of the runs, so that the fuzzer
// reaches what is behind the checksum.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/assert.h"
#include "base/hash.h"
#include "bus/message_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  if ((data[0] & 1) != 0 && bytes.size() >= 14) {
    bytes.replace(0, 5, "CDSM\x01");
    const std::size_t body = bytes.size() - 8;
    const std::uint64_t sum = candor::hash_bytes({bytes.data(), body}, 0x4344534d2d763031ULL);
    std::memcpy(bytes.data() + body, &sum, sizeof sum);
  }
  const auto message = candor::decode_message(bytes);
  if (!message) return 0;
  // What decodes has one form only, and our own writer makes it, except that its table of features is in
  // order of use.
  const auto again = candor::encode_message(*message);
  CANDOR_ASSERT(again.has_value() && again->size() <= bytes.size());
  const auto back = candor::decode_message(*again);
  CANDOR_ASSERT(back.has_value() && *back == *message);
  return 0;
}
