#include "monitor/key_history.h"

#include <algorithm>

#include "base/hash.h"

namespace candor {

std::string_view key_event_name(KeyEvent::Kind kind) {
  switch (kind) {
    case KeyEvent::Kind::kHit:
      return "hit";
    case KeyEvent::Kind::kMiss:
      return "miss";
    case KeyEvent::Kind::kLoad:
      return "load";
    case KeyEvent::Kind::kL2Hit:
      return "l2_hit";
    case KeyEvent::Kind::kInvalidation:
      return "invalidation";
    case KeyEvent::Kind::kChange:
      return "change";
  }
  return "unknown";
}

KeyHistory::KeyHistory(std::size_t bytes, const Clock* clock, std::uint64_t seed)
    : capacity_(bytes / kRings / sizeof(KeyEvent)), clock_(clock), seed_(seed) {}

std::uint64_t KeyHistory::hash_of(KeyRef key) const { return hash_bytes(key.key, seed_ + key.feature.value); }

// The place of a new event, already marked with its key and time; null: nothing is kept.
KeyEvent* KeyHistory::record(Ring ring, KeyEvent::Kind kind, KeyRef key) {
  if (capacity_ == 0) return nullptr;
  Events& events = rings_[ring];
  if (events.ring.empty()) events.ring.resize(capacity_);
  KeyEvent& event = events.ring[events.next];
  events.next = (events.next + 1) % capacity_;
  events.is_full = events.is_full || events.next == 0;
  event = KeyEvent{};
  event.kind = kind;
  event.at = clock_->now();
  event.feature = key.feature;
  event.key_hash = hash_of(key);
  event.key_bytes = static_cast<std::uint16_t>(std::min<std::size_t>(key.key.size(), UINT16_MAX));
  std::ranges::copy(key.key.substr(0, KeyEvent::kKeyHead), event.key_head.begin());
  return &event;
}

void KeyHistory::on_hit(const SightedRead& read) {
  KeyEvent* event = record(kHits, KeyEvent::Kind::kHit, KeyRef{read.feature, read.key});
  if (event == nullptr) return;
  event->at = MonoTime{read.at * 1'000'000};  // it waited for the drain
  event->tier = read.tier;
  event->level = read.level;
  event->negative = read.negative;
  event->degraded = read.degraded;
  event->id = read.stamp.up_to;
  event->age = std::chrono::milliseconds(read.at - read.loaded_at);
  if (read.fresh_within >= 0) event->fresh_within = std::chrono::milliseconds(read.fresh_within);
  event->weight = static_cast<float>(read.weight);
}

void KeyHistory::on_load(KeyRef key, Duration took, bool ok) {
  if (ok) {
    loaded_hash_ = capacity_ == 0 ? 0 : hash_of(key);
    load_took_ = took;
    return;
  }
  if (KeyEvent* event = record(kFills, KeyEvent::Kind::kLoad, key)) {
    event->took = took;
    event->failed = true;
    event->cause = "the origin failed";
  }
}

void KeyHistory::on_fill(KeyRef key, Stamp stamp, FillOutcome outcome) {
  KeyEvent* event = record(kFills, KeyEvent::Kind::kLoad, key);
  if (event == nullptr) return;
  if (event->key_hash == loaded_hash_) event->took = load_took_;
  event->id = stamp.up_to;
  event->outcome = outcome;
}

void KeyHistory::on_l2_hit(KeyRef key, Stamp stamp, Duration age, FillOutcome outcome) {
  KeyEvent* event = record(kFills, KeyEvent::Kind::kL2Hit, key);
  if (event == nullptr) return;
  event->id = stamp.up_to;
  event->age = age;
  event->outcome = outcome;
}

void KeyHistory::on_answered(KeyRef key, const AnsweredRead& read) {
  KeyEvent* event = record(kMisses, KeyEvent::Kind::kMiss, key);
  if (event == nullptr) return;
  event->tier = read.tier;
  event->level = read.level;
  event->took = read.took;
  event->in_l2 = read.in_l2;
  event->in_origin = read.in_origin;
  event->age = read.age;
  event->negative = read.negative;
  event->degraded = read.degraded != nullptr;
  event->failed = !read.error.empty();
  event->cause = event->failed ? read.error.data() : read.degraded;
  if (read.fresh_within) event->fresh_within = *read.fresh_within;
}

void KeyHistory::on_invalidate(KeyRef key, const char* cause) {
  if (std::string_view(cause) == "change") return;  // on_change_applied() says more
  if (KeyEvent* event = record(kChanges, KeyEvent::Kind::kInvalidation, key)) event->cause = cause;
}

void KeyHistory::on_invalidate_feature(std::optional<FeatureId> feature) {
  KeyEvent* event =
      record(kChanges, KeyEvent::Kind::kInvalidation, KeyRef{feature.value_or(FeatureId{0}), {}});
  if (event == nullptr) return;
  event->cause = "flush, floor or truncated table";
  event->of_all_keys = true;
  event->of_all_features = !feature;
}

void KeyHistory::on_change_applied(FeatureId feature, std::optional<std::string_view> key,
                                   const Change& change) {
  KeyEvent* event =
      record(kChanges, KeyEvent::Kind::kChange, KeyRef{feature, key.value_or(std::string_view{})});
  if (event == nullptr) return;
  event->id = change.id;
  event->position = change.position;
  event->committed = change.committed;
  event->of_all_keys = !key;
}

void KeyHistory::on_divergence(KeyRef key, Divergence why) {
  KeyEvent* event = record(kChanges, KeyEvent::Kind::kInvalidation, key);
  if (event == nullptr) return;
  switch (why) {
    case Divergence::kLost:
      event->cause = "the sweep found it wrong: a lost change";
      return;
    case Divergence::kTtlOnly:
      event->cause = "the sweep found it wrong: nobody tells of changes";
      return;
    case Divergence::kRace:
      event->cause = "the sweep found it wrong: a race";
      return;
    case Divergence::kL2Only:
      event->cause = "the sweep found it wrong in L2";
      return;
  }
}

bool KeyHistory::is_of(const KeyEvent& event, KeyRef key, std::uint64_t hash) const {
  if (event.of_all_features) return true;
  if (event.feature != key.feature) return false;
  if (event.of_all_keys) return true;
  if (event.key_hash != hash || event.key_bytes != key.key.size()) return false;
  return std::ranges::equal(
      key.key.substr(0, KeyEvent::kKeyHead),
      std::string_view(event.key_head.data(), std::min<std::size_t>(KeyEvent::kKeyHead, event.key_bytes)));
}

std::vector<KeyEvent> KeyHistory::of(KeyRef key, std::size_t most) const {
  std::vector<KeyEvent> out;
  const std::uint64_t hash = hash_of(key);
  for (const Events& events : rings_) {
    const std::size_t filled = events.is_full ? capacity_ : events.next;
    std::size_t found = 0;
    for (std::size_t i = 0; i < filled && found < most; ++i) {
      const KeyEvent& event = events.ring[(events.next + capacity_ - 1 - i) % capacity_];
      if (!is_of(event, key, hash)) continue;
      out.push_back(event);
      ++found;
    }
  }
  std::ranges::sort(out, std::ranges::greater{}, &KeyEvent::at);
  if (out.size() > most) out.resize(most);
  return out;
}

std::array<std::optional<Duration>, KeyHistory::kRings> KeyHistory::reach(MonoTime now) const {
  std::array<std::optional<Duration>, kRings> out;
  for (std::size_t i = 0; i < kRings; ++i)
    if (rings_[i].is_full) out[i] = now - rings_[i].ring[rings_[i].next].at;
  return out;
}

}  // namespace candor
