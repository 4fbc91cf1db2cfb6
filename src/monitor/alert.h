// From states to alerts: which alerts a report means, when each began, when it is said again and when it is
// over. Pure: no clock, no network; callers pass `now`.
//
// An alert is identified by its labels, as in Prometheus. Two kinds exist, and `candor rules` gives them the
// same names:
//   CandorStalenessBudget    severity page or ticket, from FeatureExposure::state, which has its own
//   hysteresis; CandorLostInvalidations  severity ticket: the origin had changes that the stream never told
//   of. It stays
//                            until none was found for kLostQuiet: samples are few.
//
// Invariants
//   - An alert that began is resolved exactly once, unless the process ends: then it lapses (Alert::ends).
//   - At most kAlertsMax are active; what is beyond is not begun, and counted.
// Thread safety: none; one owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "monitor/exposure_report.h"

namespace candor {

struct Alert {
  std::map<std::string, std::string, std::less<>> labels;
  std::map<std::string, std::string, std::less<>> annotations;
  WallTime starts{0};
  // Resolved: when it ended. Firing: when it lapses unless it is sent again; a node that dies takes its
  // alerts with it, instead of leaving them to Alertmanager's resolve_timeout, which may be shorter or
  // longer.
  WallTime ends{0};
  bool is_resolved = false;

  [[nodiscard]] std::string key() const;  // the labels as one text
  [[nodiscard]] std::string_view label(std::string_view name) const;
  [[nodiscard]] std::string_view annotation(std::string_view name) const;
};

struct AlertEvent {
  enum class Kind : std::uint8_t {
    kBegan,
    kRefreshed,  // goes on: for Alertmanager, which forgets what is not sent again
    kRepeated,   // goes on, and it is time to tell people again
    kResolved,
  } kind = Kind::kBegan;
  Alert alert;
};

class AlertBook {
 public:
  struct Options {
    std::string node;
    std::string runbook;      // a URL for every alert; empty: none
    Duration repeat = 4h;     // people are told again
    Duration refresh = 1min;  // Alertmanager is
  };
  explicit AlertBook(Options options) : options_(std::move(options)) {}

  // Two for each of 4096 features is what a region's worst day could bring; nobody reads as many.
  static constexpr std::size_t kAlertsMax = 1024;
  // Lost invalidations are looked for in samples: half an hour without one is worth more than a minute.
  static constexpr Duration kLostQuiet = 30min;
  // Refreshes that may be lost before an alert lapses; Prometheus uses as many.
  static constexpr int kLapseRefreshes = 4;

  // Everything that changed, resolved first.
  [[nodiscard]] std::vector<AlertEvent> note(const ExposureReport& report, MonoTime now);

  [[nodiscard]] std::size_t active(std::string_view severity) const;
  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }

 private:
  struct Active {
    Alert alert;
    MonoTime refreshed{0}, repeated{0}, seen{0};
    Duration quiet{0};  // how long it outlives its last sight
  };
  struct Wanted {
    Alert alert;
    Duration quiet{0};
  };
  [[nodiscard]] std::vector<Wanted> wanted(const ExposureReport& report) const;
  void go_on(const Wanted& want, MonoTime now, WallTime wall, std::vector<AlertEvent>& out);
  [[nodiscard]] Alert firing(Alert alert, WallTime wall) const;

  Options options_;
  std::map<std::string, Active> active_;  // by key()
  std::uint64_t left_out_ = 0;
};

// The body of POST /api/v2/alerts. Texts are cut to kAlertTextMax bytes each, and bytes that are no UTF-8 are
// replaced. `source`: generatorURL, where a person can see more; empty: none.
[[nodiscard]] std::string alerts_json(std::span<const Alert> alerts, std::string_view source);
inline constexpr std::size_t kAlertTextMax = 1024;

// "2026-03-01T12:30:00.250Z"
[[nodiscard]] std::string rfc3339(WallTime at);

}  // namespace candor
