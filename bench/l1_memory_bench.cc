// What an entry of L1 costs the process: growth of the resident set for N items of 16-byte keys and 64-byte
// values with stamp and ttl.
//
// Usage: l1_memory_bench [N]
#include <fmt/core.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/random.h"
#include "tier/l1/store.h"

namespace {

std::size_t resident_bytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long total = 0;
  unsigned long resident = 0;
  if (file == nullptr || std::fscanf(file, "%lu %lu", &total, &resident) != 2) std::abort();
  std::fclose(file);
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

int main(int argc, char** argv) {
  using candor::FeatureId;
  const std::size_t items = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const std::size_t before = resident_bytes();
  candor::l1::Store store(
      {.memory_limit = std::max<std::size_t>(items * 200, std::size_t{64} << 20), .hash_seed = 7});
  const std::size_t empty = resident_bytes();
  char value[64];
  std::memset(value, 'v', sizeof value);
  for (std::size_t i = 0; i < items; ++i) {
    char key[17];
    std::snprintf(key, sizeof key, "%016zx", static_cast<std::size_t>(candor::mix64(i)));
    const std::string_view k(key, 16);
    const auto result = store.put({.hash = store.hash(FeatureId{1}, k),
                                   .feature = FeatureId{1},
                                   .key = k,
                                   .value = {value, sizeof value},
                                   .meta = {.stamp = {{i + 1}}, .loaded_at = 1000, .expires_at = 3'600'000},
                                   .now = 1000});
    if (result != candor::l1::Store::PutResult::kStored) return 1;
  }
  store.maintain(1000);
  const std::size_t after = resident_bytes();
  const candor::l1::StoreStats stats = store.stats();
  const auto each = [&](std::size_t bytes) {
    return static_cast<double>(bytes) / static_cast<double>(items);
  };
  fmt::print("{} items (entries kept: {}), 16-byte keys, 64-byte values, stamp and ttl\n", items,
             stats.entries);
  fmt::print("process growth {:.1f} bytes an item (target 112), of which the empty store {:.1f}\n",
             each(after - before), each(empty - before));
  fmt::print("accounted {:.1f}: live entries {:.1f}, segments {:.1f}, index {:.1f}, policy {:.1f}\n",
             each(stats.bytes_used), each(stats.live_entry_bytes), each(stats.segment_bytes),
             each(stats.index_bytes), each(stats.policy_bytes));
  return each(after - before) <= 112 ? 0 : 2;
}
