// A feature: a named key space with one origin query, one policy and one budget.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/counters.h"
#include "base/ids.h"
#include "base/time.h"
#include "cache/origin_trust.h"
#include "cache/tag_times.h"
#include "origin/origin.h"
#include "tier/tags.h"
#include "version/mutant.h"

namespace candor {

namespace write_behind {
class WriteBehind;
}

enum class Consistency : std::uint8_t { kEventual, kBounded, kSession, kStrong, kOrigin };

// Whose loads go first when the origin has not enough for all.
enum class Priority : std::uint8_t { kCritical, kNormal, kLow };

// What the owner wrote down. Immutable once built; a reload builds a new one.
struct FeaturePolicy {
  std::string name;
  Consistency consistency = Consistency::kSession;
  Duration ttl = 60s;
  Duration negative_ttl = 5s;  // for "no such row"; never longer than ttl
  double ttl_jitter =
      0.10;  // each ttl is shortened by a random share up to this: entries loaded together expire apart
  double refresh_beta = 1.0;  // XFetch: 0 off; larger refreshes earlier
  Duration soft_timeout{
      0};  // 0: none. After it a reader gets the old value, if serve_stale allows; the load goes on
  Duration hard_timeout = 5s;  // after it the reader gets an error
  Duration serve_stale{
      0};  // how long past its expiry a value may be served when the origin fails; 0: error instead
  Duration lease_ttl = 3s;    // how long one node may load a key before another may try
  bool plain = false;         // origin = "none": a plain shared cache
  Duration max_staleness{0};  // of `bounded`
  Priority priority = Priority::kNormal;
  // ---- levers of the controller; none lets a read be served that its level forbids ----
  double origin_fraction = 0.0;    // of the reads, drawn anew for each: the tiers are passed by
  bool refresh_on_change = false;  // what a change drops, and was read, is loaded again at once
  bool synchronous = false;        // a write waits until no live node serves the old value
  friend bool operator==(const FeaturePolicy&, const FeaturePolicy&) = default;
};

struct FeatureCounters {
  Counter hits_l1, hits_disk, hits_l2, loads, negative_hits;
  Counter errors, refreshes, served_stale, coalesced, writes, write_errors;
  Counter shed;  // readers whose load was refused: too much waits for the origin
  Counter suspects, confirmed, too_stale, proven_hits;
  Counter loads_ok, loads_absent, loads_failed, loads_timeout;
  // Counted on home alone, so that they need no slots.
  std::atomic<std::uint64_t> changes_made{0};        // by this node, and the origin took them
  std::atomic<std::uint64_t> past_tiers{0};          // reads that the lever sent past the tiers
  std::atomic<std::uint64_t> refreshes_skipped{0};   // after a change: too many were under way
  std::atomic<std::uint64_t> writes_unconfirmed{0};  // acknowledged although a live node did not answer
  Counter reads_l2,
      reads_origin;               // readers answered from there; hits and loads count the flights they shared
  LatencyHistogram read_miss_ns;  // reads that left L1
};

// A feature at work: policy, origin handle, counters.
class Feature {
 public:
  // Invalidations that left no marker: what a load past the tiers brings is kept only if none came meanwhile.
  // Home executor.
  mutable std::uint64_t forgets = 0;

  Feature(FeatureId id, FeaturePolicy policy, std::unique_ptr<OriginFeature> origin);

  [[nodiscard]] FeatureId id() const { return id_; }
  // Immutable snapshot; the reference stays valid for the life of the feature, whatever is reloaded
  // meanwhile: replaced policies are kept. One that was in force before is taken up again, so that a lever
  // that goes back and forth adds none; what remains are reloads and new settings, at most some hundred a day
  // of 200 bytes.
  [[nodiscard]] const FeaturePolicy& policy() const { return *policy_.load(std::memory_order_acquire); }
  void replace_policy(FeaturePolicy policy);                             // one thread at a time
  [[nodiscard]] OriginFeature* origin() const { return origin_.get(); }  // null for plain features

  // What this node can prove about the origin; null: nothing, because nobody watches it. Set before traffic.
  [[nodiscard]] OriginTrust* trust() const { return trust_; }
  void set_trust(OriginTrust* trust) { trust_ = trust; }
  // Nobody hears of its changes (Unheard): by its ttl alone, as if it had no watch. Written on home, after
  // the floor where it goes back to false; read on any thread.
  std::atomic<bool> is_unheard{false};
  [[nodiscard]] bool is_heard() const {
    return trust_ != nullptr && !is_unheard.load(std::memory_order_acquire);
  }
  // Entries whose load began before it are suspect; written on the cache's home executor.
  std::atomic<l1::Millis> floor_ms{kNoFloor};
  // Entries whose load began before it may not be confirmed by the version of their row (Suspects). On home.
  l1::Millis confirmable_since = kNoFloor;
  [[nodiscard]] bool is_suspect(l1::Millis loaded_at) const {
    return loaded_at < floor_ms.load(std::memory_order_relaxed) && !mutant(Mutant::kSuspectServed);
  }

  // Its write-behind log; null: it has none, and writes go through. On the cache's home executor.
  [[nodiscard]] write_behind::WriteBehind* behind() const { return behind_.get(); }
  void set_behind(std::shared_ptr<write_behind::WriteBehind> behind) { behind_ = std::move(behind); }

  // The tags of its keys; null: none. `times`: of tags that only some keys have. Set before traffic.
  void set_tags(std::unique_ptr<const FeatureTags> tags, TagTimes* times) {
    tags_ = std::move(tags);
    if (tags_->has_keyed()) tag_times_ = times;
  }
  [[nodiscard]] const FeatureTags* tags() const { return tags_.get(); }
  // A tag that only some keys have; the table is the same for all features.
  void invalidate_tag(std::string_view tag, l1::Millis now) { tag_times_->invalidate(tag, now); }
  // Entries whose load began before it were dropped by a command, without a walk: never served again, however
  // the origin fails. It is part of floor_ms.
  std::atomic<l1::Millis> dropped_ms{kNoFloor};
  // Was this entry dropped by one of its tags?
  [[nodiscard]] bool is_dropped(std::string_view key, l1::Millis loaded_at) const {
    if (loaded_at < dropped_ms.load(std::memory_order_relaxed)) return true;
    return is_dropped_by_key(key, loaded_at);
  }
  // By a tag that only some keys have. One comparison where the feature has none, or none was invalidated
  // since the entry was loaded.
  [[nodiscard]] bool is_dropped_by_key(std::string_view key, l1::Millis loaded_at) const {
    return tag_times_ != nullptr && tag_times_->may_be_forgotten(loaded_at) &&
           tag_times_->is_forgotten(tags_->keyed(key), loaded_at);
  }

  // Mutable: counting does not change a feature.
  mutable FeatureCounters counters;
  // Mean cost of a load, for XFetch: an exponentially weighted mean in nanoseconds, written by the miss path
  // only.
  std::atomic<std::uint64_t> load_cost_ns{0};

 private:
  FeatureId id_;
  std::vector<std::unique_ptr<const FeaturePolicy>> policies_;
  std::atomic<const FeaturePolicy*> policy_;
  std::unique_ptr<OriginFeature> origin_;
  OriginTrust* trust_ = nullptr;
  std::shared_ptr<write_behind::WriteBehind> behind_;  // shared with its own tasks
  std::unique_ptr<const FeatureTags> tags_;
  TagTimes* tag_times_ = nullptr;
};

}  // namespace candor
