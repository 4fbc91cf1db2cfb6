#include "tier/l2/make_l2.h"

#include "base/assert.h"
#include "tier/l2/memory_l2.h"
#include "tier/l2/redis_l2.h"
#include "tier/l2/redis_url.h"

namespace candor::l2 {

Result<void> check_l2_url(std::string_view url) {
  if (url == "memory:") return {};
  if (url.starts_with("redis")) {
    if (auto address = redis::parse_url(url); !address) {
      return fail(ErrorCode::kConfiguration, "[l2] url: " + address.error().message);
    }
    return {};
  }
  return fail(
      ErrorCode::kConfiguration,
      "[l2] url: unknown kind; use \"memory:\", \"redis://HOST:PORT/DB\" or \"rediss://HOST:PORT/DB\"");
}

Result<std::unique_ptr<L2>> make_l2(std::string_view url, const MakeOptions& options, const World& world) {
  if (auto checked = check_l2_url(url); !checked) return std::unexpected(checked.error());
  if (url == "memory:") {
    MemoryL2::Options memory;
    memory.bytes_limit = options.memory_bytes;
    return std::make_unique<MemoryL2>(world.executor, memory, world.seed);
  }
  // A brace in the prefix would move the hash tag, and a cluster would tear the three keys of a name apart.
  if (options.prefix.empty() || options.prefix.find_first_of("{}") != std::string::npos) {
    return fail(ErrorCode::kConfiguration, "[l2] prefix: must not be empty and must not contain { or }");
  }
  CANDOR_ASSERT(world.transport != nullptr);
  const redis::Address address = *redis::parse_url(url);
  RedisL2::Options redis;
  redis.client.endpoint = address.endpoint;
  redis.client.hello.user = address.user;
  redis.client.hello.password = address.password;
  redis.client.hello.database = address.database;
  redis.client.connect_timeout = options.connect_timeout;
  redis.client.command_timeout = options.command_timeout;
  redis.prefix = options.prefix;
  redis.format = options.format;
  auto tier = std::make_unique<RedisL2>(world.executor, world.transport, std::move(redis), world.seed);
  tier->client().connect_soon();
  return tier;
}

}  // namespace candor::l2
