// When was the value of this entry superseded at the origin? Where no change feed tells, the origin can only
// be asked whether it is still the same, now and then: each "yes" moves the moment's lower bound, the first
// "no" is its upper bound. The load itself was a "yes".
//
// A read at `t` is staler than `limit` exactly when the moment lies before t - limit. Inside the bracket this
// is a chance: changes arrive at a steady rate (a Poisson process), so that the first one, given that there
// was one, is distributed as an exponential cut to the bracket; nearly uniform where changes are rare.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/time.h"

namespace candor {

struct Supersession {
  MonoTime not_before{0};             // the origin still had the value then
  std::optional<MonoTime> not_after;  // it no longer had it then; nullopt: nothing else is known

  // Is a read at `at` known not to be over the limit, whatever the origin says next?
  [[nodiscard]] bool is_settled(MonoTime at, Duration limit) const {
    return not_after.has_value() || at - limit <= not_before;
  }
  // The chance that the value had been superseded by at - limit. Requires is_settled(). `updates`: per
  // second.
  [[nodiscard]] double chance_over(MonoTime at, Duration limit, double updates) const {
    const MonoTime by = at - limit;
    if (by <= not_before) return 0.0;
    if (!not_after || by >= *not_after) return not_after ? 1.0 : 0.0;
    const double part = to_seconds(by - not_before);
    const double whole = to_seconds(*not_after - not_before);
    if (updates * whole < 1e-6) return part / whole;
    return std::expm1(-updates * part) / std::expm1(-updates * whole);
  }
};

}  // namespace candor
