// From the configuration's `[stream] url` to a region stream.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/executor.h"
#include "base/transport.h"
#include "bus/memory_stream.h"
#include "bus/region_stream.h"

namespace candor {

struct MakeStreamOptions {
  std::string region = "local";
  // What the log keeps. For `memory:` MemoryLog's own limits hold.
  std::size_t messages_kept = 50'000;
  std::size_t bytes_kept = std::size_t{256} << 20;
  Duration append_timeout = 1s;
  std::shared_ptr<MemoryLog> memory_log;  // `memory:` only; null: a log that nobody shares
};

// The outside world; borrowed, and outlives the stream. For `memory:` the executor is enough; redis:// wants
// the transport, nats:// the pool.
struct StreamWorld {
  Executor* executor = nullptr;
  Transport* transport = nullptr;
  BlockingPool* pool = nullptr;
  std::uint64_t seed = 0;
};

// Begins to connect; a server that is not there is no error here. `memory:`, redis://, rediss://, nats://,
// tls://. kConfiguration says what is wrong, without the password.
[[nodiscard]] Result<std::unique_ptr<RegionStream>> make_stream(std::string_view url,
                                                                const MakeStreamOptions& options,
                                                                const StreamWorld& world);

// The same checks without making anything: for `candor check`.
[[nodiscard]] Result<void> check_stream_url(std::string_view url);
// 1 to 64 letters, digits, - and _: it becomes part of names in Redis and NATS.
[[nodiscard]] Result<void> check_region_name(std::string_view region);

}  // namespace candor
