// The library's engine: the same cache, tiers and origins as the daemon's, on one loop thread, without
// listeners.
#include <algorithm>
#include <future>
#include <utility>

#include "app/config.h"
#include "app/engine.h"
#include "base/assert.h"
#include "cache/cache.h"
#include "candor/candor.h"
#include "origin/function_origin.h"

namespace candor {
namespace {

constexpr std::uint64_t kMemoryDefault = std::uint64_t{64} << 20;
// As the configuration's [l1] memory.
constexpr std::uint64_t kMemoryLeast = std::uint64_t{8} << 20;

Reading to_reading(const ReadResult& result) {
  Reading reading;
  if (result.value != nullptr) reading.value = *result.value;
  reading.tier = tier_name(result.tier);
  reading.age = result.age;
  if (result.degraded != nullptr) reading.degraded = result.degraded;
  return reading;
}

Result<void> only_whether(Result<WriteResult> result) {
  if (!result) return std::unexpected(std::move(result.error()));
  return {};
}

FeaturePolicy policy_of(const FunctionFeature& feature) {
  FeaturePolicy policy;
  policy.name = feature.name;
  policy.ttl = feature.ttl;
  policy.negative_ttl = std::min(feature.negative_ttl, feature.ttl);
  policy.serve_stale = feature.serve_stale;
  return policy;
}

}  // namespace

struct Cache::Engine {
  std::unique_ptr<app::Engine> node;
  std::unique_ptr<FunctionOrigin> functions;  // what is bound from it lives on in the node's features

  Result<void> build(const CacheOptions& options);
  Result<void> add_features(const std::vector<FunctionFeature>& features);
  [[nodiscard]] CacheCore& core() const { return node->cache(); }

  struct Found {
    const Feature* feature = nullptr;
    std::string_view key;
  };
  [[nodiscard]] Result<Found> find(std::string_view name) const;
  [[nodiscard]] bool try_now(const Found& found, Result<Reading>* out) const;
  void read(const Found& found, Done done) const;
  // Runs `start(done)` and waits for `done`.
  template <class T, class Start>
  T wait_for(Start start) const;
};

Result<void> Cache::Engine::build(const CacheOptions& options) {
  const bool from_file = !options.config_file.empty();
  app::ConfigReading reading =
      from_file ? app::read_config_file(options.config_file) : app::read_config_text("", "options");
  for (const auto& finding : reading.findings) {
    if (finding.is_error()) return fail(ErrorCode::kConfiguration, finding.to_string());
  }
  app::Config config = std::move(reading.config);
  if (!from_file) {
    config.l1.memory = kMemoryDefault;
    config.l2.url = "none";  // a second copy in the same process would only cost memory
  }
  if (options.memory_bytes != 0) config.l1.memory = options.memory_bytes;
  if (config.l1.memory < kMemoryLeast) {
    return fail(ErrorCode::kConfiguration,
                "memory_bytes: at least 8 MiB, so that shards and index have room");
  }
  const app::Engine::Room room{options.features.size(), options.load_threads};
  auto opened = app::Engine::open(config, room);
  if (!opened) return std::unexpected(std::move(opened.error()));
  node = std::move(*opened);
  return add_features(options.features);
}

Result<void> Cache::Engine::add_features(const std::vector<FunctionFeature>& features) {
  if (features.empty()) return {};
  functions = std::make_unique<FunctionOrigin>(FunctionOrigin::Options{}, node->home(), node->pool());
  for (const auto& feature : features) {
    if (feature.name.empty() || feature.name.find(':') != std::string::npos) {
      return fail(ErrorCode::kConfiguration,
                  "feature '" + feature.name + "': a name is not empty and has no colon");
    }
    if (!feature.load) {
      return fail(ErrorCode::kConfiguration, "feature '" + feature.name + "': it needs a load function");
    }
    functions->set_functions(feature.name, {feature.load, feature.store, feature.erase});
    OriginStatements statements;
    statements.feature = feature.name;
    auto bound = functions->bind(std::move(statements));
    if (!bound) return std::unexpected(std::move(bound.error()));
    auto added = core().add_feature(policy_of(feature), std::move(*bound));
    if (!added) return std::unexpected(std::move(added.error()));
  }
  return {};
}

Result<Cache::Engine::Found> Cache::Engine::find(std::string_view name) const {
  const auto colon = name.find(':');
  const Feature* feature =
      colon == std::string_view::npos ? nullptr : core().find_feature(name.substr(0, colon));
  if (feature == nullptr) {
    return fail(ErrorCode::kNoFeature,
                "no feature has this key; keys are `feature:key` with a feature that was configured");
  }
  if (name.size() - colon - 1 > kKeyBytesMax) {
    return fail(ErrorCode::kLimit, "the key is longer than " + std::to_string(kKeyBytesMax) + " bytes");
  }
  return Found{feature, name.substr(colon + 1)};
}

bool Cache::Engine::try_now(const Found& found, Result<Reading>* out) const {
  l1::Store& l1 = core().l1();
  const l1::KeyHash hash = l1.hash(found.feature->id(), found.key);
  const l1::Millis now = core().now_ms();
  const l1::Store::ReadGuard guard(l1);
  CacheCore::Hit hit;
  if (!core().try_hit(guard, *found.feature, hash, found.key, now, &hit)) return false;
  core().count_hits(*found.feature, hit.negative ? 0 : 1, hit.negative ? 1 : 0);
  Reading reading;
  if (!hit.negative) reading.value.emplace(hit.value);
  reading.tier = tier_name(Tier::kL1);
  reading.age = std::chrono::milliseconds(std::max<l1::Millis>(0, now - hit.meta.loaded_at));
  *out = std::move(reading);
  return true;
}

void Cache::Engine::read(const Found& found, Done done) const {
  core().read(found.feature->id(), std::string(found.key), CacheCore::ReadOptions{},
              [done = std::move(done)](Result<ReadResult> result) mutable {
                if (result) {
                  done(to_reading(*result));
                } else {
                  done(std::unexpected(std::move(result.error())));
                }
              });
}

template <class T, class Start>
T Cache::Engine::wait_for(Start start) const {
  CANDOR_ASSERT(!node->home().is_current());  // it would wait for itself
  // Shared: this thread may be gone before set_value() has returned on the other.
  auto promise = std::make_shared<std::promise<T>>();
  auto answer = promise->get_future();
  start([promise](T value) { promise->set_value(std::move(value)); });
  return answer.get();
}

// ---- the facade ----

Cache::Cache(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
Cache::Cache(Cache&&) noexcept = default;
Cache& Cache::operator=(Cache&&) noexcept = default;
Cache::~Cache() = default;

Result<Cache> Cache::open(CacheOptions options) {
  auto engine = std::make_unique<Engine>();
  if (auto built = engine->build(options); !built) return std::unexpected(std::move(built.error()));
  return Cache(std::move(engine));
}

Result<Cache> Cache::open(const std::string& config_file) {
  CacheOptions options;
  options.config_file = config_file;
  return open(std::move(options));
}

Result<Reading> Cache::get(std::string_view key) {
  Result<Reading> now;
  if (try_now(key, &now)) return now;
  return engine_->wait_for<Result<Reading>>(
      [&](Done done) { start_read(std::string(key), std::move(done)); });
}

void Cache::get(std::string_view key, Done done) {
  Result<Reading> now;
  if (try_now(key, &now)) {
    done(std::move(now));
  } else {
    start_read(std::string(key), std::move(done));
  }
}

Cache::Awaiter Cache::read(std::string key) { return {this, std::move(key)}; }

bool Cache::try_now(std::string_view key, Result<Reading>* out) {
  const auto found = engine_->find(key);
  if (!found) {
    *out = std::unexpected(found.error());
    return true;
  }
  return engine_->try_now(*found, out);
}

void Cache::start_read(std::string key, Done done) {
  const auto found = engine_->find(key);  // try_now() said that it is there
  CANDOR_ASSERT(found.has_value());
  engine_->read(*found, std::move(done));
}

Result<void> Cache::set(std::string_view key, std::string_view value) {
  const auto found = engine_->find(key);
  if (!found) return std::unexpected(found.error());
  if (value.size() > kValueBytesMax) return fail(ErrorCode::kLimit, "the value is longer than 64 MiB");
  const FeatureId id = found->feature->id();
  return only_whether(engine_->wait_for<Result<WriteResult>>([&](WriteDone done) {
    if (found->feature->policy().plain) {
      engine_->core().plain_write(id, std::string(found->key), std::string(value),
                                  found->feature->policy().ttl, std::move(done));
    } else {
      engine_->core().write(id, std::string(found->key), std::string(value), std::move(done));
    }
  }));
}

Result<void> Cache::erase(std::string_view key) {
  const auto found = engine_->find(key);
  if (!found) return std::unexpected(found.error());
  const FeatureId id = found->feature->id();
  return only_whether(engine_->wait_for<Result<WriteResult>>([&](WriteDone done) {
    if (found->feature->policy().plain) {
      engine_->core().plain_write(id, std::string(found->key), std::nullopt, Duration::zero(),
                                  std::move(done));
    } else {
      engine_->core().erase(id, std::string(found->key), std::move(done));
    }
  }));
}

Result<void> Cache::invalidate(std::string_view key) {
  const auto found = engine_->find(key);
  if (!found) return std::unexpected(found.error());
  return only_whether(engine_->wait_for<Result<WriteResult>>([&](WriteDone done) {
    engine_->core().invalidate(found->feature->id(), std::string(found->key), std::move(done));
  }));
}

Cache::Stats Cache::stats() const {
  Stats stats;
  for (std::size_t i = 0; i < engine_->core().feature_count(); ++i) {
    const auto& counters = engine_->core().feature(FeatureId{static_cast<std::uint16_t>(i)}).counters;
    stats.hits += counters.hits_l1.value() + counters.negative_hits.value();
    stats.loads += counters.loads_ok.value() + counters.loads_absent.value();
    stats.load_errors += counters.loads_failed.value() + counters.loads_timeout.value();
  }
  const auto store = engine_->core().l1().stats();
  stats.memory_bytes = store.bytes_used;
  stats.memory_limit_bytes = store.memory_limit;
  return stats;
}

}  // namespace candor
