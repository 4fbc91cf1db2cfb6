// What an origin answered when it was asked where it stands, and when, by this node's monotonic clock.
//
// The two times prove different things:
//   asked     read before the question left: every change committed before it lies at or below
//   probe.position. answered  read when the answer was there: what the probe calls visible is visible to
//   loads that begin at or after
//             it. Not to those that began between the two: they may have read before the probe did.
#pragma once

#include "base/time.h"
#include "version/change.h"

namespace candor {

struct ProbeAnswer {
  MonoTime asked;
  MonoTime answered;
  OriginProbe probe;
};

}  // namespace candor
