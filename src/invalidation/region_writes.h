// What the nodes of a region say of writes: how many each makes of a feature, and what each asks of all
// writers. It travels with their presence, once a second, and ends with it.
//
// Invariants
//   - What a node said counts for kHeardFor after it was last heard, and no longer: a lever that a node
//   pulled
//     for the region goes back when that node dies.
//   - Features are bounded by those that this node has; what is said of others is ignored.
// Pure; belongs to the cache's home executor.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "bus/region_stream.h"

namespace candor {

class RegionWrites {
 public:
  // Three beats, as a node is taken for alive.
  static constexpr Duration kHeardFor = 3s;

  explicit RegionWrites(std::string node) : node_(std::move(node)) {}

  // This node's own word of a feature.
  void say(FeatureWrites writes);
  // For the next presence: what there is to say, at most kFeatureWritesMax.
  [[nodiscard]] std::vector<FeatureWrites> said() const;
  void hear(const message::Presence& presence, MonoTime now);

  // From appending a message to reading it back, of late; nothing: not known yet.
  void note_round_trip(Duration took);
  [[nodiscard]] std::optional<Duration> round_trip() const { return round_trip_; }

  // Changes a second made through the other nodes that live.
  [[nodiscard]] double made_by_others(std::string_view feature, MonoTime now) const;
  struct Asked {
    bool waits = false;
    Duration gather{0};
    std::string by;  // one of those who ask
    friend bool operator==(const Asked&, const Asked&) = default;
  };
  // By the other nodes that live.
  [[nodiscard]] Asked asked_by_others(std::string_view feature, MonoTime now) const;

 private:
  struct Heard {
    MonoTime at;
    std::vector<FeatureWrites> writes;
  };
  template <class Visit>
  void visit_others(std::string_view feature, MonoTime now, const Visit& visit) const;

  std::string node_;
  std::optional<Duration> round_trip_;
  std::map<std::string, FeatureWrites, std::less<>> own_;  // by feature
  std::map<std::string, Heard, std::less<>> others_;       // by node
};

}  // namespace candor
