// The disk tier of a node: its directory, its threads, and which features it holds.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/config.h"
#include "io/clock.h"
#include "io/running_loop.h"
#include "io/thread_pool.h"
#include "tier/disk/disk_tier.h"

namespace candor::app {

class DiskDesk {
 public:
  // Blocks while the directory is opened. `notes`: what a start has to say.
  [[nodiscard]] static Result<std::unique_ptr<DiskDesk>> open(const Config& config, RunningLoop* home,
                                                              const SystemClock* clock,
                                                              SystemEntropy* entropy,
                                                              std::vector<std::string>* notes);
  ~DiskDesk();
  DiskDesk(const DiskDesk&) = delete;
  DiskDesk& operator=(const DiskDesk&) = delete;

  [[nodiscard]] disk::DiskTier& tier() { return *tier_; }
  // In the order of their ids; on home, before traffic.
  void add_feature(const FeatureConfig& feature, const OriginConfig* origin);

 private:
  DiskDesk() = default;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<disk::DiskTier>
      tier_;  // before the pool's end: what is under way then comes home to nobody
};

}  // namespace candor::app
