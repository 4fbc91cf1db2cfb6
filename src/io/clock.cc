#include "io/clock.h"

#include <sys/random.h>
#include <time.h>

#include <cerrno>

#include "base/assert.h"

namespace candor {
namespace {
std::int64_t nanoseconds(clockid_t clock) {
  timespec value{};
  ::clock_gettime(clock, &value);
  return static_cast<std::int64_t>(value.tv_sec) * 1'000'000'000 + value.tv_nsec;
}
}  // namespace

MonoTime SystemClock::now() const { return {nanoseconds(CLOCK_BOOTTIME)}; }
WallTime SystemClock::wall() const { return {nanoseconds(CLOCK_REALTIME)}; }

std::uint64_t SystemEntropy::next_seed() {
  std::uint64_t seed = 0;
  fill(reinterpret_cast<unsigned char*>(&seed), sizeof seed);
  return seed;
}

void SystemEntropy::fill(unsigned char* bytes, std::size_t count) {
  while (count > 0) {
    const ssize_t got = ::getrandom(bytes, count, 0);
    // Without randomness there are no tokens, salts or seeded hashes: better to stop than to be guessable.
    CANDOR_ASSERT(got > 0 || errno == EINTR);
    if (got <= 0) continue;
    bytes += got;
    count -= static_cast<std::size_t>(got);
  }
}

}  // namespace candor
