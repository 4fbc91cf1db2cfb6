// Any bytes as a replication frame, and its message as one of a transaction: an answer or an error, never a
// crash, and no more in memory than its limits allow.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "change/pgoutput.h"
#include "change/postgres_changes.h"

namespace {

candor::PostgresChanges fresh() {
  candor::PostgresTable table;
  table.oid = 0x01010101;
  table.shown = "app.t";
  table.uses = {{"f", {"id"}}, {"g", {"a", "b"}}};
  table.identity_covers = {true, false};
  return candor::PostgresChanges({table}, {.keys_max = 8, .bytes_max = 256}, 1000);
}

}  // namespace

// A sequence of messages, each behind a length of one byte.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace candor;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)pgoutput::decode_frame(bytes);
  auto changes = fresh();
  while (!bytes.empty()) {
    const auto length = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    const auto message = bytes.substr(0, length);
    bytes.remove_prefix(message.size());
    const auto taken = changes.take(message);
    CANDOR_ASSERT(changes.partial_bytes() <= 512 + 256);
    if (taken && *taken) {
      for (const auto& change : changes.committed()) CANDOR_ASSERT(change.key.size() <= 4096);
    }
  }
  return 0;
}
