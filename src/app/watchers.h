// Those who watch the cache of one engine: whoever is listed, and a count of what was dropped and why.
//
// Thread safety: watchers are added before traffic; everything else on the cache's home executor.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "cache/observer.h"

namespace candor::app {

// Why entries were dropped, as the cache says it to its observers and as metrics name it.
struct InvalidationCause {
  std::string_view said;
  std::string_view label;
};
inline constexpr std::array<InvalidationCause, 6> kInvalidationCauses = {{
    {"change", "change"},
    {"write", "write"},
    {"failed write", "failed_write"},
    {"write of unknown outcome", "unknown_outcome"},
    {"command", "command"},
    {"reconciliation", "reconciliation"},
}};

class Watchers final : public Observer {
 public:
  explicit Watchers(std::size_t features) : features_(features) {}
  void add(Observer* observer) { observers_.push_back(observer); }

  void on_load(KeyRef key, Duration took, bool ok) override {
    for (Observer* one : observers_) one->on_load(key, took, ok);
  }
  void on_fill(KeyRef key, Stamp stamp, FillOutcome outcome) override {
    for (Observer* one : observers_) one->on_fill(key, stamp, outcome);
  }
  void on_l2_hit(KeyRef key, Stamp stamp, Duration age, FillOutcome outcome) override {
    for (Observer* one : observers_) one->on_l2_hit(key, stamp, age, outcome);
  }
  void on_answered(KeyRef key, const AnsweredRead& read) override {
    for (Observer* one : observers_) one->on_answered(key, read);
  }
  void on_invalidate(KeyRef key, const char* cause) override {
    count(key.feature, cause);
    for (Observer* one : observers_) one->on_invalidate(key, cause);
  }
  void on_invalidate_feature(std::optional<FeatureId> feature) override {
    for (std::size_t i = 0; i < features_.size(); ++i)
      if (!feature || feature->value == i) ++features_[i].whole;
    for (Observer* one : observers_) one->on_invalidate_feature(feature);
  }

  void on_change_applied(FeatureId feature, std::optional<std::string_view> key,
                         const Change& change) override {
    for (Observer* one : observers_) one->on_change_applied(feature, key, change);
  }
  void on_reload(KeyRef key, Duration interval, bool changed) override {
    for (Observer* one : observers_) one->on_reload(key, interval, changed);
  }
  void on_divergence(KeyRef key, Divergence why) override {
    for (Observer* one : observers_) one->on_divergence(key, why);
  }
  void on_proven(std::string_view origin, MonoTime fresh_as_of) override {
    for (Observer* one : observers_) one->on_proven(origin, fresh_as_of);
  }

  struct Counts {
    std::array<std::uint64_t, kInvalidationCauses.size()> keys{};  // dropped, by cause
    std::uint64_t whole =
        0;  // times that all was dropped or became suspect: a flush, a truncated table, a gap
  };
  [[nodiscard]] Counts counts(FeatureId feature) const {
    return feature.value < features_.size() ? features_[feature.value] : Counts{};
  }

 private:
  void count(FeatureId feature, std::string_view cause) {
    if (feature.value >= features_.size()) return;
    for (std::size_t i = 0; i < kInvalidationCauses.size(); ++i)
      if (kInvalidationCauses[i].said == cause) ++features_[feature.value].keys[i];
  }

  std::vector<Observer*> observers_;
  std::vector<Counts> features_;  // by FeatureId
};

}  // namespace candor::app
