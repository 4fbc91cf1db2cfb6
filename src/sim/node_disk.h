// A node's disk tier in the simulator: the real DiskTier over a store in memory that takes its time, and
// evictions without a full L1, because a few keys never fill one.
#pragma once

#include <functional>
#include <memory>

#include "base/random.h"
#include "base/transport.h"
#include "sim/process.h"
#include "tier/disk/disk_tier.h"
#include "tier/disk/testing_store.h"
#include "tier/l1/store.h"

namespace candor::sim {

class NodeDisk {
 public:
  explicit NodeDisk(Process* process);
  ~NodeDisk();
  NodeDisk(const NodeDisk&) = delete;
  NodeDisk& operator=(const NodeDisk&) = delete;

  [[nodiscard]] disk::DiskTier& tier() { return *tier_; }
  // Evicts some of what L1 holds, now and for as long as the process lives.
  void evict_from(l1::Store* store);

 private:
  // Its work is done some time later; reads overtake writes.
  class Pool final : public BlockingPool {
   public:
    explicit Pool(Process* process) : process_(process), random_(process->next_seed()) {}
    void run(std::move_only_function<void()> work) override;

   private:
    Process* process_;
    Random random_;
  };

  Process* process_;
  Random random_;
  Pool pool_;
  std::unique_ptr<disk::DiskTier> tier_;
};

}  // namespace candor::sim
