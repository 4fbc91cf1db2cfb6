// Numbers as answers in JSON show them.
#pragma once

#include <cmath>

namespace candor::app {

// To three places after the point: enough for a rate, and it keeps an event short.
[[nodiscard]] inline double thousandths(double value) { return std::round(value * 1e3) / 1e3; }

}  // namespace candor::app
