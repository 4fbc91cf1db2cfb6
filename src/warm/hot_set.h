// The hot set: which keys a node was reading, and how often; what the next start warms first. Keys only,
// never values: those are loaded again, as of then.
//
// How often a key is read is not counted on the hit path. What is known of an entry is how often the eviction
// policy saw it read lately (0 … 3), and of a feature how many reads a second it has; a key is taken to have
// its share of them. Keys that were counted (hot keys) have their own figure. What a key is worth: reads a
// second × what a load of it costs × how tight the feature's budget is.
//
// Pure. Thread safety: none.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace candor::warm {

struct HotKey {
  std::string key;
  double reads = 0.0;  // a second
};
struct HotFeature {
  std::string name;
  double reads = 0.0;          // a second, of all its keys
  double load_cost = 0.0;      // seconds that a load took; 0: not known
  std::vector<HotKey> keys{};  // most read first
};
struct HotSet {
  WallTime at{};
  std::string node;
  std::vector<HotFeature> features;
  [[nodiscard]] std::size_t keys() const;
};

// Checksummed; what decodes is what was encoded.
[[nodiscard]] std::string encode_hot_set(const HotSet& set);
// kRejected says what is wrong: cut short, damaged, of a newer version, no such file at all.
[[nodiscard]] Result<HotSet> decode_hot_set(std::string_view bytes);

// Of a budget that allows this fraction of stale reads; 1 without a budget. A feature whose readers may
// hardly ever be served late needs its entries there when they come.
[[nodiscard]] double tightness_of(double stale_fraction);

// A key's worth to whoever chooses what to warm next: seconds of loading that it saves in a second.
[[nodiscard]] inline double worth_of(double reads, double load_cost, double tightness) {
  constexpr double kCheapest = 1e-6;  // a load whose cost is not known
  return reads * (load_cost > kCheapest ? load_cost : kCheapest) * tightness;
}

// Chooses among what a walk over L1 sees.
class HotSetBuilder {
 public:
  struct Feature {
    std::string name;
    double reads = 0.0;      // a second
    double load_cost = 0.0;  // seconds; 0: not known
    double tightness = 1.0;
  };
  // `features`: by FeatureId; an empty name: not of interest.
  HotSetBuilder(std::vector<Feature> features, std::size_t keys_max);

  // An entry, with what the policy's bits say of its reads.
  void see(FeatureId feature, std::string_view key, unsigned accesses);
  // A key whose reads were counted; also one that is not in L1.
  void counted(FeatureId feature, std::string_view key, double reads);

  [[nodiscard]] HotSet take();
  [[nodiscard]] std::size_t held() const { return held_; }

 private:
  static constexpr unsigned kAccessMax = 3;
  struct Seen {
    std::string key;
    std::uint8_t accesses = 0;
  };
  struct OfFeature {
    std::vector<Seen> keys;
    std::array<std::uint64_t, kAccessMax + 1> entries{};  // seen, by accesses
    std::map<std::string, double, std::less<>> counted;
  };
  void thin();
  [[nodiscard]] static double weight_of(unsigned accesses) { return accesses + 0.25; }

  std::vector<Feature> features_;
  std::vector<OfFeature> seen_;
  std::size_t keys_max_, held_ = 0;
};

}  // namespace candor::warm
