// What is known of alerts at one moment: plain values, for metrics and status.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace candor::app {

struct WebhookReport {
  std::string address;  // no secret
  std::string problem;  // empty: the last attempt went well, or there was none
  std::uint64_t waiting = 0;
  std::uint64_t delivered = 0, refused = 0, dropped = 0;  // alerts
  std::uint64_t failed = 0;                               // attempts
};

struct AlertingReport {
  bool is_built = false;
  std::uint64_t pages = 0, tickets = 0;  // active now
  std::uint64_t left_out = 0;            // alerts that were not begun because too many are active
  std::vector<WebhookReport> webhooks;
};

}  // namespace candor::app
