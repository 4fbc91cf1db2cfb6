// Which keys the demo's readers ask for: a recorded trace, or a generator that is fitted to such traces
// (docs/demo.md shows the fit, tools/demo/fit_traces.py makes it).
//
// The generator is three things laid over each other: a Zipf law over the keys (what is popular), scans (runs
// of neighbours that are read once), and drift (which keys are the popular ones changes slowly).
//
// Pure but for its Random. Thread safety: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/random.h"

namespace candor::load {

struct KeyShape {
  std::uint32_t keys = 1;
  double zipf = 0.9;                // exponent of the popularity law
  double repeat_share = 0.0;        // of the requests that ask again for a recent key
  std::uint32_t repeat_window = 1;  // how many requests back they reach; the nearer the likelier (1/distance)
  double scan_share = 0.0;          // of the requests that belong to scans; below 0.5
  std::uint32_t scan_length = 100;  // keys in one scan
  double drift = 0.0;               // chance per request that a popular key changes places with any other
};

// An endless sequence of key numbers in [0, keys).
class KeySource {
 public:
  virtual ~KeySource() = default;
  [[nodiscard]] virtual std::uint32_t next() = 0;
};

[[nodiscard]] std::unique_ptr<KeySource> make_generated_keys(const KeyShape& shape, std::uint64_t seed);

// Plays `requests` (numbers below `keys`) from the first to the last, and again.
// Requires: not empty.
[[nodiscard]] std::unique_ptr<KeySource> make_recorded_keys(std::vector<std::uint32_t> requests);

}  // namespace candor::load
