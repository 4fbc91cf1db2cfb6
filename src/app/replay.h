// Replays a trace against L1: what would this cache have missed? `candor replay` and the benchmarks call it.
//
// Two ways to give the cache's size. `objects`: a number of entries of one unit each, on the policy's queues
// alone; the way in which papers compare policies. `memory`: bytes, on the real store, with its headers,
// index and segments; keys are the trace's eight bytes, values as long as the trace says or `value_bytes`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "app/trace_reader.h"
#include "base/result.h"
#include "tier/l1/store.h"

namespace candor::app {

struct ReplayProgress {
  std::uint64_t requests = 0;
  std::uint64_t misses = 0;
  std::uint64_t bytes_read = 0;  // of the trace's file
  std::uint64_t bytes_total = 0;
};

struct ReplayOptions {
  std::string trace;  // path
  TraceFormat format;
  std::size_t objects = 0;  // exactly one of the two is not 0
  std::size_t memory = 0;
  l1::PolicyKind policy = l1::PolicyKind::kDefault;
  std::size_t value_bytes =
      64;  // where the trace does not say; a common size of small rows, as in our other benchmarks
  std::uint64_t seed = 1;  // of the hash and of the policy's dice: the same seed gives the same result
  // Called about every 65536 requests; may be empty. Returning false ends the replay early, with the report
  // so far.
  std::function<bool(const ReplayProgress&)> progress;
};

struct ReplayReport {
  std::uint64_t requests = 0;
  std::uint64_t misses = 0;
  std::uint64_t requested_bytes = 0;  // values; requests where the trace has no sizes and `objects` is given
  std::uint64_t missed_bytes = 0;
  std::uint64_t evictions = 0;
  std::uint64_t entries = 0;      // at the end
  std::uint64_t rejected = 0;     // memory: too large for this store
  std::uint64_t memory_used = 0;  // memory: at the end; objects: of the policy alone
  bool is_complete = true;        // false: ended by `progress`

  [[nodiscard]] double miss_ratio() const { return ratio(misses, requests); }
  [[nodiscard]] double byte_miss_ratio() const { return ratio(missed_bytes, requested_bytes); }

 private:
  [[nodiscard]] static double ratio(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  }
};

[[nodiscard]] Result<ReplayReport> replay(const ReplayOptions& options);

}  // namespace candor::app
