// Time as the rest of Candor sees it. Two clocks, two types: they never mix.
//
// MonoTime comes from a monotonic clock that starts at an arbitrary moment, never steps and counts while the
// machine sleeps; every deadline, ttl and age uses it. WallTime is civil time and appears in logs, tokens and
// on pages only.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace candor {

using Duration = std::chrono::nanoseconds;
using std::chrono_literals::operator""ns;
using std::chrono_literals::operator""us;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""h;

[[nodiscard]] constexpr double to_seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// A moment on this process's monotonic clock.
struct MonoTime {
  std::int64_t ns = 0;

  friend constexpr auto operator<=>(MonoTime, MonoTime) = default;
  friend constexpr MonoTime operator+(MonoTime t, Duration d) { return {t.ns + d.count()}; }
  friend constexpr MonoTime operator-(MonoTime t, Duration d) { return {t.ns - d.count()}; }
  friend constexpr Duration operator-(MonoTime a, MonoTime b) { return Duration{a.ns - b.ns}; }
  [[nodiscard]] constexpr std::int64_t ms() const { return ns / 1'000'000; }
  [[nodiscard]] static constexpr MonoTime max() { return {INT64_MAX}; }
};

// Civil time: nanoseconds since 1970-01-01T00:00:00Z. May step; never used to order or to expire anything.
struct WallTime {
  std::int64_t ns = 0;
  friend constexpr auto operator<=>(WallTime, WallTime) = default;
  [[nodiscard]] constexpr std::int64_t ms() const { return ns / 1'000'000; }
};

// The seam for time. The real one lives in io, the simulator has its own.
// Thread safety: now() and wall() may be called from any thread.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual MonoTime now() const = 0;
  [[nodiscard]] virtual WallTime wall() const = 0;
};

}  // namespace candor
