// Who may ask what of the control plane. Pure: a request and the rules in, a refusal or nothing out.
//
// The dangers it is written against: a page in the user's browser that posts to this port (Origin), a hostile
// name that resolves to this address (Host), and another process or user of the machine (token).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/http_request.h"

namespace candor::app {

enum class Guard : std::uint8_t {
  kOpen,   // health and metrics: whoever reaches the listener; scrapers come under any name
  kPage,   // the dashboard and what it reads: a Host that is allowed
  kKeys,   // what shows keys: GET or POST, Host, matching Origin, token
  kToken,  // what changes something: POST, Host, matching Origin, token
};

struct GuardRules {
  std::vector<std::string> hosts;  // allowed names without port, in lower case; loopback names always are
  std::string token;               // empty: nothing guarded is possible
};

struct Refusal {
  int status = 403;
  std::string text;
};

[[nodiscard]] std::optional<Refusal> check_guard(Guard guard, const HttpRequest& request,
                                                 const GuardRules& rules);

// "Example.com:8390" becomes "example.com", "[::1]:8390" becomes "::1"; empty when it is no host.
[[nodiscard]] std::string host_name(std::string_view host_header);

}  // namespace candor::app
