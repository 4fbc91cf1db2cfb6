// L1 in process, against references that this program carries itself:
//
//   floor      single-threaded open addressing with CLOCK, slots of 8-byte key + 64-byte value in place, no
//   synchronisation, no ttl, no
//              accounting: what DRAM allows. With and without huge pages.
//   tbb        oneTBB concurrent_hash_map
//   mutex-lru  64 shards of unordered_map + list, each under a mutex: what people write
//
// Workload: N entries, 8-byte keys, 64-byte values, zipf 0.99 with ranks scattered over the key space, every
// value read. The hash is computed inside the measured loop everywhere. The measurements of one repetition
// alternate, so that a slow minute of a shared machine hits all of them; median and spread (min … max) are
// over the repetitions, and ratios are taken within a repetition.
//
// Usage: l1_bench [--entries N] [--operations N] [--repetitions N] [--only SUBSTRING]
#include <fmt/core.h>
#include <sys/mman.h>
#include <tbb/concurrent_hash_map.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "tier/l1/store.h"

namespace candor::bench {
namespace {

constexpr std::size_t kValueBytes = 64;
constexpr FeatureId kFeature{1};

struct Arguments {
  std::size_t entries = 1'000'000;
  std::size_t operations = 4'000'000;
  int repetitions = 7;
  std::string only;
};

// Rejection-free zipf: the harmonic sums in a table, drawn by binary search once, before anything is
// measured.
std::vector<std::uint64_t> zipf_keys(std::size_t universe, std::size_t count, double exponent,
                                     std::uint64_t seed) {
  std::vector<double> sums(universe);
  double sum = 0;
  for (std::size_t i = 0; i < universe; ++i)
    sums[i] = sum += 1.0 / std::pow(static_cast<double>(i + 1), exponent);
  Random random(seed);
  std::vector<std::uint64_t> keys(count);
  for (std::uint64_t& key : keys) {
    const auto rank = std::lower_bound(sums.begin(), sums.end(), random.unit() * sum) - sums.begin();
    key = mix64(static_cast<std::uint64_t>(rank));  // scattered: hot keys are not neighbours
  }
  return keys;
}

std::string_view bytes_of(const std::uint64_t& key) {
  return {reinterpret_cast<const char*>(&key), sizeof key};
}

void fill_value(std::uint64_t key, char* value) {
  for (std::size_t i = 0; i < kValueBytes; i += 8) {
    const std::uint64_t word = key + i;
    std::memcpy(value + i, &word, sizeof word);
  }
}

// Reads every word of a value.
std::uint64_t digest(const char* value) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kValueBytes; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, value + i, sizeof word);
    sum ^= word;
  }
  return sum;
}

// --- the floor
// -----------------------------------------------------------------------------------------------------------

class FloorTable {
 public:
  FloorTable(std::size_t capacity, bool huge_pages) : capacity_(capacity) {
    // At most 70 % full: linear probing then needs 2.2 probes for a hit at the worst, in neighbouring slots.
    slots_count_ = static_cast<std::size_t>(static_cast<double>(capacity) / 0.7) + 1;
    stride_ = static_cast<std::size_t>(static_cast<double>(slots_count_) * 0.618);
    while (std::gcd(stride_, slots_count_) != 1) ++stride_;
    bytes_ = slots_count_ * sizeof(Slot) + (std::size_t{2} << 20);
    mapping_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping_ == MAP_FAILED) std::abort();
    madvise(mapping_, bytes_, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    const auto at = (reinterpret_cast<std::uintptr_t>(mapping_) + (std::uintptr_t{2} << 20) - 1) >> 21 << 21;
    slots_ = reinterpret_cast<Slot*>(at);
  }
  ~FloorTable() { munmap(mapping_, bytes_); }
  FloorTable(const FloorTable&) = delete;
  FloorTable& operator=(const FloorTable&) = delete;

  const char* find(std::uint64_t key) {
    for (std::size_t i = home(key);; i = next(i)) {
      if (slots_[i].key == key) {
        slots_[i].accessed = 1;
        return slots_[i].value;
      }
      if (slots_[i].key == kEmpty) return nullptr;
    }
  }
  void insert(std::uint64_t key) {
    if (size_ == capacity_) evict();
    std::size_t i = home(key);
    while (slots_[i].key != kEmpty) i = next(i);
    slots_[i].key = key;
    slots_[i].accessed = 0;
    fill_value(key, slots_[i].value);
    ++size_;
  }

 private:
  static constexpr std::uint64_t kEmpty = 0;
  struct Slot {  // 80 bytes
    std::uint64_t key;
    std::uint64_t accessed;
    char value[kValueBytes];
  };
  std::size_t home(std::uint64_t key) const {
    return static_cast<std::size_t>((static_cast<unsigned __int128>(mix64(key)) * slots_count_) >> 64);
  }
  std::size_t next(std::size_t i) const { return i + 1 == slots_count_ ? 0 : i + 1; }
  // The hand visits the slots in a scattered order. In table order it would leave empty slots behind it and
  // let those ahead of it fill up, until probes take microseconds.
  void evict() {
    for (;; hand_ = (hand_ + stride_) % slots_count_) {
      if (slots_[hand_].key == kEmpty) continue;
      if (slots_[hand_].accessed != 0) {
        slots_[hand_].accessed = 0;
        continue;
      }
      erase(hand_);
      --size_;
      return;
    }
  }
  void erase(std::size_t hole) {  // Knuth 6.4 R: shifts back what would be cut off
    for (std::size_t i = next(hole);; i = next(i)) {
      if (slots_[i].key == kEmpty) break;
      const std::size_t h = home(slots_[i].key);
      const bool stays = hole <= i ? (hole < h && h <= i) : (hole < h || h <= i);
      if (stays) continue;
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole].key = kEmpty;
  }

  std::size_t capacity_;
  std::size_t slots_count_;
  std::size_t stride_;
  std::size_t bytes_;
  void* mapping_;
  Slot* slots_;
  std::size_t size_ = 0;
  std::size_t hand_ = 0;
};

// --- what people write
// -------------------------------------------------------------------------------------------------------

struct Value {
  char bytes[kValueBytes];
};

class MutexLru {
 public:
  explicit MutexLru(std::size_t capacity) : per_shard_(std::max<std::size_t>(capacity / kShards, 1)) {}
  bool find(std::uint64_t key, Value* out) {
    Shard& shard = shards_[mix64(key) >> 58];
    const std::lock_guard lock(shard.mutex);
    const auto at = shard.map.find(key);
    if (at == shard.map.end()) return false;
    shard.order.splice(shard.order.begin(), shard.order, at->second);
    *out = at->second->second;
    return true;
  }
  void insert(std::uint64_t key) {
    Shard& shard = shards_[mix64(key) >> 58];
    const std::lock_guard lock(shard.mutex);
    if (shard.map.size() >= per_shard_) {
      shard.map.erase(shard.order.back().first);
      shard.order.pop_back();
    }
    shard.order.emplace_front(key, Value{});
    fill_value(key, shard.order.front().second.bytes);
    shard.map[key] = shard.order.begin();
  }

 private:
  static constexpr std::size_t kShards = 64;
  struct Hash {
    std::size_t operator()(std::uint64_t key) const { return mix64(key); }
  };
  struct alignas(64) Shard {
    std::mutex mutex;
    std::list<std::pair<std::uint64_t, Value>> order;
    std::unordered_map<std::uint64_t, std::list<std::pair<std::uint64_t, Value>>::iterator, Hash> map;
  };
  std::size_t per_shard_;
  Shard shards_[kShards];
};

struct TbbHash {
  static std::size_t hash(std::uint64_t key) { return mix64(key); }
  static bool equal(std::uint64_t a, std::uint64_t b) { return a == b; }
};
using TbbMap = tbb::concurrent_hash_map<std::uint64_t, Value, TbbHash>;

// --- measuring
// -----------------------------------------------------------------------------------------------------------

volatile std::uint64_t g_sink;

// Operations per second of `threads` threads that each run body(thread).
double rate(std::size_t operations, unsigned threads, const std::function<std::uint64_t(unsigned)>& body) {
  std::vector<std::thread> running;
  const auto begin = std::chrono::steady_clock::now();
  for (unsigned t = 1; t < threads; ++t) running.emplace_back([&body, t] { g_sink = body(t); });
  g_sink = body(0);
  for (std::thread& thread : running) thread.join();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(operations) * threads / taken.count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Report {
 public:
  void add(const std::string& name, double ops) { figures_[name].push_back(ops); }
  void print() const {
    fmt::print("{:<34} {:>10} {:>8}   {}\n", "measurement", "Mops/s", "ns/op", "min … max Mops/s");
    for (const auto& [name, values] : figures_) {
      const auto [low, high] = std::minmax_element(values.begin(), values.end());
      const double middle = median(values);
      fmt::print("{:<34} {:>10.2f} {:>8.1f}   {:.2f} … {:.2f}\n", name, middle / 1e6, 1e9 / middle,
                 *low / 1e6, *high / 1e6);
    }
  }
  void ratio(const std::string& label, const std::string& over, const std::string& under,
             double target) const {
    const auto a = figures_.find(over);
    const auto b = figures_.find(under);
    if (a == figures_.end() || b == figures_.end()) return;
    std::vector<double> ratios;
    for (std::size_t i = 0; i < a->second.size(); ++i) ratios.push_back(a->second[i] / b->second[i]);
    const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
    fmt::print("{:<58} {:.2f}  ({:.2f} … {:.2f})  target {:.2f}  {}\n", label, median(ratios), *low, *high,
               target, median(ratios) >= target ? "reached" : "MISSED");
  }

 private:
  std::map<std::string, std::vector<double>> figures_;
};

class Workload {
 public:
  explicit Workload(const Arguments& arguments)
      : args_(arguments),
        keys_(zipf_keys(arguments.entries, arguments.operations, 0.99, 1)),
        other_keys_(zipf_keys(arguments.entries, arguments.operations, 0.99, 2)) {}

  [[nodiscard]] const std::vector<std::uint64_t>& keys(unsigned thread) const {
    return thread == 0 ? keys_ : other_keys_;
  }

  template <class Insert>
  void for_each_key(Insert&& insert) const {
    for (std::size_t i = 0; i < args_.entries; ++i) insert(mix64(i));
  }

  const Arguments args_;

 private:
  std::vector<std::uint64_t> keys_;
  std::vector<std::uint64_t> other_keys_;
};

bool put(l1::Store& store, std::uint64_t key, l1::KeyHash hash) {
  char value[kValueBytes];
  fill_value(key, value);
  return store.put({.hash = hash,
                    .feature = kFeature,
                    .key = bytes_of(key),
                    .value = {value, kValueBytes},
                    .meta = {.stamp = {{77}}, .loaded_at = 1000, .expires_at = 3'600'000},
                    .now = 1000}) == l1::Store::PutResult::kStored;
}

// Makes the next key depend on the value read before, as far as the processor can know: it cannot begin a get
// while another waits for memory. This is what one request costs; without it, gets in a loop overlap their
// cache misses.
std::uint64_t after(std::uint64_t key, std::uint64_t digest_before) {
  std::uint64_t zero = 0;
  asm volatile("and %1, %0" : "+r"(zero) : "r"(digest_before));
  return key + zero;
}

template <bool kDependent>
std::uint64_t store_gets(const l1::Store& store, const std::vector<std::uint64_t>& keys) {
  std::uint64_t sum = 0;
  l1::EntryView view;
  for (std::uint64_t key : keys) {
    if constexpr (kDependent) key = after(key, sum);
    const l1::Store::ReadGuard guard(store);
    if (store.find(guard, store.hash(kFeature, bytes_of(key)), kFeature, bytes_of(key), 1000, &view)) {
      sum += digest(view.value.data());
    }
  }
  return sum;
}

std::uint64_t store_batched_gets(const l1::Store& store, const std::vector<std::uint64_t>& keys,
                                 std::size_t batch) {
  std::uint64_t sum = 0;
  std::vector<l1::Store::Lookup> lookups(batch);
  for (std::size_t i = 0; i + batch <= keys.size(); i += batch) {
    const l1::Store::ReadGuard guard(store);
    for (std::size_t j = 0; j < batch; ++j) {
      lookups[j].key = bytes_of(keys[i + j]);
      lookups[j].feature = kFeature;
      lookups[j].hash = store.hash(kFeature, lookups[j].key);
    }
    store.find_many(guard, lookups, 1000);
    for (const l1::Store::Lookup& lookup : lookups) {
      if (lookup.found) sum += digest(lookup.view.value.data());
    }
  }
  return sum;
}

struct FillCount {
  std::uint64_t sum = 0;
  std::uint64_t hits = 0;
};

FillCount store_get_or_fill(l1::Store& store, const std::vector<std::uint64_t>& keys) {
  FillCount count;
  l1::EntryView view;
  for (const std::uint64_t& key : keys) {
    const l1::KeyHash hash = store.hash(kFeature, bytes_of(key));
    {
      const l1::Store::ReadGuard guard(store);
      if (store.find(guard, hash, kFeature, bytes_of(key), 1000, &view)) {
        count.sum += digest(view.value.data());
        ++count.hits;
        continue;
      }
    }
    put(store, key, hash);
  }
  return count;
}

FillCount floor_get_or_fill(FloorTable& table, const std::vector<std::uint64_t>& keys) {
  FillCount count;
  for (const std::uint64_t key : keys) {
    if (const char* value = table.find(key); value != nullptr) {
      count.sum += digest(value);
      ++count.hits;
    } else {
      table.insert(key);
    }
  }
  return count;
}

// tidy: allow(one table of what is measured; cutting it would only hide the order)
void run_hits(const Workload& workload, Report& report) {
  const Arguments& args = workload.args_;
  l1::Store store(
      {.memory_limit = std::max<std::size_t>(args.entries * 256, std::size_t{64} << 20), .hash_seed = 99});
  FloorTable floor_small(args.entries, false);
  FloorTable floor_huge(args.entries, true);
  TbbMap tbb(args.entries);
  auto lru = std::make_unique<MutexLru>(args.entries * 2);
  workload.for_each_key([&](std::uint64_t key) {
    put(store, key, store.hash(kFeature, bytes_of(key)));
    floor_small.insert(key);
    floor_huge.insert(key);
    TbbMap::accessor at;
    tbb.insert(at, key);
    fill_value(key, at->second.bytes);
    lru->insert(key);
  });
  if (store.stats().entries != args.entries)
    fmt::print("store holds {} of {} entries\n", store.stats().entries, args.entries);

  const auto floor_gets = [&]<bool kDependent>(FloorTable& table, std::bool_constant<kDependent>) {
    return rate(args.operations, 1, [&](unsigned t) {
      std::uint64_t sum = 0;
      for (const std::uint64_t key : workload.keys(t)) {
        sum += digest(table.find(kDependent ? after(key, sum) : key));
      }
      return sum;
    });
  };
  const auto tbb_gets = [&](unsigned threads) {
    return rate(args.operations, threads, [&](unsigned t) {
      std::uint64_t sum = 0;
      for (const std::uint64_t key : workload.keys(t)) {
        TbbMap::const_accessor at;
        if (tbb.find(at, key)) sum += digest(at->second.bytes);
      }
      return sum;
    });
  };
  const auto lru_gets = [&](unsigned threads) {
    return rate(args.operations, threads, [&](unsigned t) {
      std::uint64_t sum = 0;
      Value value;
      for (const std::uint64_t key : workload.keys(t)) {
        if (lru->find(key, &value)) sum += digest(value.bytes);
      }
      return sum;
    });
  };
  const auto gets = [&](unsigned threads) {
    return rate(args.operations, threads,
                [&](unsigned t) { return store_gets<false>(store, workload.keys(t)); });
  };
  const auto dependent_gets = [&](unsigned threads) {
    return rate(args.operations, threads,
                [&](unsigned t) { return store_gets<true>(store, workload.keys(t)); });
  };
  for (int i = -1; i < args.repetitions; ++i) {  // the first round warms up
    Report discarded;
    Report& to = i < 0 ? discarded : report;
    to.add("one  floor, 4 KiB pages", floor_gets(floor_small, std::true_type{}));
    to.add("one  floor, huge pages", floor_gets(floor_huge, std::true_type{}));
    to.add("one  candor, 1 thread", dependent_gets(1));
    to.add("one  candor, 2 threads", dependent_gets(2));
    to.add("get  floor, 4 KiB pages", floor_gets(floor_small, std::false_type{}));
    to.add("get  floor, huge pages", floor_gets(floor_huge, std::false_type{}));
    to.add("get  candor, 1 thread", gets(1));
    to.add("get  candor, 2 threads", gets(2));
    to.add("get  candor, batches of 32", rate(args.operations, 1, [&](unsigned t) {
             return store_batched_gets(store, workload.keys(t), 32);
           }));
    to.add("get  tbb, 1 thread", tbb_gets(1));
    to.add("get  tbb, 2 threads", tbb_gets(2));
    to.add("get  mutex-lru, 1 thread", lru_gets(1));
    to.add("get  mutex-lru, 2 threads", lru_gets(2));
  }
}

void run_fills(const Workload& workload, Report& report) {
  const Arguments& args = workload.args_;
  const std::size_t capacity = args.entries / 10;
  // As many bytes as hold about a tenth of the entries: 92 bytes and the index for each, and the store's own
  // share.
  l1::Store store({.memory_limit = capacity * 112, .hash_seed = 99});
  FloorTable floor_small(capacity, false);
  FloorTable floor_huge(capacity, true);
  MutexLru lru(capacity);
  double store_hits = 0;
  double floor_hits = 0;
  for (int i = -1; i < args.repetitions; ++i) {
    Report discarded;
    Report& to = i < 0 ? discarded : report;
    FillCount count;
    const auto measure = [&](const std::function<FillCount()>& body) {
      return rate(args.operations, 1, [&](unsigned) {
        count = body();
        return count.sum;
      });
    };
    to.add("fill floor, 4 KiB pages",
           measure([&] { return floor_get_or_fill(floor_small, workload.keys(0)); }));
    to.add("fill floor, huge pages",
           measure([&] { return floor_get_or_fill(floor_huge, workload.keys(0)); }));
    floor_hits = static_cast<double>(count.hits) / static_cast<double>(args.operations);
    to.add("fill candor, 1 thread", measure([&] { return store_get_or_fill(store, workload.keys(0)); }));
    store_hits = static_cast<double>(count.hits) / static_cast<double>(args.operations);
    to.add("fill candor, 2 threads", rate(args.operations, 2, [&](unsigned t) {
             return store_get_or_fill(store, workload.keys(t)).sum;
           }));
    to.add("fill mutex-lru, 1 thread", rate(args.operations, 1, [&](unsigned t) {
             std::uint64_t sum = 0;
             Value value;
             for (const std::uint64_t key : workload.keys(t)) {
               if (lru.find(key, &value)) {
                 sum += digest(value.bytes);
               } else {
                 lru.insert(key);
               }
             }
             return sum;
           }));
  }
  fmt::print(
      "get-or-fill at 10 % capacity: candor holds {} entries in {} bytes, hit ratio {:.3f}; floor (CLOCK) {} "
      "entries, {:.3f}\n",
      store.stats().entries, store.stats().bytes_used, store_hits, capacity, floor_hits);
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--entries") arguments.entries = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--operations") arguments.operations = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--repetitions") arguments.repetitions = std::atoi(argv[i + 1]);
    if (name == "--only") arguments.only = argv[i + 1];
  }
  return arguments;
}

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  fmt::print(
      "L1 in process: {} entries, 8-byte keys, {}-byte values, zipf 0.99, {} operations, {} repetitions\n",
      arguments.entries, kValueBytes, arguments.operations, arguments.repetitions);
  const Workload workload(arguments);
  Report report;
  if (arguments.only.empty() || arguments.only == "get") run_hits(workload, report);
  if (arguments.only.empty() || arguments.only == "fill") run_fills(workload, report);
  report.print();
  report.ratio("one get at a time / floor with huge pages", "one  candor, 1 thread", "one  floor, huge pages",
               0.8);
  report.ratio("one get at a time / floor with 4 KiB pages", "one  candor, 1 thread",
               "one  floor, 4 KiB pages", 0.8);
  report.ratio("one get at a time, 2 threads / 1 thread", "one  candor, 2 threads", "one  candor, 1 thread",
               1.85);
  report.ratio("get-hit, 1 thread / floor with huge pages", "get  candor, 1 thread", "get  floor, huge pages",
               0.8);
  report.ratio("get-hit, 1 thread / floor with 4 KiB pages", "get  candor, 1 thread",
               "get  floor, 4 KiB pages", 0.8);
  report.ratio("get-hit, 2 threads / 1 thread", "get  candor, 2 threads", "get  candor, 1 thread", 1.85);
  report.ratio("get-hit, batches of 32 / single", "get  candor, batches of 32", "get  candor, 1 thread", 2.0);
  report.ratio("get-or-fill, 10 % capacity / floor with huge pages", "fill candor, 1 thread",
               "fill floor, huge pages", 0.7);
  report.ratio("get-or-fill, 10 % capacity / floor with 4 KiB pages", "fill candor, 1 thread",
               "fill floor, 4 KiB pages", 0.7);
  return 0;
}

}  // namespace
}  // namespace candor::bench

int main(int argc, char** argv) { return candor::bench::main(argc, argv); }
