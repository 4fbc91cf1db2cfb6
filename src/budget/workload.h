// What the exposure of a feature depends on: how it is read, how it is changed, and how a change reaches it.
// Plain values, from a running node, from a trace, or given by hand.
#pragma once

#include <vector>

#include "base/time.h"

namespace candor {

// What one owner wrote down.
struct Budget {
  Duration max_staleness{0};    // a read may show a value that was superseded at most this long ago …
  double stale_fraction = 0.0;  // … but for this fraction of reads
  Duration window{0};           // over which the fraction is judged
  double sample = 0.0;          // fraction of reads that is also checked against the origin itself
};

// Keys that are alike. The reads of a feature are spread unevenly over its keys, and so are its changes; one
// mean rate would be wrong for nearly every key, so that the hottest keys are classes of their own and the
// rest is binned.
struct KeyClass {
  double read_share = 0.0;          // of the feature's reads; all classes together: 1
  double reads_per_second = 0.0;    // of one key
  double updates_per_second = 0.0;  // of one key
};

struct Workload {
  double reads_per_second = 0.0;    // of the feature, on this node
  double updates_per_second = 0.0;  // of the feature, all its keys
  std::vector<KeyClass> classes;    // empty: not known

  // Mean of u over reads: how often the value that a read asks for changes.
  [[nodiscard]] double read_weighted_updates() const {
    double sum = 0.0;
    for (const KeyClass& one : classes) sum += one.read_share * one.updates_per_second;
    return sum;
  }
  // Mean of r over reads.
  [[nodiscard]] double read_weighted_reads() const {
    double sum = 0.0;
    for (const KeyClass& one : classes) sum += one.read_share * one.reads_per_second;
    return sum;
  }
};

// How a change reaches the entries it makes old.
struct Delivery {
  double ttl_seconds = 0.0;    // T
  bool is_pushed = false;      // the feature's changes are heard of
  double delay_seconds = 0.0;  // D: mean time from commit to this node's L1
  double loss = 0.0;           // q: fraction of changes that never arrive
  // What is known of the delay besides its mean. Its tail decides how many reads exceed a limit that is far
  // above the mean: a constant delay of 50 ms never makes a read staler than 5 s, a real one does.
  double delay_p99_seconds = 0.0;  // 0: not known, the delay counts as constant
  double ttl_jitter = 0.0;         // each ttl is shortened by a random share up to this
  // Of the changes: made through this node, whose own tiers drop the old value before the write is
  // acknowledged, with or without push.
  double own_share = 0.0;
};

}  // namespace candor
