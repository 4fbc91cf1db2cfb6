// Hit ratios of all policies on real traces, beside Belady's optimum, as Markdown (docs/eviction.md holds a
// run of it).
//
//   hit_ratio_bench FOLDER      folder of public traces; without it, or without traces in it, the benchmark
//   says so and passes
//
// Rule: one request is one key of unit size; capacity is 0.1 %, 1 % and 10 % of the unique keys, at least 20;
// a miss inserts. The measure is the share of the gap between LRU and the optimum that a policy closes. A
// trace without a gap counts as 0 for every policy: nothing can be won there.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/belady.h"
#include "app/trace_reader.h"
#include "tier/l1/policy.h"
#include "tier/l1/queue_model.h"
#include "trace_names.h"

namespace candor {
namespace {

using app::NumberedTrace;
using l1::PolicyKind;

constexpr std::array kPolicies{PolicyKind::kDefault, PolicyKind::kS3Fifo, PolicyKind::kSieve,
                               PolicyKind::kWTinyLfu};
constexpr std::array kPermille{1U, 10U, 100U};  // sizes, of the unique keys
constexpr std::size_t kCapacityMin = 20;
constexpr double kNoGap = 1e-3;  // less is noise: a share of it says nothing
constexpr std::uint64_t kSeed = 1;

double miss_ratio(const NumberedTrace& trace, PolicyKind kind, std::size_t capacity) {
  l1::QueueModel model(l1::make_policy(kind, kSeed), capacity, kSeed);
  std::uint64_t misses = 0;
  for (std::uint32_t key : trace.keys) misses += model.request(key) ? 0 : 1;
  return static_cast<double>(misses) / static_cast<double>(trace.keys.size());
}

struct Row {
  std::string trace;
  std::size_t capacity = 0;
  double optimum = 0;
  double lru = 0;
  std::array<double, kPolicies.size()> misses{};

  [[nodiscard]] double share(std::size_t policy) const {
    return lru - optimum < kNoGap ? 0.0 : (lru - misses[policy]) / (lru - optimum);
  }
};

Row measure(const std::string& name, const NumberedTrace& trace, unsigned permille) {
  Row row{.trace = name,
          .capacity = std::max<std::size_t>(std::size_t{trace.unique} * permille / 1000, kCapacityMin)};
  row.optimum =
      static_cast<double>(app::belady_misses(trace, row.capacity)) / static_cast<double>(trace.keys.size());
  row.lru = miss_ratio(trace, PolicyKind::kLru, row.capacity);
  for (std::size_t i = 0; i < kPolicies.size(); ++i)
    row.misses[i] = miss_ratio(trace, kPolicies[i], row.capacity);
  return row;
}

void print_table(std::span<const Row> rows, unsigned permille) {
  fmt::print("\n### {} % of the unique keys\n\nMiss ratio, and in brackets the share of the gap closed.\n\n",
             permille / 10.0);
  fmt::print("| trace | entries | optimum | LRU |");
  for (PolicyKind kind : kPolicies) fmt::print(" {} |", l1::policy_name(kind));
  fmt::print("\n|---|---:|---:|---:|---:|---:|---:|---:|\n");
  for (const Row& row : rows) {
    fmt::print("| {} | {} | {:.4f} | {:.4f} |", row.trace, row.capacity, row.optimum, row.lru);
    for (std::size_t i = 0; i < kPolicies.size(); ++i)
      fmt::print(" {:.4f} ({:+.2f}) |", row.misses[i], row.share(i));
    fmt::print("\n");
  }
}

void print_summary(std::span<const std::vector<Row>> tables) {
  fmt::print("\n### Mean share of the gap closed, and the worst loss against LRU (miss ratio)\n\n");
  fmt::print("| policy | 0.1 % | 1 % | 10 % | worst loss |\n|---|---:|---:|---:|---|\n");
  for (std::size_t i = 0; i < kPolicies.size(); ++i) {
    double worst = -std::numeric_limits<double>::infinity();
    std::string where;
    fmt::print("| {} |", l1::policy_name(kPolicies[i]));
    for (const std::vector<Row>& rows : tables) {
      double sum = 0;
      for (const Row& row : rows) {
        sum += row.share(i);
        if (row.misses[i] - row.lru <= worst) continue;
        worst = row.misses[i] - row.lru;
        where = fmt::format("{}, {} entries", row.trace, row.capacity);
      }
      fmt::print(" {:.3f} |", sum / static_cast<double>(rows.size()));
    }
    fmt::print(" {:+.4f} ({}) |\n", worst, where);
  }
}

std::vector<std::filesystem::path> traces_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (bench::is_trace(entry.path().filename().string())) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

int run(const std::filesystem::path& folder) {
  const std::vector<std::filesystem::path> paths = traces_in(folder);
  if (paths.empty()) {
    fmt::print("hit_ratio_bench: no traces in \"{}\": skipped. Give the folder of traces as the argument.\n",
               folder.string());
    return 0;
  }
  std::array<std::vector<Row>, kPermille.size()> tables;
  for (const std::filesystem::path& path : paths) {
    const std::string file = path.filename().string();
    const Result<NumberedTrace> trace = app::read_numbered_trace(path.string(), bench::format_of(file));
    if (!trace) {
      fmt::print(stderr, "hit_ratio_bench: {}\n", trace.error().message);
      return 1;
    }
    if (trace->keys.empty()) continue;
    for (std::size_t i = 0; i < kPermille.size(); ++i) {
      tables[i].push_back(measure(file.substr(0, file.find('.')), *trace, kPermille[i]));
    }
  }
  for (std::size_t i = 0; i < kPermille.size(); ++i) print_table(tables[i], kPermille[i]);
  print_summary(tables);
  return 0;
}

}  // namespace
}  // namespace candor

int main(int argc, char** argv) { return candor::run(argc > 1 ? argv[1] : ""); }
