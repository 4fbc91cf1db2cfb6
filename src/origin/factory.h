// One configured `[origins.NAME]` from its URL.
#pragma once

#include <memory>
#include <string>

#include "base/executor.h"
#include "base/random.h"
#include "base/transport.h"
#include "origin/origin.h"

namespace candor {

struct OriginOptions {
  std::uint32_t max_concurrency = 32;  // hard cap on this node's statements in flight
  // What may wait for a place: at a millisecond a statement and 32 places, half a second's worth.
  std::uint32_t waiting_max = 16'384;
  Duration connect_timeout = 5s;
  // The server's own limit on a statement (PostgreSQL), behind the deadlines of the requests.
  Duration statement_timeout = 30s;
  // Connections (PostgreSQL). 0: as max_concurrency, at most 8. Statements share connections, and each one is
  // a process of the server's.
  std::uint32_t connections_max = 0;
  // The region whose change feed says which history this is (PostgreSQL: OriginProbe::incarnation). Empty:
  // none.
  std::string region{};
  OriginProtection protection{};
};

// `sqlite:PATH[?mode=ro|rw|rwc]`, `postgresql://USER@HOST:PORT/DB`, `redis://HOST:PORT/DB`. Nothing is opened
// yet. Executor, transport and pool outlive the origin. Errors (kConfiguration) name the origin and never the
// password.
[[nodiscard]] Result<std::unique_ptr<Origin>> make_origin(const std::string& name, const std::string& url,
                                                          const OriginOptions& options, Executor& executor,
                                                          Transport& transport, BlockingPool& pool,
                                                          EntropySource& entropy);

}  // namespace candor
