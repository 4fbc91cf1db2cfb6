// From the configuration's `[l2] url` to a tier.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/executor.h"
#include "base/transport.h"
#include "tier/l2.h"
#include "tier/l2/entry_format.h"

namespace candor::l2 {

struct MakeOptions {
  std::size_t memory_bytes = std::size_t{64} << 20;  // `memory:` only: a limit on all that the tier holds
  std::string prefix = "candor:";                    // Redis only: names begin with it; no braces
  FormatOptions format{};
  Duration connect_timeout = 1s;
  Duration command_timeout = 500ms;
};

// The outside world; borrowed, and outlives the tier. `transport` may be null for `memory:`.
struct World {
  Executor* executor = nullptr;
  Transport* transport = nullptr;
  std::uint64_t seed = 0;
};

// Begins to connect; a server that is not there is no error here. The tier is destroyed on the executor's
// thread. `memory:`, redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://… . kConfiguration says what is
// wrong, without the password.
[[nodiscard]] Result<std::unique_ptr<L2>> make_l2(std::string_view url, const MakeOptions& options,
                                                  const World& world);

// The same check without making anything: for `candor check`.
[[nodiscard]] Result<void> check_l2_url(std::string_view url);

}  // namespace candor::l2
