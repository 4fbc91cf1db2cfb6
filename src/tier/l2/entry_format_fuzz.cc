// Bytes from an L2 that anyone may write to. The checksum is repaired in half of the runs, so that the fuzzer
// reaches what is behind it.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/assert.h"
#include "base/hash.h"
#include "base/ids.h"
#include "tier/l2/entry_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  if ((data[0] & 1) != 0 && bytes.size() >= candor::l2::kHeaderBytes + candor::l2::kChecksumBytes) {
    bytes.replace(0, 4, "CDL2");
    bytes[4] = 1;
    const std::size_t body = bytes.size() - candor::l2::kChecksumBytes;
    const std::uint64_t sum = candor::hash_bytes({bytes.data(), body}, 0x43444c322d763031ULL);
    std::memcpy(bytes.data() + body, &sum, sizeof sum);
  }
  const auto entry = candor::l2::decode_entry(bytes);
  if (!entry) return 0;
  CANDOR_ASSERT(entry->value.size() <= candor::kValueBytesMax);
  // What decodes also survives our own writer.
  const auto again = candor::l2::encode_entry(*entry, {});
  CANDOR_ASSERT(again.has_value());
  const auto back = candor::l2::decode_entry(*again);
  CANDOR_ASSERT(back.has_value() && back->value == entry->value && back->negative == entry->negative);
  return 0;
}
