// What happened, as an observer outside every process saw it: the one form that the simulator and the
// integration tests with real daemons record, and all that the checkers (checkers.h) know.
//
// Times are nanoseconds on one clock for the whole history: the simulator's true time, or the test machine's
// monotonic clock. Versions: the workload writes a number of its own into every value, never twice for one
// key, and never 0, which means "no such row".
//
// On disk: JSON lines, one record each, in any order. Absent fields are their defaults.
//   {"is":"operation","session":1,"node":"n1","key":"profile:7","kind":"read","level":"bounded","bound_ns":2000000000,
//    "invoked":10,"responded":20,"outcome":"ok","version":5,"tier":"l1","fresh_within_ns":7000000,"degraded":false}
//       kind: read write erase token adopt; level: eventual session bounded strong origin; outcome: ok
//       refused unknown (refused: certainly without effect); token: a number of the token that `token` made
//       or `adopt` took
//   {"is":"commit","key":"profile:7","version":5,"visible":15,"by_restore":false}
//       the truth: from `visible` on, a new load at the origin shows this version. A failover that loses
//       commits is written as commits of what holds again, `by_restore`.
//   {"is":"load","key":"profile:7","node":"n1","lease":99,"begun":12,"ended":18}
//   {"is":"lease","key":"profile:7","lease":99,"granted":11,"ended":18}
//   {"is":"holding","node":"n1","key":"profile:7","tier":"l1","version":5}     what a tier holds at the end
//   {"is":"quiet","from":1000}        faults healed, writers stopped and every limit of repair has passed
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "sim/linearizability.h"

namespace candor::sim {

[[nodiscard]] constexpr double in_ms(std::int64_t ns) { return static_cast<double>(ns) / 1e6; }

// Keys and nodes by number: an operation is a plain record of 80 bytes, and a million of them fit.
class Names {
 public:
  std::uint32_t number(std::string_view name);
  [[nodiscard]] const std::string& name(std::uint32_t number) const { return names_[number]; }
  [[nodiscard]] std::size_t size() const { return names_.size(); }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
};

enum class Level : std::uint8_t { kEventual, kSession, kBounded, kStrong, kOrigin };
enum class Outcome : std::uint8_t { kOk, kRefused, kUnknown };
enum class Tier : std::uint8_t { kNone, kL1, kDisk, kL2, kOrigin };
enum class OperationKind : std::uint8_t { kRead, kWrite, kErase, kToken, kAdopt };

struct Operation {
  std::uint32_t session = 0;
  std::uint32_t node = 0;
  std::uint32_t key = 0;  // without meaning for tokens
  OperationKind kind = OperationKind::kRead;
  Level level = Level::kSession;
  Outcome outcome = Outcome::kOk;
  Tier tier = Tier::kNone;
  bool degraded = false;  // the answer said so
  std::int64_t invoked = 0;
  std::int64_t responded = kNever;
  std::uint64_t version = kAbsent;    // read or written
  std::int64_t bound_ns = 0;          // level bounded
  std::int64_t fresh_within_ns = -1;  // what the answer claimed; -1: nothing
  std::uint64_t token = 0;
  // Of a write of unknown outcome: from the origin's own log, that it had happened by then. Not on disk.
  std::int64_t happened_by = kNever;
};

struct Commit {
  std::uint32_t key = 0;
  std::uint64_t version = kAbsent;
  std::int64_t visible = 0;
  bool by_restore = false;
};

struct LoadSpan {
  std::uint32_t key = 0;
  std::uint32_t node = 0;
  std::uint64_t lease = 0;  // 0: without one (the shared tier was away, or the level goes past it)
  std::int64_t begun = 0, ended = kNever;
};

struct LeaseSpan {
  std::uint32_t key = 0;
  std::uint64_t lease = 0;
  std::int64_t granted = 0, ended = kNever;  // by fill, release, cancellation or its time, whatever was first
};

struct Holding {
  std::uint32_t node = 0;
  std::uint32_t key = 0;
  Tier tier = Tier::kL1;
  std::uint64_t version = kAbsent;
};

struct History {
  Names keys, nodes;
  std::vector<Operation> operations;
  std::vector<Commit> commits;  // of one key in the order of visibility
  std::vector<LoadSpan> loads;
  std::vector<LeaseSpan> leases;
  std::vector<Holding> holdings;
  std::int64_t quiet_from = kNever;
};

[[nodiscard]] std::string_view level_name(Level level);
[[nodiscard]] std::string_view tier_name(Tier tier);
[[nodiscard]] std::string_view kind_name(OperationKind kind);
[[nodiscard]] std::string_view outcome_name(Outcome outcome);

[[nodiscard]] std::string to_json_lines(const History& history);
// Errors name the line.
[[nodiscard]] Result<History> parse_json_lines(std::string_view text);

// One line for a person: "   12.000 ms  s1@n1  read bounded profile:7 -> version 5 from l1 (took 0.010 ms)".
[[nodiscard]] std::string describe(const History& history, const Operation& operation);
[[nodiscard]] std::string describe(const History& history, const Commit& commit);

}  // namespace candor::sim
