// What the RESP server gets from outside: limits, users, and its surroundings. It owns no clock, socket or
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/time.h"
#include "base/transport.h"
#include "cache/cache.h"
#include "proto/request_parser.h"
#include "server/budget_desk.h"
#include "server/region_commands.h"
#include "server/session_desk.h"
#include "server/tracking.h"
#include "server/warm_desk.h"

namespace candor::server {

struct ServerOptions {
  // A connection costs about 10 KB in all; 10,000 of them 100 MB.
  std::size_t connections_max = 10'000;
  // Requests of one connection that wait for the miss path. Reading pauses at this number.
  std::size_t pending_max = 1024;
  // Reading and answering pause while this much output waits for the client …
  std::size_t output_pause_bytes = std::size_t{1} << 20;
  // … and the connection is cut at this much: one value of the largest size with what may lie before it.
  std::size_t output_bytes_max = std::size_t{80} << 20;
  // Output that does not move at all for this long: the client does not read.
  Duration stuck_output_deadline = 60s;
  // From accept to the first whole command; with users configured, to a successful AUTH.
  Duration first_command_deadline = 60s;
  Duration auth_deadline = 10s;
  // From the first byte of a command to its last: 64 MiB at 1 MiB/s with room to spare.
  Duration command_deadline = 120s;
  // Without any command; subscribers are exempt. 0: none, as Redis has it.
  Duration idle_deadline{0};
  resp::RequestLimits request_limits;

  // Takes keys that have no known feature's prefix; empty: such keys answer NOFEATURE.
  std::string plain_feature;

  // Subscriptions of one connection, and patterns of all connections together (each PUBLISH tries them all).
  std::size_t subscriptions_max = 10'000;
  std::size_t patterns_max = 10'000;
  // Password checks at one time: each costs some 50 ms of one core and, at N = 16384, 16 MiB.
  unsigned password_checks_max = 2;
  // Wrong passwords on one connection before it is closed.
  unsigned wrong_passwords_max = 5;
  // A command that took longer is kept in the slow log, of which the last entries are kept.
  Duration slow_command = 10ms;
  std::size_t slow_log_entries = 128;

  std::string node_name = "candor";
  std::string version = "0.1.0";
  std::uint16_t port = 6390;
};

// One `[[resp.users]]`. Rights are any of read, write, admin.
struct UserSpec {
  std::string name;
  std::string password_hash;  // see password.h
  std::vector<std::string> rights;
  std::vector<std::string> features;  // empty: all
};

struct ServerContext {
  CacheCore* cache = nullptr;
  Tracking* tracking = nullptr;  // also the cache's observer; null: CLIENT TRACKING is refused
  const Clock* clock = nullptr;
  EntropySource* entropy = nullptr;
  SessionDesk* desk = nullptr;       // session tokens; null: there are none here
  BudgetDesk* budgets = nullptr;     // null: no feature has a budget
  WarmDesk* warm = nullptr;          // null: nothing is warmed here
  RegionCommands* region = nullptr;  // null: commands reach this node and L2
  BlockingPool* pool = nullptr;      // for password checks; null: they run on the connection's loop
  ServerOptions options;
  std::vector<UserSpec> users;  // none: every connection may do everything; only for loopback
};

}  // namespace candor::server
