// What measuring costs: hits in L1 without a monitor, and with one that picks reads as it would (all of a
// quiet feature, a bounded number of a busy one) or at 0.1 %, 1 % and 100 %. On one thread, which also does
// what the monitor does with them (drain, judge by the stream, ask and judge by the origin) every 100 ms, as
// a node with one loop would. Then the same with hot keys, what happened to keys, and a trace. Rounds
// alternate, so that a slow minute of a shared machine hits all.
//
// Usage: monitor_bench [--entries N] [--operations N] [--rounds N]
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
#include "cache/tap_fan.h"
#include "capacity/capacity_model.h"
#include "io/clock.h"
#include "monitor/hot_keys.h"
#include "monitor/key_history.h"
#include "monitor/live_trace.h"
#include "monitor/monitor.h"

namespace candor::bench {
namespace {

struct Arguments {
  std::size_t entries = 100'000, operations = 4'000'000;
  int rounds = 15;
};

// The second is the first again: what lies between them is chance.
constexpr std::array<const char*, 11> kNames = {
    "no monitor",    "the same again", "no budget", "by traffic",  "0.1 % checked", "1 % checked",
    "100 % checked", "inspection off", "hot keys",  "and a trace", "curves"};
constexpr std::array<double, 11> kSample = {0, 0, 0, 0, 0.001, 0.01, 1.0, 0, 0, 0, 0};
constexpr std::size_t kTapped = 2, kMonitored = 3, kInspected = 7, kHotKeys = 8, kTraced = 9;
// No monitor either, but the capacity model of a node follows some keys (docs/capacity.md).
constexpr std::size_t kCurves = 10;
constexpr std::size_t kModelBytes = 2'600'000;
constexpr std::size_t kBatch = 16;
constexpr Duration kDrainPeriod = 100ms;
constexpr std::size_t kLookEvery = 4096;  // hits between two looks at the clock

// Answers at once, and counts.
class CountingOrigin final : public OriginFeature {
 public:
  explicit CountingOrigin(std::uint64_t* loads) : loads_(loads) {}
  Task<Result<OriginRow>> load(std::string, MonoTime) override {
    ++*loads_;
    OriginRow row;
    row.value = std::string(64, 'v');
    co_return row;
  }
  Task<Result<OriginWrite>> store(std::string, std::string, MonoTime) override { co_return OriginWrite{}; }
  Task<Result<OriginWrite>> erase(std::string, MonoTime) override { co_return OriginWrite{}; }
  [[nodiscard]] bool can_store() const override { return true; }
  [[nodiscard]] bool can_erase() const override { return true; }

 private:
  std::uint64_t* loads_;
};

// One variant. All share one store: where its entries lie would make more of a difference than a monitor
// does.
class Hits {
 public:
  Hits(const Arguments& arguments, std::size_t variant, l1::Store* store)
      : arguments_(arguments), store_(store) {
    Monitor::World world;
    world.home = &home_;
    world.clock = &home_;
    world.features_max = 4;
    monitor_ = std::make_unique<Monitor>(std::move(world));
    CacheCore::Parts parts;
    parts.clock = &home_;
    parts.home = &home_;
    parts.l1 = store_;
    parts.tap = variant < kTapped || variant == kCurves ? nullptr : monitor_->tap();
    parts.observer = monitor_.get();
    if (variant >= kInspected && variant != kCurves) parts.tap = inspect(variant);
    cache_ = std::make_unique<CacheCore>(parts);
    FeaturePolicy policy;
    policy.ttl = 1h;
    policy.name = "item";
    policy.consistency = Consistency::kSession;
    feature_ = cache_->add_feature(policy, std::make_unique<CountingOrigin>(&loads_), "shop").value();
    cache_->settle_floor("shop", MonoTime{0});
    if (variant == kCurves) {
      capacity::CapacityModel::Options options;
      options.memory = kModelBytes;
      model_ = std::make_unique<capacity::CapacityModel>(options, &store_->access_log());
      model_->set_capacity(2e8);
    }
    if (variant == kTraced) trace_id_ = trace_.open({}, 0.001).value();
    if (variant >= kMonitored && variant < kInspected) {
      MonitoredFeature facts;
      facts.id = feature_;
      facts.name = "item";
      facts.origin = "shop";
      facts.is_watched = true;
      facts.budget.max_staleness = 5s;
      facts.budget.sample = kSample[variant];
      monitor_->watch(cache_.get(), std::move(facts));
      monitor_->start();
    }
    fill();
  }

  // Nanoseconds for each hit, whatever the monitor does with it included.
  double run(bool in_batches) {
    if (model_ != nullptr) model_->follow(feature_, true, 0s);
    const auto begin = std::chrono::steady_clock::now();
    looked_ = clock_.now();
    const std::size_t found = in_batches ? run_batches() : run_singles();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    if (model_ != nullptr) model_->follow(feature_, false, 0s);
    if (found != order_.size()) {
      fmt::print("{} of {} found: not a measurement of hits\n", found, order_.size());
      std::exit(1);
    }
    return took.count() / static_cast<double>(order_.size());
  }
  [[nodiscard]] std::uint64_t loads() const { return loads_; }
  [[nodiscard]] const capacity::CapacityModel* model() const { return model_.get(); }

 private:
  // What the loop of a node does between two turns. Its time goes on while this variant runs and no longer.
  void look() {
    const MonoTime now = clock_.now();
    const Duration ran = now - looked_;
    looked_ = now;
    if (model_ != nullptr) feed_model();
    cache_->prove("shop", home_.now(), ChangeId{1});
    home_.advance(ran);
    if (home_.now() - drained_ >= kDrainPeriod) drain();
  }

  ReadTap* inspect(std::size_t variant) {
    if (variant >= kHotKeys) fan_.add(&sample_);
    fan_.add(&trace_);
    return &fan_;
  }

  // As a node does, ten times a second.
  void drain() {
    for (const SightedRead& read : sample_.drain(home_.now() - drained_)) {
      hot_.on_read(home_.now(), read);
      history_.on_hit(read);
    }
    drained_ = home_.now();
    if (trace_.is_watched() && trace_.pace()) cache_->resample_reads();
    traced_ += trace_.take(trace_id_).events.size();
  }

  void feed_model() {
    if (looked_ - fed_ < 100ms) return;
    fed_ = looked_;
    records_.clear();
    store_->access_log().drain(&records_);
    model_->take(records_, fed_.ms());
    model_->count(feature_, 1'000'000, 1'000'000);
    model_->settle(fed_);
  }

  std::size_t run_singles() {
    const Feature& feature = cache_->feature(feature_);
    l1::Millis now = cache_->now_ms();
    std::size_t found = 0;
    for (std::size_t i = 0; i < order_.size(); ++i) {
      if (i % kLookEvery == 0) {
        cache_->count_hits(feature, std::min(i, kLookEvery), 0);
        look();
        now = cache_->now_ms();
      }
      const std::string& key = keys_[order_[i]];
      const l1::Store::ReadGuard guard(*store_);
      CacheCore::Hit hit;
      found += cache_->try_hit(guard, feature, store_->hash(feature.id(), key), key, now, &hit) &&
               hit.value[0] != 0;
    }
    return found;
  }

  std::size_t run_batches() {
    const Feature& feature = cache_->feature(feature_);
    l1::Millis now = cache_->now_ms();
    std::size_t found = 0;
    std::array<l1::Store::Lookup, kBatch> lookups;
    for (std::size_t at = 0; at < order_.size(); at += kBatch) {
      if (at % kLookEvery == 0) {
        look();
        now = cache_->now_ms();
      }
      const std::size_t count = std::min(kBatch, order_.size() - at);
      const l1::Store::ReadGuard guard(*store_);
      for (std::size_t i = 0; i < count; ++i) {
        const std::string& key = keys_[order_[at + i]];
        lookups[i] = {store_->hash(feature.id(), key), feature.id(), key, false, {}};
      }
      store_->find_many(guard, std::span(lookups).first(count), now);
      for (std::size_t i = 0; i < count; ++i) {
        const auto& lookup = lookups[i];
        found += lookup.found && cache_->may_serve(feature, lookup.key, lookup.view, now, {}) &&
                 lookup.view.value[0] != 0;
      }
      cache_->count_hits(feature, count, 0);
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
      put.now = cache_->now_ms();
      put.meta.loaded_at = put.now;
      put.meta.expires_at = put.now + 3'600'000;
      (void)store_->put(put);
    }
    Random random(1);
    for (std::size_t i = 0; i < arguments_.operations; ++i)
      order_.push_back(static_cast<std::uint32_t>(random.below(keys_.size())));
  }

  Arguments arguments_;
  SystemClock clock_;
  MonoTime looked_{0};
  VirtualExecutor home_;
  TapFan fan_{1};
  ReadSample sample_{4};
  HotKeys hot_{4, 128, 1};
  KeyHistory history_{4U << 20, &home_, 1};
  LiveTrace trace_{4, &home_};
  std::uint64_t trace_id_ = 0, traced_ = 0;
  MonoTime drained_{0};
  std::uint64_t loads_ = 0;
  l1::Store* store_;
  std::unique_ptr<Monitor> monitor_;
  std::unique_ptr<capacity::CapacityModel> model_;
  std::vector<l1::Access> records_;
  MonoTime fed_{0};
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
  constexpr std::size_t kVariants = kNames.size();
  l1::StoreOptions options;
  options.memory_limit = std::size_t{1} << 28;
  options.features_max = 4;
  options.access_stripes = 1;
  l1::Store store(options);
  std::array<std::unique_ptr<Hits>, kVariants> hits;
  for (std::size_t v = 0; v < kVariants; ++v) hits[v] = std::make_unique<Hits>(arguments, v, &store);
  std::array<std::array<std::vector<double>, kVariants>, 2> nanos, ratios;
  const auto began = std::chrono::steady_clock::now();
  for (int round = 0; round < arguments.rounds; ++round) {
    for (const std::size_t way : {0UL, 1UL}) {
      std::array<double, kVariants> now{};
      for (std::size_t i = 0; i < kVariants; ++i) {
        const std::size_t v = (i + static_cast<std::size_t>(round)) % kVariants;
        now[v] = hits[v]->run(way == 1);
      }
      for (std::size_t v = 0; v < kVariants; ++v) {
        nanos[way][v].push_back(now[v]);
        ratios[way][v].push_back(now[v] / now[0]);
      }
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  fmt::print("{} entries, {} hits a round, {} rounds; ratios to a hit without a monitor\n", arguments.entries,
             arguments.operations, arguments.rounds);
  for (const std::size_t way : {0UL, 1UL}) {
    fmt::print("{}\n", way == 0 ? "one at a time" : "in batches of 16");
    for (std::size_t v = 0; v < kVariants; ++v) {
      const auto [low, high] = std::ranges::minmax(ratios[way][v]);
      fmt::print("  {:16} {:7.1f} ns  ratio {:.3f} ({:.3f} … {:.3f})\n", kNames[v], median(nanos[way][v]),
                 median(ratios[way][v]), low, high);
    }
  }
  for (std::size_t v = kMonitored; v < kInspected; ++v)
    fmt::print("{}: {:.1f} loads of the origin for each second that it ran\n", kNames[v],
               static_cast<double>(hits[v]->loads()) / (took.count() / kVariants));
  const capacity::CapacityModel& model = *hits[kCurves]->model();
  fmt::print("curves: {} of {} keys followed, {:.0f} records a second\n", model.keys(), arguments.entries,
             model.records_per_second());
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
