#include "origin/factory.h"

#include <fmt/format.h>

#include <algorithm>

#include "origin/postgres_identity.h"
#include "origin/postgres_origin.h"
#include "origin/redis_origin.h"
#include "origin/sqlite_origin.h"

namespace candor {
namespace {

constexpr std::uint32_t kConnectionsDefault = 8;

Result<std::unique_ptr<Origin>> make_sqlite(const std::string& url, SqlDesk::Options desk, Executor& executor,
                                            BlockingPool& pool) {
  auto file = parse_sqlite_url(desk.name, url);
  if (!file) return std::unexpected(file.error());
  return std::make_unique<SqliteOrigin>(std::move(*file), std::move(desk), executor, pool);
}

Result<std::unique_ptr<Origin>> make_postgres(const std::string& url, const OriginOptions& options,
                                              SqlDesk::Options desk, Executor& executor, Transport& transport,
                                              BlockingPool& pool, EntropySource& entropy) {
  auto target = parse_postgres_url(desk.name, url);
  if (!target) return std::unexpected(target.error());
  target->connect_timeout = options.connect_timeout;
  target->statement_timeout = options.statement_timeout;
  PostgresOrigin::Options own{std::move(desk), 0, entropy.next_seed(), {}};
  own.connections_max = options.connections_max != 0
                            ? std::min(options.connections_max, options.max_concurrency)
                            : std::min(kConnectionsDefault, options.max_concurrency);
  if (!options.region.empty()) own.slot_prefix = postgres_slot_prefix(options.region, own.desk.name);
  return std::make_unique<PostgresOrigin>(std::move(*target), std::move(own), executor, transport, pool);
}

Result<std::unique_ptr<Origin>> make_redis(const std::string& name, const std::string& url,
                                           const OriginOptions& options, Executor& executor,
                                           Transport& transport, EntropySource& entropy) {
  RedisOrigin::Options own;
  own.name = name;
  own.max_concurrency = options.max_concurrency;
  own.waiting_max = options.waiting_max;
  own.protection = options.protection;
  return make_redis_origin(url, std::move(own), &executor, &transport, entropy.next_seed());
}

}  // namespace

Result<std::unique_ptr<Origin>> make_origin(const std::string& name, const std::string& url,
                                            const OriginOptions& options, Executor& executor,
                                            Transport& transport, BlockingPool& pool,
                                            EntropySource& entropy) {
  if (options.max_concurrency == 0) {
    return fail(ErrorCode::kConfiguration,
                fmt::format("origins.{}.max_concurrency is 0: nothing could be sent", name));
  }
  const SqlDesk::Options desk{name, options.max_concurrency, options.waiting_max, options.protection,
                              entropy.next_seed()};
  const auto scheme = url.substr(0, url.find(':'));  // no more of it in messages: it can hold a password
  if (scheme == "sqlite") return make_sqlite(url, desk, executor, pool);
  if (scheme == "postgresql" || scheme == "postgres") {
    return make_postgres(url, options, desk, executor, transport, pool, entropy);
  }
  if (scheme == "redis" || scheme == "rediss") {
    return make_redis(name, url, options, executor, transport, entropy);
  }
  if (scheme == "mariadb" || scheme == "mysql") {
    return fail(
        ErrorCode::kConfiguration,
        fmt::format("origins.{}.url: MariaDB is not built in yet; use sqlite:, postgresql:// or redis://",
                    name));
  }
  return fail(
      ErrorCode::kConfiguration,
      fmt::format(
          "origins.{}.url: \"{}\" is no origin that is built in; use sqlite:PATH, redis://HOST:PORT/DB or "
          "postgresql://USER@HOST:PORT/DB",
          name, scheme));
}

}  // namespace candor
