// The controller of one node: gives it the reports, and is where its levers are.
//
// A lever is a part of the feature's policy, which the cache honours at once and which drops nothing; writes
// are gathered by switching the feature's write-behind log. What is not at hand says why, and the controller
// looks for another lever. Levers act on what this node serves and writes.
//
// Thread safety: snapshot() from any thread; everything else on home.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "app/config.h"
#include "base/mutex.h"
#include "cache/cache.h"
#include "controller/actuate.h"

namespace candor::app {

class Steering final : public LeverTarget {
 public:
  // `config` is read here; `cache` and `clock` outlive this.
  Steering(const Config& config, CacheCore* cache, const Clock* clock);

  void evaluated(const ExposureReport& report);
  // The policy that a feature runs under while levers are pulled: a reload goes through here.
  [[nodiscard]] FeaturePolicy steered(FeaturePolicy policy) const;
  // A reload changed what is configured.
  void adopt(const FeatureConfig& feature);
  void adopt(const ControllerConfig& limits);
  [[nodiscard]] std::shared_ptr<const LeverSnapshot> snapshot() const;

  Result<void> set_ttl(std::string_view feature, std::optional<Duration> ttl) override;
  Result<void> set_refresh_on_change(std::string_view feature, bool is_on) override;
  Result<void> set_synchronous(std::string_view feature, bool is_on) override;
  Result<void> set_batch_window(std::string_view feature, Duration window) override;
  Result<void> set_origin_reads(std::string_view feature, double fraction) override;

 private:
  struct Pulled {
    std::optional<Duration> ttl;
    double origin_fraction = 0.0;
    bool refresh_on_change = false, synchronous = false;
    Duration batch_window{0};
  };
  struct Steered {
    FeatureConfig config;
    const OriginConfig* origin = nullptr;  // in origins_
    Pulled pulled;
  };
  [[nodiscard]] SteeredFeature facts_of(const Steered& feature) const;
  template <class Change>
  [[nodiscard]] Result<void> pull(std::string_view feature, const Change& change);
  void publish();

  CacheCore* cache_;
  const Clock* clock_;
  const bool is_alone_;  // no other node of the region is reached
  const std::vector<OriginConfig> origins_;
  std::map<std::string, Steered, std::less<>> features_;
  Controller controller_;
  mutable Mutex mutex_;
  std::shared_ptr<const LeverSnapshot> snapshot_ CANDOR_GUARDED_BY(mutex_);
};

}  // namespace candor::app
