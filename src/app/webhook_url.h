// Where alerts are sent: the address of an Alertmanager, as it stands in the configuration, taken apart.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/transport.h"

namespace candor::app {

struct WebhookTarget {
  Endpoint endpoint;
  std::string host;           // the Host header
  std::string path;           // "/api/v2/alerts" when the address names none
  std::string authorization;  // the header's value; empty: none
  // For logs and pages: scheme, host and port. A path may be as secret as a password.
  std::string shown;
};

// "http://alertmanager:9093", "https://USER:PASSWORD@host/prefix/api/v2/alerts". The text of an error holds
// nothing of what follows the host.
[[nodiscard]] Result<WebhookTarget> parse_webhook_url(std::string_view url);

// POST of `json` to the target, as bytes.
[[nodiscard]] std::string webhook_request(const WebhookTarget& target, std::string_view json);

}  // namespace candor::app
