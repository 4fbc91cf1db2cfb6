// What a recorded history is held against. Written without any code of the rooms that it checks: it knows
// operations, times and the origin's own log of what was visible when, and nothing of stamps, markers,
// watermarks or leases' meaning.
//
// Staleness here: the truth of a key is a sequence of versions, each visible from a moment on. A read is as
// stale as the time between the end of the last span in which its version was the truth, and the read's
// invocation; 0 if it was the truth at any moment between invocation and answer.
//
// Each checker returns how many things it held against the rule, and what broke it. An undecided check is a
// violation: silence is never success.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/history.h"

namespace candor::sim {

struct Violation {
  std::string_view rule;             // the checker's name
  std::string summary;               // one sentence
  std::vector<std::string> excerpt;  // the shortest convincing part of the history, in order of time
};

struct CheckResult {
  std::string_view rule;
  std::uint64_t checked = 0;  // reads, writes, loads … whatever the rule speaks of
  std::uint64_t broken = 0;
  std::vector<Violation> violations;  // the first few of the broken ones
};

struct CheckOptions {
  std::size_t violations_max = 3;  // shown for each rule: the rest are mostly the same fault again
  // How much faster or slower than true time a node's clock may run, in parts per million: a bound of T on
  // its clock is T and this much more outside. 0 when every process shares the recorder's clock.
  std::int64_t clock_ppm = 0;
};

// (1) Reads of level strong and origin, and all writes, are linearizable key by key. Writes of unknown
// outcome may have happened late or never.
[[nodiscard]] CheckResult check_linearizable(const History& history, const CheckOptions& options = {});
// (2) No bounded(T) read shows what was superseded more than T before its invocation.
[[nodiscard]] CheckResult check_bound(const History& history, const CheckOptions& options = {});
// (3) Reads of level session and strong never step back behind what the session wrote, or saw at any level
// but eventual, or was given by a token.
[[nodiscard]] CheckResult check_sessions(const History& history, const CheckOptions& options = {});
// (4) From `quiet_from` on, every answer is the truth and so is all that tiers hold.
[[nodiscard]] CheckResult check_convergence(const History& history, const CheckOptions& options = {});
// (5) Every acknowledged write became visible before its acknowledgement; nothing else but the writers'
// values is ever read, and nothing before it was visible.
[[nodiscard]] CheckResult check_acknowledged(const History& history, const CheckOptions& options = {});
// (6) At most one load for each lease, leases of one key never overlap, and no lease is used outside its time
// of life at its beginning.
[[nodiscard]] CheckResult check_leases(const History& history, const CheckOptions& options = {});
// (7) Whoever claims `fresh_within d` was not superseded more than d before.
[[nodiscard]] CheckResult check_claims(const History& history, const CheckOptions& options = {});

// All of them, in this order.
[[nodiscard]] std::vector<CheckResult> check_all(const History& history, const CheckOptions& options = {});
// For a person: a line for each rule, then the excerpts. "0 of n" is shown as a rate below 3/n.
[[nodiscard]] std::string report(const std::vector<CheckResult>& results);
[[nodiscard]] bool holds(const std::vector<CheckResult>& results);

}  // namespace candor::sim
