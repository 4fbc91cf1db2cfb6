// What the disk tier saves: hit ratios and loads of the origin with and without it, at equal memory of L1, as
// Markdown (docs/benchmarks.md holds a run of it). The real store, tier and RocksDB; one thread, so that a
// run gives the same figures again.
//
//   disk_bench [--rows N] [FILE:FORMAT …]      FORMAT as in `candor replay`; without files Zipf loads alone
//
// A request looks into L1, then on the disk, then counts as a load and is put into L1. Values are 500 bytes
// that do not compress. Time goes on by 20 µs a request (50,000 a second), which is what the write budget
// sees.
#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "app/trace_reader.h"
#include "base/random.h"
#include "base/virtual_executor.h"
#include "tier/disk/disk_tier.h"
#include "tier/disk/rocks_store.h"
#include "tier/l1/store.h"

namespace candor {
namespace {

namespace fs = std::filesystem;

constexpr FeatureId kFeature{0};
constexpr std::size_t kValueBytes = 500;
constexpr Duration kBetweenRequests = 20us;
constexpr std::uint8_t kHeld = 4;

struct Load {
  std::string name;
  std::vector<std::uint64_t> keys;
  std::size_t distinct = 0;
};

std::size_t count_distinct(const std::vector<std::uint64_t>& keys) {
  return std::unordered_set<std::uint64_t>(keys.begin(), keys.end()).size();
}

// By the inverse of the continuous distribution; the ranks are spread over the keys.
Load zipf(double skew, std::uint64_t keys, std::size_t requests) {
  Load load;
  load.name = fmt::format("Zipf {:.1f}, {} keys", skew, keys);
  Random random(7);
  const double span = std::pow(static_cast<double>(keys), 1.0 - skew) - 1.0;
  for (std::size_t i = 0; i < requests; ++i) {
    const double rank = std::pow(1.0 + random.unit() * span, 1.0 / (1.0 - skew));
    load.keys.push_back(mix64(static_cast<std::uint64_t>(rank)));
  }
  load.distinct = count_distinct(load.keys);
  return load;
}

std::optional<Load> trace(const std::string& argument) {
  const auto colon = argument.rfind(
      ':', argument.find(":csvkey") == std::string::npos ? std::string::npos : argument.rfind(':') - 1);
  const std::string path = argument.substr(0, colon);
  const auto format = app::parse_trace_format(colon == std::string::npos ? "" : argument.substr(colon + 1));
  if (!format) return std::nullopt;
  auto reader = app::TraceReader::open(path, *format);
  if (!reader) return std::nullopt;
  Load load;
  load.name = fs::path(path).filename().string();
  std::vector<app::TraceRequest> batch(4096);
  for (;;) {
    const auto n = reader->read(batch);
    if (!n || *n == 0) break;
    for (std::size_t i = 0; i < *n; ++i) load.keys.push_back(batch[i].key);
  }
  load.distinct = count_distinct(load.keys);
  return load;
}

struct InlinePool final : BlockingPool {
  void run(std::move_only_function<void()> work) override { work(); }
};

struct Outcome {
  std::uint64_t l1 = 0, disk = 0, loads = 0;
  disk::Stats stats;
  double read_us = 0;  // mean of a disk hit, with the page cache's help
};

class Node {
 public:
  Node(std::size_t l1_bytes, std::uint64_t disk_bytes, const std::string& path) {
    l1::StoreOptions l1;
    l1.memory_limit = l1_bytes;
    l1.hash_seed = 1;
    if (disk_bytes > 0) {
      auto opened = disk::open_rocks_store({path, disk_bytes, std::uint64_t{8} << 20});
      if (!opened) {
        fmt::print(stderr, "{}\n", opened.error().message);
        std::exit(1);
      }
      disk::DiskTier::World world;
      world.home = &executor_;
      world.clock = &executor_;
      world.pool = &pool_;
      disk::DiskTier::Options options;
      options.disk_bytes = disk_bytes;
      options.held_flag = kHeld;
      tier_ = std::make_unique<disk::DiskTier>(std::move(world), options, std::move(opened->store));
      tier_->add_feature("f", 1, true);
      l1.evicted = tier_.get();
    }
    store_ = std::make_unique<l1::Store>(l1);
  }

  void request(std::uint64_t number) {
    executor_.advance(kBetweenRequests);
    const std::string_view key(reinterpret_cast<const char*>(&number), sizeof number);
    const l1::KeyHash hash = store_->hash(kFeature, key);
    {
      const l1::Store::ReadGuard guard(*store_);
      l1::EntryView view;
      if (store_->find(guard, hash, kFeature, key, now(), &view)) {
        ++outcome_.l1;
        return;
      }
    }
    if (tier_ != nullptr && is_on_disk(hash, key)) {
      ++outcome_.disk;
    } else {
      ++outcome_.loads;
      put(hash, key, value_of(number), 0);
      if (tier_ != nullptr) tier_->forget(kFeature, hash, name_of(key));
    }
    if (++misses_ % 1024 == 0) store_->maintain(now());
  }

  Outcome finish() {
    executor_.advance(1s);
    if (tier_ != nullptr) {
      outcome_.stats = tier_->stats();
      if (outcome_.disk > 0) outcome_.read_us = disk_ns_ / 1000.0 / static_cast<double>(outcome_.disk);
    }
    return outcome_;
  }

 private:
  [[nodiscard]] l1::Millis now() const { return executor_.now().ms(); }
  static std::string name_of(std::string_view key) { return "f:" + std::string(key); }
  static std::string value_of(std::uint64_t number) {
    Random random(number);
    std::string value;
    while (value.size() < kValueBytes) {
      const std::uint64_t word = random();
      value.append(reinterpret_cast<const char*>(&word), sizeof word);
    }
    return value;
  }
  void put(l1::KeyHash hash, std::string_view key, std::string_view value, std::uint8_t flags) {
    l1::Store::PutRequest put;
    put.hash = hash;
    put.feature = kFeature;
    put.key = key;
    put.value = value;
    put.meta.loaded_at = now();
    put.meta.user_flags = flags;
    put.now = now();
    (void)store_->put(put);
  }
  bool is_on_disk(l1::KeyHash hash, std::string_view key) {
    const auto began = std::chrono::steady_clock::now();
    std::optional<disk::Hit> found;
    spawn(tier_->get(kFeature, hash, name_of(key)),
          [&](std::optional<disk::Hit> hit) { found = std::move(hit); });
    executor_.run_ready();
    if (!found) return false;
    disk_ns_ += static_cast<double>((std::chrono::steady_clock::now() - began).count());
    put(hash, key, found->value, found->is_old ? 0 : kHeld);
    return true;
  }

  VirtualExecutor executor_;
  InlinePool pool_;
  std::unique_ptr<disk::DiskTier> tier_;
  std::unique_ptr<l1::Store> store_;
  Outcome outcome_;
  std::uint64_t misses_ = 0;
  double disk_ns_ = 0;
};

Outcome run(const Load& load, std::size_t l1_bytes, std::uint64_t disk_bytes) {
  const std::string path =
      (fs::temp_directory_path() / fmt::format("candor-disk-bench-{}", ::getpid())).string();
  Outcome outcome;
  {
    Node node(l1_bytes, disk_bytes, path);
    for (const std::uint64_t key : load.keys) node.request(key);
    outcome = node.finish();
  }
  fs::remove_all(path);
  return outcome;
}

void compare(const Load& load) {
  const auto all = static_cast<std::size_t>(static_cast<double>(load.distinct) * (kValueBytes + 40));
  const auto requests = static_cast<double>(load.keys.size());
  for (const double share : {0.02, 0.1}) {
    const std::size_t l1 =
        std::max<std::size_t>(static_cast<std::size_t>(static_cast<double>(all) * share), 2 << 20);
    const std::uint64_t disk = std::max<std::uint64_t>(l1 * 5, 16 << 20);
    const Outcome without = run(load, l1, 0);
    const Outcome with = run(load, l1, disk);
    const disk::Stats& s = with.stats;
    fmt::print(
        "| {} | {:.0f} MiB | {:.0f} MiB | {:.3f} | {:.3f} + {:.3f} | {} | {} | −{:.0f} % | {:.0f} MiB | "
        "{:.0f} µs |\n",
        load.name, static_cast<double>(l1) / (1 << 20), static_cast<double>(disk) / (1 << 20),
        static_cast<double>(without.l1) / requests, static_cast<double>(with.l1) / requests,
        static_cast<double>(with.disk) / requests, without.loads, with.loads,
        100.0 * (1.0 - static_cast<double>(with.loads) / static_cast<double>(without.loads)),
        static_cast<double>(s.written_bytes) / (1 << 20), with.read_us);
    fmt::print(
        stderr,
        "{}: {} demoted, {} too cold, {} over the rate, {} queue full; lookups {} hit, {} miss, {} absent; "
        "{} removals; {:.1f} MiB of {:.1f} on disk, {:.1f} MiB of memory{}\n",
        load.name, s.demoted, s.too_cold, s.over_budget, s.queue_full, s.hits, s.misses, s.absent, s.removals,
        static_cast<double>(s.disk_bytes) / (1 << 20), static_cast<double>(s.disk_limit) / (1 << 20),
        static_cast<double>(s.memory_bytes) / (1 << 20), s.off.empty() ? "" : "; OFF: " + s.off);
  }
}

int main_of(const std::vector<std::string>& arguments) {
  std::uint64_t rows = 200'000;
  std::vector<Load> loads;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--rows" && i + 1 < arguments.size()) {
      rows = std::strtoull(arguments[++i].c_str(), nullptr, 10);
      continue;
    }
    auto load = trace(arguments[i]);
    if (!load) {
      fmt::print(stderr, "cannot read {} (FILE:FORMAT)\n", arguments[i]);
      return 2;
    }
    loads.push_back(std::move(*load));
  }
  for (const double skew : {0.7, 0.9, 1.1}) loads.push_back(zipf(skew, rows, rows * 10));
  fmt::print(
      "| load | L1 | disk | hits without | hits with: L1 + disk | loads without | loads with | loads | "
      "written | a disk hit |\n"
      "|---|---|---|---|---|---|---|---|---|---|\n");
  for (const Load& load : loads) compare(load);
  return 0;
}

}  // namespace
}  // namespace candor

int main(int argc, char** argv) { return candor::main_of({argv + 1, argv + argc}); }
