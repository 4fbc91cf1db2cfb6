// What a feature's level means for the model of its staleness.
#pragma once

#include "app/config.h"
#include "budget/levers.h"

namespace candor::app {

// How a level lets reads be served.
[[nodiscard]] constexpr Serving serving_of(Consistency level) {
  switch (level) {
    case Consistency::kBounded:
      return Serving::kProven;
    case Consistency::kStrong:
      return Serving::kConfirmed;
    case Consistency::kOrigin:
      return Serving::kOrigin;
    case Consistency::kEventual:
    case Consistency::kSession:
      break;
  }
  return Serving::kFromTier;
}

}  // namespace candor::app
