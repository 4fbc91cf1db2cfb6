// The controller of one node: gives it the reports, and is where its levers are.
//
// At hand today: the ttl. It is shortened through the cache's policy, which honours it at once for entries
// that are held already and drops none. What is not at hand says so, and the controller looks for another
// lever.
//
// Thread safety: snapshot() from any thread; everything else on home.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/config.h"
#include "base/mutex.h"
#include "cache/cache.h"
#include "controller/actuate.h"

namespace candor::app {

// As of the last evaluation.
struct LeverSnapshot {
  std::vector<LeverRecord> log;  // the oldest first
  std::vector<FeatureMemory> features;
  double added_load = 0.0, added_load_cap = 0.0;
};

class Steering final : public LeverTarget {
 public:
  // `config` is read here; `cache` outlives this.
  Steering(const Config& config, CacheCore* cache);

  void evaluated(const ExposureReport& report);
  // The policy that a feature runs under while levers are pulled: a reload goes through here.
  [[nodiscard]] FeaturePolicy steered(FeaturePolicy policy) const;
  // A reload changed what is configured.
  void adopt(const FeatureConfig& feature);
  [[nodiscard]] std::shared_ptr<const LeverSnapshot> snapshot() const;

  Result<void> set_ttl(std::string_view feature, std::optional<Duration> ttl) override;
  Result<void> set_refresh_on_change(std::string_view feature, bool is_on) override;
  Result<void> set_synchronous(std::string_view feature, bool is_on) override;
  Result<void> set_batch_window(std::string_view feature, Duration window) override;
  Result<void> set_origin_reads(std::string_view feature, double fraction) override;

 private:
  CacheCore* cache_;
  std::map<std::string, FeatureConfig, std::less<>> configured_;
  std::map<std::string, Duration, std::less<>> ttls_;  // shortened
  Controller controller_;
  mutable Mutex mutex_;
  std::shared_ptr<const LeverSnapshot> snapshot_ CANDOR_GUARDED_BY(mutex_);
};

}  // namespace candor::app
