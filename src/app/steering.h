// The controller of one node: gives it the reports, and is where its levers are.
//
// A lever is a part of the feature's policy, which the cache honours at once and which drops nothing; writes
// are gathered by switching the feature's write-behind log. What is not at hand says why, and the controller
// looks for another lever. Levers on writes act at every node of the region: this one says what it asks of
// the others, and does what they ask, as long as whoever asks is heard (RegionWrites).
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
#include "invalidation/region_writes.h"

namespace candor::app {

class Steering final : public LeverTarget {
 public:
  // `config` is read here; the rest outlives this. `region`: null when no other node is reached.
  Steering(const Config& config, CacheCore* cache, const Clock* clock, RegionWrites* region);

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
    // Of the region: what other nodes ask, and what this one has to say.
    RegionWrites::Asked asked;
    Duration gathers_for{0};  // as the log was switched; 0: as configured
    std::uint64_t changes_made = 0;
    MonoTime counted_at{0};
    double changes_per_second = 0.0;  // made through this node, smoothed
  };
  [[nodiscard]] SteeredFeature facts_of(const Steered& feature) const;
  template <class Change>
  [[nodiscard]] Result<void> pull(std::string_view feature, const Change& change);
  void publish();
  void hear_region(const FeatureExposure& exposure);
  void do_what_is_asked(Steered& feature);
  void tell_region(const Steered& feature);
  [[nodiscard]] Result<void> switch_log(Steered& feature);

  CacheCore* cache_;
  const Clock* clock_;
  RegionWrites* const region_;
  const std::vector<OriginConfig> origins_;
  std::map<std::string, Steered, std::less<>> features_;
  Controller controller_;
  mutable Mutex mutex_;
  std::shared_ptr<const LeverSnapshot> snapshot_ CANDOR_GUARDED_BY(mutex_);
};

}  // namespace candor::app
