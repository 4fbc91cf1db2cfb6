// What the question "may this entry be served now?" costs on the hit path: L1's find alone, and the cache's
// hit at each level, which is the same find and then the floor, the ttl and, for bounded, the watermark and
// the clock. Rounds alternate, so that a slow minute of a shared machine hits all; ratios are taken within a
// round.
//
// Usage: freshness_bench [--entries N] [--operations N] [--rounds N]
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/virtual_executor.h"
#include "cache/cache.h"
#include "io/clock.h"

namespace candor::bench {
namespace {

struct Arguments {
  std::size_t entries = 100'000, operations = 2'000'000;
  int rounds = 15;
};

enum class Variant : std::uint8_t { kFind, kUnwatched, kSession, kBounded };
constexpr std::array<const char*, 4> kNames = {"find alone", "no watch, eventual", "watched, session",
                                               "watched, bounded(2 s)"};

class Hits {
 public:
  explicit Hits(const Arguments& arguments) : arguments_(arguments) {
    l1::StoreOptions options;
    options.memory_limit = std::size_t{1} << 30;
    options.features_max = 4;
    store_ = std::make_unique<l1::Store>(options);
    CacheCore::Parts parts;
    parts.clock = &clock_;
    parts.home = &home_;
    parts.l1 = store_.get();
    cache_ = std::make_unique<CacheCore>(parts);
    FeaturePolicy policy;
    policy.ttl = 1h;
    policy.name = "unwatched";
    policy.consistency = Consistency::kEventual;
    unwatched_ = cache_->add_feature(policy, nullptr).value();
    policy.name = "watched";
    policy.consistency = Consistency::kSession;
    watched_ = cache_->add_feature(policy, nullptr, "shop").value();
    cache_->settle_floor("shop", MonoTime{0});
    fill();
  }

  // Nanoseconds for each operation.
  double run(Variant variant) {
    cache_->prove("shop", clock_.now(), ChangeId{1});
    const l1::Millis now = cache_->now_ms();  // as the server has it: once for a turn of its loop
    const Feature& feature = cache_->feature(variant == Variant::kUnwatched ? unwatched_ : watched_);
    std::size_t found = 0;
    const auto begin = std::chrono::steady_clock::now();
    for (const std::uint32_t rank : order_) {
      const std::string& key = keys_[rank];
      const l1::Store::ReadGuard guard(*store_);
      const l1::KeyHash hash = store_->hash(feature.id(), key);
      found += one(variant, guard, feature, hash, key, now) ? 1 : 0;
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    if (found != order_.size()) {
      fmt::print("{} of {} found: not a measurement of hits\n", found, order_.size());
      std::exit(1);
    }
    return took.count() / static_cast<double>(order_.size());
  }

 private:
  bool one(Variant variant, const l1::Store::ReadGuard& guard, const Feature& feature, l1::KeyHash hash,
           const std::string& key, l1::Millis now) {
    if (variant == Variant::kFind) {
      l1::EntryView view;
      return store_->find(guard, hash, feature.id(), key, now, &view) && view.value[0] != 0;
    }
    CacheCore::Hit hit;
    const bool bounded = variant == Variant::kBounded;
    const bool ok = bounded
                        ? cache_->try_hit_at(guard, feature, hash, key, now, Consistency::kBounded, 2s, &hit)
                        : cache_->try_hit(guard, feature, hash, key, now, &hit);
    return ok && hit.value[0] != 0;
  }

  void fill() {
    const std::string value(64, 'v');
    for (std::size_t i = 0; i < arguments_.entries; ++i) keys_.push_back(fmt::format("{:08}", i));
    for (const FeatureId feature : {unwatched_, watched_}) {
      for (const std::string& key : keys_) {
        l1::Store::PutRequest put;
        put.hash = store_->hash(feature, key);
        put.feature = feature;
        put.key = key;
        put.value = value;
        put.now = put.meta.loaded_at = cache_->now_ms();
        put.meta.expires_at = put.meta.loaded_at + 3'600'000;
        (void)store_->put(put);
      }
    }
    Random random(1);
    for (std::size_t i = 0; i < arguments_.operations; ++i)
      order_.push_back(static_cast<std::uint32_t>(random.below(keys_.size())));
  }

  Arguments arguments_;
  SystemClock clock_;
  VirtualExecutor home_;
  std::unique_ptr<l1::Store> store_;
  std::unique_ptr<CacheCore> cache_;
  FeatureId unwatched_, watched_;
  std::vector<std::string> keys_;
  std::vector<std::uint32_t> order_;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void measure(const Arguments& arguments) {
  Hits hits(arguments);
  std::array<std::vector<double>, 4> nanos, ratios;
  for (int round = 0; round < arguments.rounds; ++round) {
    std::array<double, 4> now{};
    for (std::size_t i = 0; i < 4; ++i) {
      // Another one begins in each round: nobody always runs in the other's warm cache.
      const std::size_t v = (i + static_cast<std::size_t>(round)) % 4;
      now[v] = hits.run(static_cast<Variant>(v));
    }
    for (std::size_t v = 0; v < 4; ++v) {
      nanos[v].push_back(now[v]);
      ratios[v].push_back(now[v] / now[1]);
    }
  }
  fmt::print("{} entries, {} hits a round, {} rounds; ratios to a hit without a watch\n", arguments.entries,
             arguments.operations, arguments.rounds);
  for (std::size_t v = 0; v < 4; ++v) {
    const auto [low, high] = std::ranges::minmax(ratios[v]);
    fmt::print("{:24} {:7.1f} ns  ratio {:.3f} ({:.3f} … {:.3f})\n", kNames[v], median(nanos[v]),
               median(ratios[v]), low, high);
  }
}

}  // namespace
}  // namespace candor::bench

int main(int argc, char** argv) {
  candor::bench::Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const auto number = std::strtoull(argv[i + 1], nullptr, 10);
    if (std::strcmp(argv[i], "--entries") == 0) arguments.entries = number;
    if (std::strcmp(argv[i], "--operations") == 0) arguments.operations = number;
    if (std::strcmp(argv[i], "--rounds") == 0) arguments.rounds = static_cast<int>(number);
  }
  candor::bench::measure(arguments);
}
