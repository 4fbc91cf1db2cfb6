// The machine's clocks and its randomness: the real ends of the seams in base/time.h and base/random.h.
// Thread safety: all of it may be used from any thread.
#pragma once

#include "base/random.h"
#include "base/time.h"

namespace candor {

class SystemClock final : public Clock {
 public:
  // CLOCK_MONOTONIC: never steps; does not count while the machine is suspended, which no peer sees either.
  [[nodiscard]] MonoTime now() const override;
  [[nodiscard]] WallTime wall() const override;
};

class SystemEntropy final : public EntropySource {
 public:
  [[nodiscard]] std::uint64_t next_seed() override;
  void fill(unsigned char* bytes, std::size_t count) override;
};

}  // namespace candor
