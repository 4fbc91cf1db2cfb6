// What is still to be told to one receiver of alerts. Pure: no clock, no network; callers pass `now`.
//
// Not a queue of events but the newest word on each alert: when the receiver is away for an hour, what it
// needs afterwards is what is so now, and not sixty refreshes.
//
// Invariants
//   - At most kAlertsMax alerts are held; one more is dropped and counted. A firing alert comes again with
//   its
//     next refresh, and a resolved one lapses by itself: nothing is lost for ever.
//   - At most one batch is under way.
// Thread safety: none; one owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "base/time.h"
#include "monitor/alert.h"

namespace candor {

class AlertOutbox {
 public:
  // A second is soon enough for people; a receiver that has been away for long is asked once a minute.
  static constexpr Backoff::Options kBackoff{.first = 1s, .limit = 1min, .floor = 200ms};
  static constexpr std::size_t kAlertsMax = AlertBook::kAlertsMax;
  // About 300 KiB with every text at its limit: below what receivers take in one request.
  static constexpr std::size_t kBatchMax = 64;

  explicit AlertOutbox(std::uint64_t seed) : backoff_(kBackoff, seed) {}

  void put(const Alert& alert);
  // When the next batch may go; none: nothing waits, or one is under way.
  [[nodiscard]] std::optional<MonoTime> due() const;
  // The batch to send now; then one of the three below. Requires: due() has come.
  [[nodiscard]] std::vector<Alert> take();
  void on_taken(MonoTime now);
  // It may work later: the batch comes back, but for what has a newer word by now.
  void on_failed(MonoTime now);
  // The receiver will never take it (a 4xx): sending it again would hold up the others.
  void on_refused(MonoTime now);

  [[nodiscard]] std::size_t waiting() const { return waiting_.size() + under_way_.size(); }
  struct Counts {
    std::uint64_t delivered = 0, failed = 0, refused = 0,
                  dropped = 0;  // failed: attempts, all others: alerts
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }

 private:
  Backoff backoff_;
  std::map<std::string, Alert> waiting_;  // by Alert::key()
  std::map<std::string, Alert> under_way_;
  MonoTime next_{0};
  Counts counts_;
};

}  // namespace candor
