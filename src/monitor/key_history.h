// A flight recorder of what happened to keys lately, in a fixed number of bytes: rings, in which the oldest
// makes room. A ring for each kind of event, so that many of one kind do not drive out the few of another:
//
//   hits      from the sample of reads: most are missing
//   misses    every read that left L1
//   fills     every load, and what became of it
//   changes   every invalidation and every change of a key, or of a feature
//
// A key is known by its hash and its first bytes: a longer one may be another's, with a chance of 2^-64.
// Thread safety: the cache's home executor.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "cache/observer.h"
#include "monitor/read_sample.h"

namespace candor {

// Fixed size, without memory of its own: a ring of them is all that there is.
struct KeyEvent {
  enum class Kind : std::uint8_t { kHit, kMiss, kLoad, kL2Hit, kInvalidation, kChange };
  static constexpr std::size_t kKeyHead = 24;

  MonoTime at{0};        // of a change: when it was applied here
  WallTime committed{};  // of a change, by the origin's clock
  std::uint64_t key_hash = 0;
  ChangeId id;        // a change's own, or up to where a load saw everything
  Position position;  // of a change
  Duration took{0};   // a miss, a load
  Duration in_l2{0}, in_origin{0};
  Duration age{0};
  Duration fresh_within{-1};    // -1: not proven
  const char* cause = nullptr;  // static: of an invalidation, of a failure, of a degraded read
  float weight = 1.0F;          // hits that it stands for
  FeatureId feature;
  std::uint16_t key_bytes = 0;
  std::array<char, kKeyHead> key_head{};
  Kind kind{};
  Tier tier{};
  Consistency level{};
  FillOutcome outcome{};
  bool failed = false, negative = false, degraded = false;
  bool of_all_keys = false;      // of the feature
  bool of_all_features = false;  // and of every other one
};
[[nodiscard]] std::string_view key_event_name(KeyEvent::Kind kind);

class KeyHistory final : public Observer {
 public:
  enum Ring : std::uint8_t { kHits, kMisses, kFills, kChanges, kRings };

  // `bytes`: of all rings together; 0: nothing is kept.
  KeyHistory(std::size_t bytes, const Clock* clock, std::uint64_t seed);

  // ---- what happens; times are the clock's ----
  void on_hit(const SightedRead& read);
  void on_load(KeyRef key, Duration took, bool ok) override;
  void on_fill(KeyRef key, Stamp stamp, FillOutcome outcome) override;
  void on_l2_hit(KeyRef key, Stamp stamp, Duration age, FillOutcome outcome) override;
  void on_answered(KeyRef key, const AnsweredRead& read) override;
  void on_invalidate(KeyRef key, const char* cause) override;
  void on_invalidate_feature(std::optional<FeatureId> feature) override;
  void on_change_applied(FeatureId feature, std::optional<std::string_view> key,
                         const Change& change) override;
  void on_divergence(KeyRef key, Divergence why) override;

  // The latest first, at most `most`.
  [[nodiscard]] std::vector<KeyEvent> of(KeyRef key, std::size_t most) const;
  // How far back each ring reaches; nothing: nothing was driven out of it yet.
  [[nodiscard]] std::array<std::optional<Duration>, kRings> reach(MonoTime now) const;
  [[nodiscard]] std::size_t bytes() const { return kRings * capacity_ * sizeof(KeyEvent); }

 private:
  struct Events {
    std::vector<KeyEvent> ring;  // as long as it ever gets, once there was an event
    std::size_t next = 0;
    bool is_full = false;
  };
  KeyEvent* record(Ring ring, KeyEvent::Kind kind, KeyRef key);
  [[nodiscard]] bool is_of(const KeyEvent& event, KeyRef key, std::uint64_t hash) const;
  [[nodiscard]] std::uint64_t hash_of(KeyRef key) const;

  std::size_t capacity_;
  const Clock* clock_;
  std::uint64_t seed_;
  std::array<Events, kRings> rings_;
  // A load is told before what became of it; nothing comes between them but other keys' loads.
  std::uint64_t loaded_hash_ = 0;
  Duration load_took_{0};
};

}  // namespace candor
