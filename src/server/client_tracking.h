// What one connection asked for with CLIENT TRACKING; the table of all is tracking.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/command.h"
#include "server/tracking.h"

namespace candor::server {

struct ClientTracking {
  bool broadcast = false, opt_in = false, opt_out = false, no_loop = false;
  bool caching = false;               // CLIENT CACHING spoke of the next command
  bool broken = false;                // the connection that it redirects to is gone
  std::uint64_t redirect = 0;         // 0: to itself
  std::vector<std::string> prefixes;  // sorted
  Tracking::MemberPtr member;
};

void client_tracking(Session& session, Args args);
void client_caching(Session& session, Args args);
void client_tracking_info(Session& session, Args args);
void client_get_redirect(Session& session, Args args);

}  // namespace candor::server
