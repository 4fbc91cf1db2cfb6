// What the question "may this entry be served now?" costs on the hit path: L1's find alone, and the cache's
// hit at each level, which is the same find and then the floor, the ttl and, for bounded, the watermark and
// the clock. Once key by key, and once in batches of 16 as the server answers a pipeline. Rounds alternate,
// so that a slow minute of a shared machine hits all; ratios are taken within a round and a way of asking.
//
// Usage: freshness_bench [--entries N] [--operations N] [--rounds N]
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
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
constexpr std::size_t kBatch = 16;

// One variant, with a store of its own: where entries lie in a shared one would differ.
class Hits {
 public:
  Hits(const Arguments& arguments, Variant variant) : arguments_(arguments), variant_(variant) {
    l1::StoreOptions options;
    options.memory_limit = std::size_t{1} << 28;
    options.features_max = 4;
    store_ = std::make_unique<l1::Store>(options);
    CacheCore::Parts parts;
    parts.clock = &clock_;
    parts.home = &home_;
    parts.l1 = store_.get();
    cache_ = std::make_unique<CacheCore>(parts);
    FeaturePolicy policy;
    policy.ttl = 1h;
    policy.name = "item";
    policy.max_staleness = 2s;
    policy.consistency = Consistency::kEventual;
    if (variant == Variant::kSession) policy.consistency = Consistency::kSession;
    if (variant == Variant::kBounded) policy.consistency = Consistency::kBounded;
    const bool is_watched = variant == Variant::kSession || variant == Variant::kBounded;
    feature_ = cache_->add_feature(policy, nullptr, is_watched ? "shop" : "").value();
    cache_->settle_floor("shop", MonoTime{0});
    fill();
  }

  // Nanoseconds for each operation.
  double run(bool in_batches) {
    cache_->prove("shop", clock_.now(), ChangeId{1});
    const auto begin = std::chrono::steady_clock::now();
    const std::size_t found = in_batches ? run_batches() : run_singles();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    if (found != order_.size()) {
      fmt::print("{} of {} found: not a measurement of hits\n", found, order_.size());
      std::exit(1);
    }
    return took.count() / static_cast<double>(order_.size());
  }

 private:
  std::size_t run_singles() {
    const Feature& feature = cache_->feature(feature_);
    const l1::Millis now = cache_->now_ms();  // as the server has it: once for a turn of its loop
    std::size_t found = 0;
    for (const std::uint32_t rank : order_) {
      const std::string& key = keys_[rank];
      const l1::Store::ReadGuard guard(*store_);
      const l1::KeyHash hash = store_->hash(feature.id(), key);
      if (variant_ == Variant::kFind) {
        l1::EntryView view;
        const bool ok = store_->find(guard, hash, feature.id(), key, now, &view);
        found += ok && view.value[0] != 0 ? 1 : 0;
      } else {
        CacheCore::Hit hit;
        found += cache_->try_hit(guard, feature, hash, key, now, &hit) && hit.value[0] != 0 ? 1 : 0;
      }
    }
    return found;
  }

  std::size_t run_batches() {
    const Feature& feature = cache_->feature(feature_);
    const l1::Millis now = cache_->now_ms();
    std::size_t found = 0;
    std::array<l1::Store::Lookup, kBatch> lookups;
    for (std::size_t at = 0; at < order_.size(); at += kBatch) {
      const std::size_t count = std::min(kBatch, order_.size() - at);
      const l1::Store::ReadGuard guard(*store_);
      for (std::size_t i = 0; i < count; ++i) {
        const std::string& key = keys_[order_[at + i]];
        lookups[i] = {store_->hash(feature.id(), key), feature.id(), key, false, {}};
      }
      Proof proof;
      if (variant_ == Variant::kBounded) proof = cache_->proof_of(feature, cache_->now_ms());
      store_->find_many(guard, std::span(lookups).first(count), now);
      for (std::size_t i = 0; i < count; ++i) {
        const auto& lookup = lookups[i];
        const bool ok = lookup.found && (variant_ == Variant::kFind ||
                                         cache_->may_serve(feature, lookup.key, lookup.view, now, proof));
        found += ok && lookup.view.value[0] != 0 ? 1 : 0;
      }
    }
    return found;
  }

  void fill() {
    const std::string value(64, 'v');
    for (std::size_t i = 0; i < arguments_.entries; ++i) keys_.push_back(fmt::format("{:08}", i));
    for (const std::string& key : keys_) {
      l1::Store::PutRequest put;
      put.hash = store_->hash(feature_, key);
      put.feature = feature_;
      put.key = key;
      put.value = value;
      put.now = put.meta.loaded_at = cache_->now_ms();
      put.meta.expires_at = put.meta.loaded_at + 3'600'000;
      (void)store_->put(put);
    }
    Random random(1);
    for (std::size_t i = 0; i < arguments_.operations; ++i)
      order_.push_back(static_cast<std::uint32_t>(random.below(keys_.size())));
  }

  Arguments arguments_;
  Variant variant_;
  SystemClock clock_;
  VirtualExecutor home_;
  std::unique_ptr<l1::Store> store_;
  std::unique_ptr<CacheCore> cache_;
  FeatureId feature_;
  std::vector<std::string> keys_;
  std::vector<std::uint32_t> order_;
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void measure(const Arguments& arguments) {
  std::array<std::unique_ptr<Hits>, 4> hits;
  for (std::size_t v = 0; v < 4; ++v) hits[v] = std::make_unique<Hits>(arguments, static_cast<Variant>(v));
  std::array<std::array<std::vector<double>, 4>, 2> nanos, ratios;
  for (int round = 0; round < arguments.rounds; ++round) {
    for (const std::size_t way : {0UL, 1UL}) {
      std::array<double, 4> now{};
      for (std::size_t i = 0; i < 4; ++i) {
        // Another one begins in each round: nobody always runs in the other's warm cache.
        const std::size_t v = (i + static_cast<std::size_t>(round)) % 4;
        now[v] = hits[v]->run(way == 1);
      }
      for (std::size_t v = 0; v < 4; ++v) {
        nanos[way][v].push_back(now[v]);
        ratios[way][v].push_back(now[v] / now[1]);
      }
    }
  }
  fmt::print("{} entries, {} hits a round, {} rounds; ratios to a hit without a watch\n", arguments.entries,
             arguments.operations, arguments.rounds);
  for (const std::size_t way : {0UL, 1UL}) {
    fmt::print("{}\n", way == 0 ? "one at a time" : "in batches of 16");
    for (std::size_t v = 0; v < 4; ++v) {
      const auto [low, high] = std::ranges::minmax(ratios[way][v]);
      fmt::print("  {:24} {:7.1f} ns  ratio {:.3f} ({:.3f} … {:.3f})\n", kNames[v], median(nanos[way][v]),
                 median(ratios[way][v]), low, high);
    }
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
