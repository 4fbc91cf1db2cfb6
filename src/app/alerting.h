// From evaluations to people: judge() once for each evaluation; what changed goes to the log and to the
// configured Alertmanagers. Starts with the constructor, stops with the destructor; what has not been
// delivered by then lapses or is raised again by the next process.
//
// Thread safety: none; everything on `home`'s thread, the destructor too. Nothing here blocks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/alerting_report.h"
#include "app/config.h"
#include "app/problem_log.h"
#include "app/webhook.h"
#include "base/executor.h"
#include "base/transport.h"
#include "monitor/alert.h"

namespace candor::app {

class Alerting {
 public:
  struct Parts {
    Executor* home = nullptr;
    Transport* transport = nullptr;  // of the same loop
    std::uint64_t seed = 0;
    std::string node;  // the label of its alerts
    Duration attempt_max = Webhook::kAttemptMax;
    std::string source;  // generatorURL: this node's dashboard; empty: none
  };
  // Lines for the log.
  using Write = std::function<void(bool is_warning, const std::string& line)>;
  Alerting(Parts parts, const AlertsConfig& config, Write write);

  // Of one evaluation. A worst day must not fill the disk; metrics and Alertmanager have them all.
  static constexpr std::size_t kLinesMax = 50;

  void judge(const ExposureReport& report, MonoTime now);
  [[nodiscard]] AlertingReport report() const;

 private:
  struct Receiver {
    std::unique_ptr<Webhook> webhook;
    std::string problem;
  };
  void add_webhook(const Parts& parts, const std::string& url);
  void tell(const AlertEvent& event);

  AlertBook book_;
  Write write_;
  ProblemLog problems_;
  std::vector<std::unique_ptr<Receiver>> receivers_;
};

// To the daemon's log.
[[nodiscard]] Alerting::Write write_alerts_to_log();

// One line for the log: "page: profile in eu: …".
[[nodiscard]] std::string alert_line(const AlertEvent& event);

}  // namespace candor::app
