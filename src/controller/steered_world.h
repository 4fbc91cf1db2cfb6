// A cache under control, in virtual time: one feature with random reads and writes whose truth is known, the
// real monitor on its reads, the real controller on the monitor's reports, and levers that do to it what they
// do to a node. For tests. It shares no code with what it checks but the types.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "base/random.h"
#include "controller/actuate.h"
#include "monitor/feature_monitor.h"

namespace candor::testing {

struct SteeredOptions {
  std::size_t keys = 1000;
  std::size_t hot_keys = 50;  // of them, with half of the reads
  double reads_per_second = 200.0;
  double updates_per_second = 3e-4;  // of each key
  Duration ttl = 60s;
  Duration limit = 5s;
  double allowed = 0.02;
  bool is_watched = false;
  Duration delay = 20ms;  // mean, of changes
  double loss = 0.0;
  double through_share = 0.0;  // of the changes: through other nodes of the region
  std::vector<Lever> missing;  // levers that are not at hand in this world
  double questions = 3.0;      // to the origin, each second
  double chance = 0.25;        // of a read to be picked
  ControlLimits limits{};
  // How many times the rates are what they are written above, at a moment since the start.
  std::function<double(Duration since)> updates_factor{};
  std::function<double(Duration since)> reads_factor{};
  std::uint64_t seed = 1;
};

// What happened in one minute.
struct SteeredMinute {
  double reads = 0.0, over = 0.0, loads = 0.0;
  [[nodiscard]] double fraction() const { return reads > 0.0 ? over / reads : 0.0; }
};

class SteeredWorld final : public LeverTarget {
 public:
  explicit SteeredWorld(const SteeredOptions& options);
  void run(Duration time);
  [[nodiscard]] const std::vector<SteeredMinute>& minutes() const { return minutes_; }
  [[nodiscard]] const Controller& controller() const { return *controller_; }
  [[nodiscard]] const LeverPositions& positions() const { return positions_; }
  // Loads a second without levers, by what this world's rates are at a moment.
  [[nodiscard]] double base_loads(Duration since) const;
  [[nodiscard]] Duration since_start(WallTime at) const { return Duration{at.ns - began_.ns}; }

  Result<void> set_ttl(std::string_view feature, std::optional<Duration> ttl) override;
  Result<void> set_refresh_on_change(std::string_view feature, bool is_on) override;
  Result<void> set_synchronous(std::string_view feature, bool is_on) override;
  Result<void> set_batch_window(std::string_view feature, Duration window) override;
  Result<void> set_origin_reads(std::string_view feature, double fraction) override;

 private:
  struct Version {
    MonoTime committed{0};
    std::uint64_t id = 0;
    bool is_lost = false;
  };
  struct Key {
    std::deque<Version> newer;  // than what the entry includes; all that are of interest
    std::uint64_t latest = 0;
    bool is_gathering = false;  // a write of it waits for its window to end
    bool is_held = false;
    std::uint64_t held = 0;
    MonoTime loaded_at{0};
    Duration life{0};
  };
  struct Batched {
    MonoTime until{0};
    std::size_t key = 0;
    bool is_lost = false;
  };
  struct OnItsWay {
    MonoTime at{0};
    std::size_t key = 0;
    Version version;
  };
  [[nodiscard]] Duration exponential(double per_second);
  [[nodiscard]] double updates_now() const;
  [[nodiscard]] double reads_now() const;
  [[nodiscard]] Duration ttl_now() const;
  void write(std::size_t index);
  void commit(std::size_t index, bool is_through, bool is_lost);
  void commit_batched();
  void read(std::size_t index);
  void load(Key& key);
  void deliver();
  void tick();
  void evaluate();
  [[nodiscard]] FeatureExposure exposure() const;
  SteeredMinute& minute() { return minutes_[static_cast<std::size_t>((now_ - began_) / 60s)]; }
  [[nodiscard]] static std::uint64_t hash_of(std::size_t key) { return mix64(key + 1); }

  SteeredOptions options_;
  Random random_;
  MonoTime now_{1'000'000'000'000};
  MonoTime began_{now_};
  std::vector<Key> keys_;
  ChangeHistory history_{100'000};
  FeatureMonitor monitor_;
  std::unique_ptr<Controller> controller_;
  LeverPositions positions_;
  std::deque<OnItsWay> stream_;  // in order, as a feed is
  std::deque<Batched> batched_;
  std::uint64_t next_id_ = 1;
  MonoTime proven_{0};
  double allowance_ = 0.0, loads_per_second_ = 0.0, loads_counted_ = 0.0;
  std::uint64_t ticks_ = 0;
  std::vector<SteeredMinute> minutes_;
};

}  // namespace candor::testing
