// A cache whose lies are known: one feature, a ttl cache over a table, random reads and writes, and a way for
// changes to reach it that can lag, lose, and die. It knows for every read whether it was stale, so that what
// a FeatureMonitor reports can be compared with the truth. For tests and the monitor's benchmark; it shares
// no code with what it checks but the types of a read and a change.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <vector>

#include "base/random.h"
#include "monitor/feature_monitor.h"

namespace candor::testing {

enum class Scenario : std::uint8_t { kTtlOnly, kLagging, kLossy, kDead, kServeStale };

struct TruthOptions {
  Scenario scenario = Scenario::kTtlOnly;
  std::size_t keys = 50;
  double reads_per_second = 200.0;
  double updates_per_second = 0.02;  // of each key
  Duration ttl = 60s;
  Duration limit = 5s;
  Duration lag{0};    // lagging, lossy: mean of the delay
  double loss = 0.0;  // lossy
  Duration run = 10min;
  double chance = 1.0;     // of a read to be picked
  double sample = 1.0;     // of a read to be checked against the origin
  double questions = 1e9;  // each second
  std::uint64_t seed = 1;
};

struct Truth {
  double reads = 0.0;
  double over = 0.0;  // staler than the limit
  std::array<double, kStaleCauses> by_cause{};
  [[nodiscard]] double fraction() const { return reads > 0.0 ? over / reads : 0.0; }
};

class TruthWorld {
 public:
  explicit TruthWorld(const TruthOptions& options);
  void run();
  [[nodiscard]] const Truth& truth() const { return truth_; }
  [[nodiscard]] FeatureExposure report() const;
  [[nodiscard]] std::uint64_t questions_asked() const { return asked_; }
  [[nodiscard]] std::uint64_t loads() const { return loads_; }

 private:
  struct Version {
    MonoTime committed{0};
    std::uint64_t id = 0;
    bool is_lost = false;
  };
  struct Entry {
    bool is_held = false;
    std::uint64_t id = 0;  // of the last change that its load included
    std::size_t versions = 0;
    MonoTime loaded_at{0};
  };
  struct Key {
    std::vector<Version> versions;  // by commit
    Entry entry;
  };
  struct Delivery {
    MonoTime at{0};
    std::size_t key = 0;
    Version version;
    friend bool operator>(const Delivery& a, const Delivery& b) { return a.at > b.at; }
  };
  [[nodiscard]] Duration exponential(double per_second);
  [[nodiscard]] bool is_watched() const {
    return options_.scenario != Scenario::kTtlOnly && options_.scenario != Scenario::kServeStale;
  }
  [[nodiscard]] bool origin_is_down() const;
  [[nodiscard]] bool stream_is_dead() const;
  void write(std::size_t key);
  void read(std::size_t key);
  void deliver();
  void tick();
  void note(const Key& key, bool degraded);
  [[nodiscard]] static std::uint64_t hash_of(std::size_t key) { return mix64(key + 1); }
  [[nodiscard]] static std::uint64_t value_of(const Key& key, std::size_t versions) {
    return mix64(versions == 0 ? 77 : key.versions[versions - 1].id);
  }

  TruthOptions options_;
  Random random_;
  MonoTime now_{1'000'000'000'000};
  MonoTime began_;
  std::vector<Key> keys_;
  ChangeHistory history_{100'000};
  FeatureMonitor monitor_;
  std::deque<Delivery> stream_;  // in order, as a feed is
  std::uint64_t next_id_ = 1;
  MonoTime proven_{0};
  Truth truth_;
  double allowance_ = 0.0;
  std::uint64_t asked_ = 0, loads_ = 0, ticks_ = 0;
};

}  // namespace candor::testing
