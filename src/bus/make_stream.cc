#include "bus/make_stream.h"

#include "base/assert.h"
#include "base/random.h"
#include "bus/nats_stream.h"
#include "bus/nats_url.h"
#include "bus/redis_stream.h"
#include "tier/l2/redis_url.h"

namespace candor {
namespace {

constexpr std::size_t kRegionBytesMax = 64;

bool is_nats(std::string_view url) { return url.starts_with("nats:") || url.starts_with("tls:"); }

std::unique_ptr<RegionStream> make_memory(const MakeStreamOptions& options, const StreamWorld& world) {
  auto log = options.memory_log;
  if (!log) log = std::make_shared<MemoryLog>(MemoryLog::Options{}, mix64(world.seed) | 1);
  return std::make_unique<MemoryStream>(world.executor, std::move(log));
}

std::unique_ptr<RegionStream> make_redis(std::string_view url, const MakeStreamOptions& options,
                                         const StreamWorld& world) {
  CANDOR_ASSERT(world.transport != nullptr);
  const redis::Address address = *redis::parse_url(url);
  RedisStream::Options redis;
  redis.client.endpoint = address.endpoint;
  redis.client.hello.user = address.user;
  redis.client.hello.password = address.password;
  redis.client.hello.database = address.database;
  redis.region = options.region;
  redis.append_timeout = options.append_timeout;
  redis.messages_kept = options.messages_kept;
  redis.bytes_kept = options.bytes_kept;
  return std::make_unique<RedisStream>(world.executor, world.transport, std::move(redis), world.seed);
}

std::unique_ptr<RegionStream> make_nats(std::string_view url, const MakeStreamOptions& options,
                                        const StreamWorld& world) {
  CANDOR_ASSERT(world.pool != nullptr);
  NatsStream::Options nats;
  nats.link.address = *nats::parse_url(url);
  nats.region = options.region;
  nats.append_timeout = options.append_timeout;
  nats.messages_kept = options.messages_kept;
  nats.bytes_kept = options.bytes_kept;
  return std::make_unique<NatsStream>(world.executor, world.pool, std::move(nats), world.seed);
}

}  // namespace

Result<void> check_region_name(std::string_view region) {
  const auto ok = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  };
  bool good = !region.empty() && region.size() <= kRegionBytesMax;
  for (const char c : region) good = good && ok(c);
  if (good) return {};
  return fail(ErrorCode::kConfiguration, "[node] region: must be 1 to 64 letters, digits, - and _");
}

Result<void> check_stream_url(std::string_view url) {
  if (url == "memory:") return {};
  std::string wrong = "unknown kind; use \"memory:\", \"redis://HOST:PORT/DB\" or \"nats://HOST:PORT\"";
  if (url.starts_with("redis")) {
    auto address = redis::parse_url(url);
    if (address) return {};
    wrong = address.error().message;
  } else if (is_nats(url)) {
    auto address = nats::parse_url(url);
    if (address) return {};
    wrong = address.error().message;
  }
  return fail(ErrorCode::kConfiguration, "[stream] url: " + wrong);
}

Result<std::unique_ptr<RegionStream>> make_stream(std::string_view url, const MakeStreamOptions& options,
                                                  const StreamWorld& world) {
  if (auto checked = check_stream_url(url); !checked) return std::unexpected(checked.error());
  if (auto checked = check_region_name(options.region); !checked) return std::unexpected(checked.error());
  if (url == "memory:") return make_memory(options, world);
  return is_nats(url) ? make_nats(url, options, world) : make_redis(url, options, world);
}

}  // namespace candor
