// How far off are the miss-ratio curves? As Markdown (docs/benchmarks.md holds a run of it).
//
//   capacity_bench FOLDER [MEMORY ...]     folder of public traces; the models' memory in bytes
//
// For each trace, requests are reads of a real store, misses are filled (64-byte values), and the model hears
// of them as it does in a node. Then
//   lru   mean absolute error of SHARDS against exact LRU stack distances, over 40 sizes up to all keys
//   l1    predicted miss ratio at ½, 1, 2 and 4 times the store's memory, against real stores of these sizes;
//   in
//         brackets how far four real stores of one size, with other hash seeds, lie apart
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "app/trace_reader.h"
#include "capacity/capacity_model.h"
#include "tier/l1/store.h"
#include "trace_names.h"

namespace candor {
namespace {

using app::NumberedTrace;
using capacity::kFactors;

constexpr std::size_t kSizes = 40;
constexpr std::size_t kBatch = 1024;
constexpr std::size_t kValueBytes = 64;
constexpr std::size_t kEntryBytes = 119;  // of such an entry, index included: for choosing sizes only
constexpr std::size_t kStoreMin = std::size_t{512} << 10;
constexpr FeatureId kFeature{};

// misses[size]: of an exact LRU cache with that many entries. Shares no code with what it judges.
std::vector<std::uint64_t> exact_lru(const NumberedTrace& trace) {
  const std::size_t n = trace.keys.size();
  std::vector<std::uint32_t> tree(n + 1), last(trace.unique, 0);
  std::vector<std::uint64_t> at_distance(trace.unique + 2, 0);
  const auto add = [&](std::size_t i, std::uint32_t by) {
    for (; i <= n; i += i & (~i + 1)) tree[i] += by;
  };
  const auto sum = [&](std::size_t i) {
    std::uint32_t total = 0;
    for (; i > 0; i &= i - 1) total += tree[i];
    return total;
  };
  std::uint64_t cold = 0;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint32_t& before = last[trace.keys[i]];
    if (before == 0) {
      ++cold;
    } else {
      ++at_distance[sum(i) - sum(before) + 1];
      add(before, ~std::uint32_t{0});
    }
    before = static_cast<std::uint32_t>(i + 1);
    add(i + 1, 1);
  }
  std::vector<std::uint64_t> misses(trace.unique + 1);
  std::uint64_t beyond = cold;
  for (std::size_t size = trace.unique + 1; size-- > 0;) {
    misses[size] = beyond;
    beyond += at_distance[size];
  }
  return misses;
}

// One store under a trace, with or without a model that listens.
class Replayed {
 public:
  Replayed(std::size_t memory, std::size_t model_memory, std::uint64_t seed = 1) {
    l1::StoreOptions options;
    options.memory_limit = memory;
    options.hash_seed = seed;
    options.features_max = 1;
    options.access_stripes = model_memory != 0 ? 1 : 0;
    options.stripe_accesses = 3 * kBatch;
    // What the log holds is beside the store here: its size is to be that of the store without it.
    if (model_memory != 0) options.memory_limit += l1::AccessLog(1, 1, 3 * kBatch).memory_bytes();
    store_ = std::make_unique<l1::Store>(options);
    if (model_memory == 0) return;
    capacity::CapacityModel::Options of_model;
    of_model.memory = model_memory;
    of_model.half_life = std::chrono::hours(1'000'000);
    of_model.records_per_second_max = 1e12;
    of_model.seed = 7;
    model_ = std::make_unique<capacity::CapacityModel>(of_model, &store_->access_log());
    model_->set_capacity(static_cast<double>(memory) * 0.9);
    model_->follow(kFeature, true, 0s);
  }

  void run(const NumberedTrace& trace) {
    std::size_t i = 0;
    for (const std::uint32_t number : trace.keys) {
      misses_ += request(number) ? 0 : 1;
      if (++i % kBatch == 0) settle();
    }
    reads_ = trace.keys.size();
    settle();
  }
  [[nodiscard]] double miss_ratio() const {
    return static_cast<double>(misses_) / static_cast<double>(reads_);
  }
  [[nodiscard]] const capacity::CapacityModel& model() const { return *model_; }
  [[nodiscard]] double model_nanos() const { return model_nanos_ / static_cast<double>(records_); }
  [[nodiscard]] std::uint64_t records() const { return records_; }

 private:
  bool request(std::uint64_t number) {
    const std::string_view key(reinterpret_cast<const char*>(&number), sizeof number);
    const l1::KeyHash hash = store_->hash(kFeature, key);
    {
      const l1::Store::ReadGuard guard(*store_);
      l1::EntryView found;
      if (store_->find(guard, hash, kFeature, key, 1, &found)) return true;
    }
    (void)store_->put({.hash = hash, .feature = kFeature, .key = key, .value = value_, .now = 1});
    return false;
  }

  void settle() {
    now_ = now_ + 100ms;
    if (model_ == nullptr) return;
    if (++turns_ % 64 == 0) {
      store_->maintain(1);
      const l1::StoreStats stats = store_->stats();
      if (stats.evictions > 0)
        model_->set_capacity(static_cast<double>(stats.live_entry_bytes + 7 * stats.entries));
    }
    batch_.clear();
    store_->access_log().drain(&batch_);
    const auto begin = std::chrono::steady_clock::now();
    model_->take(batch_, 1);
    model_->settle(now_);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    model_nanos_ += took.count();
    records_ += batch_.size();
    model_->count(kFeature, kBatch, 0);
  }

  std::string value_ = std::string(kValueBytes, 'v');
  std::unique_ptr<l1::Store> store_;
  std::unique_ptr<capacity::CapacityModel> model_;
  std::vector<l1::Access> batch_;
  MonoTime now_{1};
  std::uint64_t misses_ = 0, reads_ = 0, turns_ = 0, records_ = 0;
  double model_nanos_ = 0;
};

double lru_error(const NumberedTrace& trace, const std::vector<std::uint64_t>& exact,
                 const capacity::CapacityModel& model) {
  double sum = 0;
  for (std::size_t i = 1; i <= kSizes; ++i) {
    const std::size_t size = std::max<std::size_t>(1, trace.unique * i / kSizes);
    const double truth = static_cast<double>(exact[size]) / static_cast<double>(trace.keys.size());
    sum += std::abs(truth - model.lru_miss_ratio_of_all_by_objects(static_cast<double>(size)));
  }
  return sum / kSizes;
}

struct Totals {
  double lru = 0, l1 = 0, l1_worst = 0;
  int lru_count = 0, l1_count = 0;
};

void measure_l1(const NumberedTrace& trace, std::size_t percent, std::size_t model_memory, Totals* totals,
                std::string* row) {
  const std::size_t memory = trace.unique * kEntryBytes * percent / 100;
  if (memory < kStoreMin) {
    *row += " |";
    return;
  }
  Replayed replayed(memory, model_memory);
  replayed.run(trace);
  const auto estimate = replayed.model().of_all();
  double sum = 0;
  *row += " |";
  for (std::size_t i = 0; i < kFactors.size(); ++i) {
    Replayed real(static_cast<std::size_t>(static_cast<double>(memory) * kFactors[i]), 0);
    real.run(trace);
    const double predicted = 1 - estimate.predicted[i];
    sum += std::abs(predicted - real.miss_ratio());
    totals->l1_worst = std::max(totals->l1_worst, std::abs(predicted - real.miss_ratio()));
    *row += fmt::format(" {:.3f}/{:.3f}", predicted, real.miss_ratio());
  }
  // How far apart are real stores of one size that differ in nothing but their hash?
  double low = 1, high = 0;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    Replayed real(memory, 0, seed);
    real.run(trace);
    low = std::min(low, real.miss_ratio());
    high = std::max(high, real.miss_ratio());
  }
  *row += fmt::format(" **{:.4f}** ({:.4f})", sum / kFactors.size(), high - low);
  totals->l1 += sum / kFactors.size();
  ++totals->l1_count;
}

void measure(const std::string& name, const NumberedTrace& trace, std::size_t model_memory, Totals* totals) {
  const auto exact = exact_lru(trace);
  // Large enough that nothing is forgotten for being deep: the whole curve is judged.
  Replayed whole(std::max(trace.unique * kEntryBytes, kStoreMin), model_memory);
  whole.run(trace);
  const double error = lru_error(trace, exact, whole.model());
  totals->lru += error;
  ++totals->lru_count;
  std::string row =
      fmt::format("| {} | {} | {} | {:.4f} | {} KB | {:.0f} ns", name, trace.unique, whole.model().keys(),
                  error, whole.model().memory_bytes() / 1000, whole.model_nanos());
  for (const std::size_t percent : {2UL, 10UL}) measure_l1(trace, percent, model_memory, totals, &row);
  fmt::print("{} |\n", row);
  std::fflush(stdout);
}

}  // namespace
}  // namespace candor

int main(int argc, char** argv) {
  if (argc < 2 || !std::filesystem::is_directory(argv[1])) {
    fmt::print("capacity_bench: no folder of traces; nothing measured\n");
    return 0;
  }
  std::vector<std::size_t> memories;
  for (int i = 2; i < argc; ++i) memories.push_back(std::strtoull(argv[i], nullptr, 10));
  if (memories.empty()) memories.push_back(2'600'000);
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(argv[1]))
    if (candor::bench::is_trace(file.path().filename().string())) files.push_back(file.path());
  std::sort(files.begin(), files.end());
  for (const std::size_t memory : memories) {
    fmt::print(
        "\nModels of {} KB\n\n| trace | keys | followed | lru error | memory | a record | l1 at 2 % of the "
        "keys: "
        "predicted/real at ½ 1 2 4, error | at 10 % |\n|---|---|---|---|---|---|---|---|\n",
        memory / 1000);
    candor::Totals totals;
    for (const auto& file : files) {
      const std::string name = file.filename().string();
      const auto trace = candor::app::read_numbered_trace(file.string(), candor::bench::format_of(name));
      if (trace) candor::measure(name.substr(0, name.find('.')), *trace, memory, &totals);
    }
    if (totals.lru_count == 0) continue;
    fmt::print("\nmean lru error {:.4f} over {} traces; mean l1 error {:.4f} over {} pairs, worst {:.4f}\n",
               totals.lru / totals.lru_count, totals.lru_count, totals.l1 / std::max(1, totals.l1_count),
               totals.l1_count, totals.l1_worst);
  }
  return 0;
}
