// The machine's clocks and its randomness: the real ends of the seams in base/time.h and base/random.h.
// Thread safety: all of it may be used from any thread.
#pragma once

#include "base/random.h"
#include "base/time.h"

namespace candor {

class SystemClock final : public Clock {
 public:
  // CLOCK_BOOTTIME: never steps, and counts while the machine is suspended. CLOCK_MONOTONIC stands still
  // then: a proof of freshness from before, an age and a ttl would look younger than they are. The kernel's
  // waits are relative and do stand still, so that a timer may be late by what was left of one wait; whatever
  // is decided by time is decided by now(). A virtual machine that is halted from outside shows what its
  // hypervisor tells its clocks afterwards, here as everywhere.
  [[nodiscard]] MonoTime now() const override;
  [[nodiscard]] WallTime wall() const override;
};

class SystemEntropy final : public EntropySource {
 public:
  [[nodiscard]] std::uint64_t next_seed() override;
  void fill(unsigned char* bytes, std::size_t count) override;
};

}  // namespace candor
