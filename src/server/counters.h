// What the server counts, for INFO and for the metrics page.
#pragma once

#include "base/counters.h"

namespace candor::server {

struct ServerCounters {
  Counter connections_accepted;
  Counter connections_refused;  // over the limit
  Counter commands;
  Counter command_errors;  // error replies
  Counter protocol_errors;
  Counter foreign_protocols;  // HTTP, HTTP/2 or TLS spoken to this port
  Counter slow_readers_cut;   // output over its limit, or stuck
  Counter deadlines_missed;   // first command, AUTH, command, idle
  Counter wrong_passwords;
  Counter bytes_in;
  Counter messages_published;
  // Hits are timed in samples of one batch in kHitSampleEvery, to keep the clock off the hit path.
  LatencyHistogram hit_ns;
};

inline constexpr unsigned kHitSampleEvery = 64;

}  // namespace candor::server
