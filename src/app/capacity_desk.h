// Keeps the capacity model of a node fed, watches the memory of its process, and says what both know.
//
// Everything on the upkeep loop. What it reads of the cache (features' counters and policies, the store) may
// be read from any thread.
#pragma once

#include <memory>
#include <vector>

#include "app/capacity_history.h"
#include "app/capacity_report.h"
#include "app/config.h"
#include "app/process_memory.h"
#include "cache/cache.h"
#include "capacity/capacity_model.h"

namespace candor::app {

// The part of [l1] memory that curves take; 0: there are none.
[[nodiscard]] std::size_t curve_memory(const Config& config);
// What the store needs for it.
void add_access_log(const Config& config, l1::StoreOptions* options);

class CapacityDesk {
 public:
  CapacityDesk(const Config& config, std::size_t features, std::uint64_t seed, l1::Store* store,
               ProcessMemory::ReadText read);

  // Once for each feature, in the order of their numbers. They outlive this.
  void follow(const Feature* feature);
  // Their policies may have changed.
  void adopt_policies();
  // Every 100 ms or so.
  void turn(MonoTime now);
  void look_for_limit() { process_.look_for_limit(); }
  // Made anew every few seconds.
  [[nodiscard]] std::shared_ptr<const CapacityReport> report(MonoTime now);
  // L1 holds less than it might, for others' sake.
  [[nodiscard]] bool is_pressed() const { return line_.is_pressed(); }
  // Empty: all is well.
  [[nodiscard]] std::string warning() const;

  static constexpr Duration kCountPeriod = 1s;

 private:
  struct Followed {
    const Feature* feature;
    std::uint64_t reads = 0, hits = 0;  // counted so far
  };
  struct Counted {
    std::uint64_t reads = 0, hits = 0, loads = 0;
  };
  [[nodiscard]] static Counted counted(const Feature& feature);
  void take(MonoTime now);
  void count();
  void watch_memory(MonoTime now);
  void remember(MonoTime now);
  void set_capacity();
  [[nodiscard]] CapacityEstimate estimate_of(const Followed& followed) const;
  [[nodiscard]] CapacityEstimate estimate_of_all(const std::vector<CapacityEstimate>& features) const;
  [[nodiscard]] std::shared_ptr<const CapacityReport> make_report() const;
  void share_out(CapacityReport* report) const;
  [[nodiscard]] MemoryReport memory_report() const;

  l1::Store* store_;
  std::size_t memory_;  // [l1] memory
  std::size_t model_memory_;
  std::unique_ptr<capacity::CapacityModel> model_;  // null: off
  ProcessMemory process_;
  capacity::MemoryLine line_;
  capacity::MemorySeen seen_;
  CapacityHistory history_;
  std::vector<Followed> features_;
  std::vector<l1::Access> records_;
  MonoTime counted_at_{0};
  std::shared_ptr<const CapacityReport> report_;
  MonoTime reported_at_{0};
};

}  // namespace candor::app
